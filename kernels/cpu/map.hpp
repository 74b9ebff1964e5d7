#pragma once
// y = f(x) and dx = dy f'(x), element by element, for any formula of include/phonaut/ops/formula.
#include "elementwise.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

template <class F>
PHONAUT_INLINE void map_value(const Cpu& cpu, const F& f, View<const float, 2> x, View<float, 2> y) {
  for_each_register(
      cpu, RowRange(y.shape, x.stride[0], y.stride[0]),
      [&](long r, long i) PHONAUT_FORCE_INLINE { f.value(Vec::load(x.row(r) + i)).store(y.row(r) + i); },
      [&](long r, long i, long n) PHONAUT_FORCE_INLINE { f.value(Vec::load(x.row(r) + i, n)).store(y.row(r) + i, n); });
}

template <class F>
PHONAUT_INLINE void map_slope(const Cpu& cpu, const F& f, View<const float, 2> dy, View<const float, 2> x,
                              Sink<float, 2> dx) {
  if (!dx) return;
  for_each_register(
      cpu, RowRange(dx.shape, dy.stride[0], x.stride[0], dx.stride[0]),
      [&](long r, long i) PHONAUT_FORCE_INLINE {
        put(dx.row(r) + i, Vec::load(dy.row(r) + i) * f.slope(Vec::load(x.row(r) + i)), dx.add);
      },
      [&](long r, long i, long n) PHONAUT_FORCE_INLINE {
        put(dx.row(r) + i, Vec::load(dy.row(r) + i, n) * f.slope(Vec::load(x.row(r) + i, n)), dx.add, n);
      });
}

}  // namespace phonaut::kernel::PHONAUT_ISA

#define PHONAUT_MAP(F)                                                                             \
  namespace phonaut::kernel::PHONAUT_ISA {                                                         \
  void map_forward(const Cpu& cpu, formula::F f, View<const float, 2> x, View<float, 2> y) {       \
    map_value(cpu, f, x, y);                                                                       \
  }                                                                                                \
  void map_backward(const Cpu& cpu, formula::F f, View<const float, 2> dy, View<const float, 2> x, \
                    Sink<float, 2> dx) {                                                           \
    map_slope(cpu, f, dy, x, dx);                                                                  \
  }                                                                                                \
  }

#else

/// The Cpu kernels of formula::F, whose header says PHONAUT_MAP_KERNELS(F).
#define PHONAUT_MAP(F)                                                                                          \
  PHONAUT_DISPATCH_IN(phonaut::formula, map_forward,                                                            \
                      (const Cpu& cpu, formula::F f, View<const float, 2> x, View<float, 2> y), (cpu, f, x, y)) \
  PHONAUT_DISPATCH_IN(                                                                                          \
      phonaut::formula, map_backward,                                                                           \
      (const Cpu& cpu, formula::F f, View<const float, 2> dy, View<const float, 2> x, Sink<float, 2> dx),       \
      (cpu, f, dy, x, dx))

#endif
