#pragma once
// Activations of which backward keeps one byte per element instead of four. Yao et al., "Zipformer", 2023, keep the
// slopes of SwooshL and SwooshR like this.
#include "phonaut/core/random.hpp"
#include "phonaut/ops/formula/byte_slope.hpp"
#include "phonaut/ops/formula/swoosh.hpp"
#include "phonaut/ops/map.hpp"

namespace phonaut {

namespace kernel {

template <class S>
void encode_slopes(const Reference&, View<const S, 1> slopes, Draws draws, std::uint8_t* bytes) {
  for (long i = 0; i < slopes.size(); ++i) bytes[i] = formula::ByteSlope::encode(slopes.data[i], S(draws.uniform(i)));
}
template <class S>
void multiply_slopes(const Reference&, View<const S, 1> dy, const std::uint8_t* bytes, S* dx, bool add) {
  for (long i = 0; i < dy.size(); ++i) {
    const S g = dy.data[i] * formula::ByteSlope::decode<S>(bytes[i]);
    dx[i] = add ? dx[i] + g : g;
  }
}

void encode_slopes(const Cuda& cuda, View<const float, 1> slopes, Draws draws, std::uint8_t* bytes);
void multiply_slopes(const Cuda& cuda, View<const float, 1> dy, const std::uint8_t* bytes, float* dx, bool add);

}  // namespace kernel

/// f(x) for f = SwooshL or SwooshR. In training, backward works with slopes that were rounded by chance to one of 256
/// values: right on the average, off by up to 0.004. x itself is not kept. Otherwise the same as map(x, f).
template <class F, class B, size_t R>
Var<B, R> swoosh_in_bytes(const Var<B, R>& any, F f) {
  using S = typename B::Scalar;
  static_assert(std::is_same_v<F, formula::SwooshL> || std::is_same_v<F, formula::SwooshR>,
                "bytes hold slopes between -0.08 and 0.925");
  auto& ctx = any.context();
  if (!ctx.training()) return map(any, f);
  const Var<B, R> x = packed(any);
  const Draws draws = ctx.random().take(x.size());  // recording or not: a recomputation draws the same
  auto y = ctx.empty(x.shape());
  using kernel::map_backward;
  using kernel::map_forward;
  map_forward(ctx.backend(), f, as_rows(x.in()), as_rows(y.out()));
  if (!ctx.wants_gradient(x)) return ctx.constant(std::move(y));
  const auto bytes = ctx.template empty_of<std::uint8_t, R>(x.shape());
  {
    const Tensor<B, R> ones = ctx.full(x.shape(), S(1)), slopes = ctx.empty(x.shape());
    map_backward(ctx.backend(), f, as_rows(ones.in()), as_rows(x.in()),
                 as_rows(Sink<S, R>(slopes.data(), slopes.shape(), false)));
    kernel::encode_slopes(ctx.backend(), View<const S, 1>(slopes.data(), {slopes.size()}), draws, bytes.data());
  }
  return record(
      std::move(y),
      [x = target(x), bytes](Context<B>& c, const Tensor<B, R>& dy) {
        if (auto dx = c.sink(x))
          kernel::multiply_slopes(c.backend(), View<const S, 1>(dy.data(), {dy.size()}), bytes.data(), dx.data, dx.add);
      },
      x);
}

}  // namespace phonaut
