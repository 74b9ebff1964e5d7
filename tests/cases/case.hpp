#pragma once
// One description of an op's inputs serves parity, gradients, speed and coverage. A file tests/cases/<op>.hpp reads
//
//   CASES(layer_norm) {
//     for (auto [rows, width] : {pair{1L, 1L}, {7L, 3L}, {50L, 192L}})
//       add(text(Shape<2>{rows, width}), inputs(normal(Shape<2>{rows, width}, 1), ...),
//           [](const auto& x, const auto& gain, const auto& bias) { return layer_norm(x, gain, bias); },
//           {.tolerance = 8 * eps,  // why
//            .bytes = 8.0 * rows * width});
//   }
//
// and CMake compiles each such file once, into the program that checks all cases and the one that times them, and once
// more, with PHONAUT_CASES_ON_CUDA, into those that run them on CUDA.
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "phonaut/ops/frames.hpp"
#include "phonaut/testing/gradient_check.hpp"

namespace phonaut::testing {

/// Rounding unit of float.
constexpr double eps = std::numeric_limits<float>::epsilon();

struct Limits {
  double tolerance = 4 * eps;  ///< of values, relative to the largest; say why beside it
  double gradient = 0;         ///< of gradients; 0 means 4 × tolerance
  double bytes = 0;            ///< moved by the forward pass, at least; 0 means inputs and output, once each
  double flops = 0;            ///< computed by the forward pass; 0 where memory is the limit
  bool check = true;           ///< false for sizes that are there to be timed only
  bool time = true;            ///< false for sizes that are there to be checked only
};

/// What a benchmark times.
struct Timed {
  std::function<void(bool backward)> run;  ///< forward, or forward and backward, once
  double numbers_in = 0, numbers_out = 0;  ///< of inputs and output
};

#ifdef PHONAUT_CASES_ON_CUDA
using CaseBackend = Cuda;
#else
using CaseBackend = Cpu;
#endif

struct Case {
  std::string op, name;
  Limits limits;
#ifdef PHONAUT_CASES_ON_CUDA
  std::function<Comparison()> cuda;  ///< Cuda against double and dual numbers
#else
  std::function<Comparison()> reference;  ///< Reference in float against double and dual numbers
  std::function<Comparison(Cpu)> cpu;     ///< the same for the CPU kernels
#endif
  /// Builds the inputs in a context. On CUDA, `cuda` and this are empty for ops that are not there yet.
  std::function<Timed(Context<CaseBackend>&)> timed;
};

inline std::vector<Case>& all_cases() {
  static std::vector<Case> cases;
  return cases;
}

template <size_t... R>
std::tuple<Values<R>...> inputs(Values<R>... values) {
  return {std::move(values)...};
}

/// Whole numbers f(0), f(1), … in the memory of any backend: ids, choices, labels.
template <class B, size_t R, class F>
Tensor<B, R, std::int32_t> numbers(Context<B>& ctx, const Shape<R>& shape, const F& f) {
  const auto t = ctx.template empty_of<std::int32_t, R>(shape);
  phonaut::detail::fill_from_host(ctx, t, [&](std::int32_t* to) {
    for (long i = 0; i < t.size(); ++i) to[i] = static_cast<std::int32_t>(f(i));
  });
  return t;
}

/// Adds the cases of an op.
struct AddCases {
  std::string op;

  /// `call` maps Vars of any backend to a Var. `prepare` puts a context into the mode that the case needs.
  template <class Call, size_t... R, class Prepare>
  void operator()(const std::string& name, const std::tuple<Values<R>...>& in, Call call, Limits limits,
                  Prepare prepare) const {
    if (limits.gradient == 0) limits.gradient = 4 * limits.tolerance;
    Case c;
    c.op = op;
    c.name = name;
    c.limits = limits;
#ifdef PHONAUT_CASES_ON_CUDA
    c.cuda = [=] { return compare(Cuda{}, call, in, prepare); };
    c.timed = [=](Context<Cuda>& ctx) { return timed(ctx, call, in, prepare); };
#else
    c.reference = [=] { return compare(Reference{}, call, in, prepare); };
    c.cpu = [=](Cpu cpu) { return compare(cpu, call, in, prepare); };
    c.timed = [=](Context<Cpu>& ctx) { return timed(ctx, call, in, prepare); };
#endif
    all_cases().push_back(std::move(c));
  }
  template <class Call, size_t... R>
  void operator()(const std::string& name, const std::tuple<Values<R>...>& in, Call call, Limits limits = {}) const {
    (*this)(name, in, call, limits, [](auto&) {});
  }

 private:
  template <class B, class Call, size_t... R, class Prepare>
  static Timed timed(Context<B>& ctx, const Call& call, const std::tuple<Values<R>...>& in, const Prepare& prepare) {
    prepare(ctx);
    auto tensors =
        std::apply([&](const auto&... v) { return std::tuple{input(ctx, v.shape, v.data).tensor()...}; }, in);
    const auto apply = [&ctx, tensors, call] {
      return std::apply([&](const auto&... t) { return call(ctx.variable(t)...); }, tensors);
    };
    ctx.set_recording(false);
    return Timed{
        .run =
            [&ctx, apply](bool backward) {
              ctx.set_recording(backward);
              const auto loss = sum(apply());  // empty inputs want no gradient
              if (ctx.wants_gradient(loss)) ctx.backward(loss);
            },
        .numbers_in = std::apply([](const auto&... t) { return (0.0 + ... + static_cast<double>(t.size())); }, tensors),
        .numbers_out = static_cast<double>(apply().tensor().size())};
  }
};

}  // namespace phonaut::testing

#define CASES(OP)                                                                          \
  static void OP##_cases(const phonaut::testing::AddCases& add);                           \
  static const bool OP##_registered = (OP##_cases(phonaut::testing::AddCases{#OP}), true); \
  static void OP##_cases([[maybe_unused]] const phonaut::testing::AddCases& add)
