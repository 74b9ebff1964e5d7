#pragma once
// Mean and variance normalisation of features: of each utterance, of a sliding window, or with fixed statistics.
#include "phonaut/core/math.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

struct UtteranceCmvn {
  bool variance = true;  ///< also divide by sqrt(variance + eps); the variance is the biased one
  double eps = 1e-5;
};
/// Kaldi's sliding window.
struct SlidingCmvn {
  long window = 600;
  long min_window = 100;  ///< at the start, when not centred
  bool centre = false;    ///< else the window ends with the current frame
  bool variance = false;  ///< biased; a window of one frame gives 0
};

namespace kernel {

/// Frames begin … end-1 that the window of frame i of `time` covers.
struct CmvnWindow {
  long begin, end;
  CmvnWindow(const SlidingCmvn& o, long i, long time) {
    begin = o.centre ? i - o.window / 2 : i - o.window;
    end = o.centre ? begin + o.window : i + 1;
    if (begin < 0) {
      end -= begin;
      begin = 0;
    }
    if (!o.centre && end > i) end = std::max(i + 1, o.min_window);
    if (end > time) {
      begin = std::max(0L, begin - (end - time));
      end = time;
    }
  }
};

/// Calls f(i, mean, scale, window) for each frame of one channel; x has `time` values, `step` apart. `scale` is 1 over
/// the deviation, 1 without variance, 0 for a window of one frame with it.
template <class S, class Options, class F>
void for_each_window(const Options& o, const S* x, long time, long step, const F& f) {
  using W = Wide<S>;
  using math::max;
  using math::sqrt;
  constexpr bool sliding = std::is_same_v<Options, SlidingCmvn>;
  W sum(0), squares(0), mean(0), scale(1);
  long begin = 0, end = 0;
  for (long i = 0; i < time; ++i) {
    long want_begin = 0, want_end = time;
    if constexpr (sliding) {
      const CmvnWindow w(o, i, time);
      want_begin = w.begin, want_end = w.end;
    }
    if (i == 0 || want_begin != begin || want_end != end) {
      for (; end < want_end; ++end) {
        const W v(x[end * step]);
        sum += v, squares += v * v;
      }
      for (; begin < want_begin; ++begin) {
        const W v(x[begin * step]);
        sum -= v, squares -= v * v;
      }
      const W n(static_cast<double>(end - begin));
      mean = sum / n;
      if (o.variance) {
        W variance(0);
        if constexpr (sliding) variance = max(squares / n - mean * mean, W(1e-10));  // Kaldi's floor
        else {
          for (long j = 0; j < time; ++j) {
            const W d = W(x[j * step]) - mean;
            variance += d * d;
          }
          variance = variance / n + W(o.eps);
        }
        if (sliding && end - begin == 1) scale = W(0);
        else scale = W(1) / sqrt(variance);
      }
    }
    f(i, mean, scale, begin, end);
  }
}

/// y = (x - mean) / deviation, per channel; 0 behind the last real frame.
template <class S, class Options>
void cmvn_forward(const Reference&, const Options& o, View<const S, 3> x, const long* lengths, View<S, 3> y) {
  using W = Wide<S>;
  const long time = x.shape[1], channels = x.shape[2];
  for (long n = 0; n < x.shape[0]; ++n) {
    const long real = lengths ? lengths[n] : time;
    for (long c = 0; c < channels; ++c) {
      const S* const from = x.data + n * time * channels + c;
      S* const to = y.data + n * time * channels + c;
      for_each_window(o, from, real, channels, [&](long i, W mean, W scale, long, long) {
        to[i * channels] = static_cast<S>((W(from[i * channels]) - mean) * scale);
      });
      for (long i = real; i < time; ++i) to[i * channels] = S(0);
    }
  }
}

/// y_i = (x_i - m_i) r_i with m and r^-2 = v the mean and variance over the window of i. Then
///   dx_j = dy_j r_j + Σ_{i: j in window(i)} [ -dy_i r_i + 2 dv_i (x_j - m_i) ] / n_i,   dv_i = -dy_i (x_i - m_i) r_i³
///   / 2.
/// Both terms of the sum are constant, or linear in x_j, over a range of j: they are added at its ends and summed once.
/// `ranges` (2, T + 1) is scratch.
template <class S, class Options>
void cmvn_backward(const Reference&, const Options& o, View<const S, 3> dy, View<const S, 3> x, const long* lengths,
                   Sink<S, 3> dx, View<Wide<S>, 2> ranges) {
  using W = Wide<S>;
  const long time = x.shape[1], channels = x.shape[2];
  W *const constant = ranges.row(0), *const linear = ranges.row(1);
  for (long n = 0; n < x.shape[0]; ++n) {
    const long real = lengths ? lengths[n] : time;
    for (long c = 0; c < channels; ++c) {
      const long at = n * time * channels + c;
      const S *const from = x.data + at, *const dfrom = dy.data + at;
      std::fill(constant, constant + real + 1, W(0));
      std::fill(linear, linear + real + 1, W(0));
      const auto put = [&](long i, W g) { dx.put(at + i * channels, static_cast<S>(g)); };
      for_each_window(o, from, real, channels, [&](long i, W mean, W scale, long begin, long end) {
        const W d(dfrom[i * channels]), n_i(static_cast<double>(end - begin));
        W flat = -d * scale / n_i, slope(0);
        if (o.variance) {
          // A floored variance (1e-10, so a scale of 1e5) is a constant.
          const bool floored = std::is_same_v<Options, SlidingCmvn> && scale >= W(0.9999999e5);
          const W dv = floored ? W(0) : W(-0.5) * d * (W(from[i * channels]) - mean) * scale * scale * scale;
          slope = W(2) * dv / n_i;
          flat -= slope * mean;
        }
        constant[begin] += flat, constant[end] -= flat;
        linear[begin] += slope, linear[end] -= slope;
        put(i, d * scale);
      });
      W flat(0), slope(0);
      for (long i = 0; i < real; ++i) {
        flat += constant[i], slope += linear[i];
        dx.data[at + i * channels] += static_cast<S>(flat + slope * W(from[i * channels]));
      }
      if (!dx.add)
        for (long i = real; i < time; ++i) dx.data[at + i * channels] = S(0);
    }
  }
}

}  // namespace kernel

namespace detail {

template <class B, class Options>
Sequence<B> cmvn(const char* op, const Sequence<B>& any, const Options& o) {
  using S = typename B::Scalar;
  using W = kernel::Wide<S>;
  check_lengths(op, any);
  const Sequence<B> x = any.with(packed(any.frames));
  auto& ctx = x.context();
  auto y = ctx.empty(x.frames.shape());
  kernel::cmvn_forward(ctx.backend(), o, x.frames.in(), x.length_data(), y.out());
  return x.with(record(
      std::move(y),
      [=](Context<B>& c, const Tensor<B, 3>& dy) {
        const auto dx = c.sink(x.frames);
        if (!dx) return;
        const auto ranges = c.template empty_of<W>(Shape<2>{2, x.time() + 1});
        kernel::cmvn_backward(c.backend(), o, dy.in(), x.frames.in(), x.length_data(), dx, ranges.out());
      },
      x.frames));
}

}  // namespace detail

/// Subtracts each channel's mean over the utterance, and divides by its deviation. Frames behind the end are zero.
template <class B>
Sequence<B> utterance_cmvn(const Sequence<B>& x, const UtteranceCmvn& options = {}) {
  return detail::cmvn("utterance_cmvn", x, options);
}
/// The same over a window around each frame, as Kaldi's apply-cmvn-sliding. Throws ConfigError for an empty window.
template <class B>
Sequence<B> sliding_cmvn(const Sequence<B>& x, const SlidingCmvn& options = {}) {
  if (options.window < 1 || options.min_window < 1)
    throw ConfigError(concat("sliding_cmvn: windows need at least 1 frame, got ", options.window, " and a minimum of ",
                             options.min_window));
  return detail::cmvn("sliding_cmvn", x, options);
}

}  // namespace phonaut
