#pragma once
// Codes straight from log-mel frames: each channel rounded to one of a few levels, nothing learnt. R. H. Bai et al.,
// "dMel: Speech Tokenization made Simple", 2024.
#include <cmath>
#include <cstdint>

#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

struct DmelConfig {
  double low = -8, high = 2;  ///< least and greatest value of the data
  long levels = 16;           ///< level i is low + i (high - low) / steps
  long steps = 0;             ///< 0: levels - 1, so that both ends are levels; `levels` leaves out the upper one

  double step() const { return (high - low) / static_cast<double>(steps > 0 ? steps : levels - 1); }
};

namespace kernel {

/// The nearest level of each value, the lower of two that are equally near; -1 for a NaN and behind an utterance's end.
template <class S>
void dmel_encode(const Reference&, View<const S, 3> x, const long* lengths, double low, double step, long levels,
                 std::int32_t* codes) {
  for (long n = 0; n < x.shape[0]; ++n)
    for (long t = 0; t < x.shape[1]; ++t)
      for (long c = 0; c < x.shape[2]; ++c, ++codes) {
        const double at = std::ceil((static_cast<double>(x(n, t, c)) - low) / step - 0.5);
        if (std::isnan(at) || (lengths && t >= lengths[n])) *codes = -1;
        else *codes = static_cast<std::int32_t>(std::clamp(at, 0.0, static_cast<double>(levels - 1)));
      }
}
/// The value of each level; 0 for codes that are none.
template <class S>
void dmel_decode(const Reference&, View<const std::int32_t, 1> codes, double low, double step, long levels, S* y) {
  for (long i = 0; i < codes.size(); ++i) {
    const bool known = codes.data[i] >= 0 && codes.data[i] < levels;
    y[i] = known ? static_cast<S>(low + step * codes.data[i]) : S(0);
  }
}

void dmel_encode(const Cuda& cuda, View<const float, 3> x, const long* lengths, double low, double step, long levels,
                 std::int32_t* codes);
void dmel_decode(const Cuda& cuda, View<const std::int32_t, 1> codes, double low, double step, long levels, float* y);

}  // namespace kernel

/// Log-mel frames (N, T, bands) -> codes (N, T, bands) in 0 … levels - 1, and back. Rounding has no gradient.
struct Dmel {
  DmelConfig config;

  /// Throws ConfigError unless there are at least 2 levels between two finite ends.
  explicit Dmel(const DmelConfig& c = {}) : config(c) {
    if (c.levels < 2 || c.steps < 0 || !(c.high > c.low) || !std::isfinite(c.high - c.low))
      throw ConfigError(concat("dmel: need at least 2 levels and low < high, got ", c.levels, " levels in ", c.low,
                               " … ", c.high, " with ", c.steps, " steps"));
  }

  /// -1 stands for a NaN and in the padding.
  template <class B>
  Tensor<B, 3, std::int32_t> encode(const Sequence<B>& x) const {
    check_lengths("dmel", x);
    const Var<B, 3> frames = packed(x.frames);
    auto& ctx = x.context();
    auto codes = ctx.template empty_of<std::int32_t>(frames.shape());
    kernel::dmel_encode(ctx.backend(), frames.in(), x.length_data(), config.low, config.step(), config.levels,
                        codes.data());
    return codes;
  }
  /// The levels of codes; 0 for -1 and whatever else is no level.
  template <class B>
  Sequence<B> decode(Context<B>& ctx, const Tensor<B, 3, std::int32_t>& codes, const Lengths& lengths = {},
                     double rate = 0) const {
    if (!codes.contiguous()) throw ShapeError(concat("dmel: codes ", text(codes.shape()), " must be packed"));
    auto y = ctx.empty(codes.shape());
    kernel::dmel_decode(ctx.backend(), View<const std::int32_t, 1>(codes.data(), {codes.size()}), config.low,
                        config.step(), config.levels, y.data());
    return {ctx.constant(std::move(y)), lengths, rate};
  }
};

}  // namespace phonaut
