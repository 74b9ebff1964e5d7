#pragma once
// Weights that suit the data from the first step on. T. Salimans and D. Kingma, "Weight Normalization", 2016, section
// 3; D. Mishkin and J. Matas, "All you need is a good init", 2016.
#include <cmath>
#include <vector>

#include "phonaut/layers/conv1d.hpp"

namespace phonaut {

/// Runs convolutions over whole recordings and rescales each on the way, so that every channel that it gives has mean 0
/// and variance 1 over the real frames of this batch. Deep stacks without normalisation otherwise start with values
/// that fade from layer to layer until biases are all that is left. A model hands its convolutions to it as to
/// WholeRecordings. Weights are changed in place; do it before training, without recording.
class StandardiseConvs {
 public:
  template <class B>
  Sequence<B> operator()(const Conv1d<B>& conv, const Sequence<B>& x) {
    const Moments m = moments(conv(x));
    if (conv.gain) scale(conv.gain, m.inverse, 1);
    else scale(conv.weight, m.inverse, conv.weight.size() / conv.weight.extent(0));
    shift(conv.bias, m);
    return conv(x);
  }
  /// A transposed convolution has no weight of one output channel alone behind its gains: all of it is scaled by one
  /// number, so that the mean variance is 1.
  template <class B>
  Sequence<B> operator()(const ConvTranspose1d<B>& conv, const Sequence<B>& x) {
    Moments m = moments(conv(x));
    double variance = 0;
    for (const double inverse : m.inverse) variance += 1 / (inverse * inverse);
    const double all = 1 / std::sqrt(variance / static_cast<double>(m.inverse.size()));
    m.inverse.assign(m.inverse.size(), all);
    if (conv.gain) scale(conv.gain, {all}, conv.gain.size());
    else scale(conv.weight, {all}, conv.weight.size());
    shift(conv.bias, m);
    return conv(x);
  }
  /// Multiplies what a convolution gives by a number.
  template <class Conv>
  static void amplify(const Conv& conv, double factor) {
    if (conv.gain) scale(conv.gain, {factor}, conv.gain.size());
    else scale(conv.weight, {factor}, conv.weight.size());
    if (conv.bias) scale(conv.bias, {factor}, conv.bias.size());
  }

 private:
  struct Moments {
    std::vector<double> mean, inverse;  // of each channel; 1 over its standard deviation
  };
  template <class B>
  static Moments moments(const Sequence<B>& y) {
    const auto values = values_of(y.frames);
    const auto channels = static_cast<size_t>(y.channels());
    Moments m{std::vector<double>(channels, 0.0), std::vector<double>(channels, 0.0)};
    double count = 0;
    const auto each = [&](auto f) {
      for (long n = 0; n < y.batch(); ++n)
        for (long t = 0; t < y.length(n); ++t)
          for (size_t c = 0; c < channels; ++c)
            f(c, static_cast<double>(values[static_cast<size_t>(n * y.time() + t) * channels + c]));
    };
    for (long n = 0; n < y.batch(); ++n) count += static_cast<double>(y.length(n));
    if (count == 0) throw ShapeError(concat("standardise: a batch of shape ", text(y.frames.shape()), " has no frame"));
    each([&](size_t c, double v) { m.mean[c] += v / count; });
    each([&](size_t c, double v) { m.inverse[c] += (v - m.mean[c]) * (v - m.mean[c]) / count; });
    for (double& v : m.inverse) v = 1 / std::sqrt(std::max(v, 1e-12));  // a channel that never changes stays small
    return m;
  }
  /// Multiplies each `width` elements by their factor.
  template <class B, size_t R>
  static void scale(const Param<B, R>& p, const std::vector<double>& factors, long width) {
    using S = typename B::Scalar;
    Context<B> ctx;
    auto values = values_of(ctx, p.tensor());
    for (size_t i = 0; i < values.size(); ++i) values[i] *= S(factors[i / static_cast<size_t>(width)]);
    Tensor<B, R> in_place = p.tensor();
    assign(ctx.backend(), in_place, values);
  }
  /// bias = (bias - mean) / deviation.
  template <class B>
  static void shift(const Param<B, 1>& bias, const Moments& m) {
    using S = typename B::Scalar;
    if (!bias) return;
    Context<B> ctx;
    auto values = values_of(ctx, bias.tensor());
    for (size_t c = 0; c < values.size(); ++c)
      values[c] = S((static_cast<double>(values[c]) - m.mean[c]) * m.inverse[c]);
    Tensor<B, 1> in_place = bias.tensor();
    assign(ctx.backend(), in_place, values);
  }
};

}  // namespace phonaut
