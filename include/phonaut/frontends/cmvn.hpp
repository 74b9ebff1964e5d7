#pragma once
// Mean and variance normalisation of features: of each utterance, of a sliding window, or with statistics of a corpus.
#include <algorithm>
#include <cmath>
#include <vector>

#include "phonaut/core/math.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/broadcast.hpp"
#include "phonaut/ops/mask_frames.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

struct UtteranceCmvn {
  bool variance = true;      ///< also divide by sqrt(variance + eps)
  double eps = 1e-5;         ///< the divisor is never below it: a constant channel, or a single frame, gives 0
  bool unbiased = false;     ///< the variance divides by frames - 1
  bool eps_outside = false;  ///< divide by sqrt(variance) + eps
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
  PHONAUT_HD PHONAUT_INLINE CmvnWindow(const SlidingCmvn& o, long i, long time) {
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

/// What a window of frames has in common.
template <class W>
struct CmvnMoments {
  W mean;
  W scale;  ///< r: 1 over the deviation; 1 without variance, 0 for a sliding window of one frame with it
  W fall;   ///< -2 dr / d variance
  W share;  ///< of a squared difference in the variance
  long begin, end;
};

/// The moments of a whole utterance that follow from Σ (x - mean)² over its frames.
template <class W>
PHONAUT_HD PHONAUT_INLINE void scale_by_variance(const UtteranceCmvn& o, const W& square, CmvnMoments<W>& m) {
  using math::sqrt;
  m.share = W(1) / W(static_cast<double>(std::max(1L, m.end - m.begin - (o.unbiased ? 1 : 0))));
  const W variance = square * m.share;
  const W deviation = sqrt(o.eps_outside ? variance : variance + W(o.eps));
  m.scale = W(1) / (o.eps_outside ? deviation + W(o.eps) : deviation);
  m.fall = deviation > W(0) ? m.scale * m.scale / deviation : W(0);
}

/// Calls f(i, moments) for each frame of one channel; x has `time` values, `step` apart.
template <class S, class Options, class F>
PHONAUT_HD PHONAUT_INLINE void for_each_window(const Options& o, const S* x, long time, long step, const F& f) {
  using W = Wide<S>;
  using math::max;
  using math::sqrt;
  constexpr bool sliding = std::is_same_v<Options, SlidingCmvn>;
  W sum(0), squares(0);
  CmvnMoments<W> m{W(0), W(1), W(0), W(0), 0, 0};
  long &begin = m.begin, &end = m.end;
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
      m.mean = sum / n;
      if (o.variance) {
        if constexpr (sliding) {
          constexpr double least = 1e-10;  // Kaldi's floor
          const W variance = squares / n - m.mean * m.mean;
          m.share = W(1) / n;
          m.scale = end - begin == 1 ? W(0) : W(1) / sqrt(max(variance, W(least)));
          m.fall = variance > W(least) ? m.scale * m.scale * m.scale : W(0);
        } else {
          W square(0);
          for (long j = 0; j < time; ++j) {
            const W d = W(x[j * step]) - m.mean;
            square += d * d;
          }
          scale_by_variance(o, square, m);
        }
      }
    }
    f(i, m);
  }
}

/// y = (x - mean) / deviation, per channel; 0 behind the last real frame.
template <class S, class Options>
void cmvn_forward(const Reference&, const Options& o, View<const S, 3> x, const long* lengths, View<S, 3> y) {
  using W = Wide<S>;
  const long time = x.shape[1], channels = x.shape[2];
  for (long n = 0; n < x.shape[0] && time > 0; ++n) {  // frames of no time have no memory
    const long real = lengths ? lengths[n] : time;
    for (long c = 0; c < channels; ++c) {
      const S* const from = x.data + n * time * channels + c;
      S* const to = y.data + n * time * channels + c;
      for_each_window(o, from, real, channels, [&](long i, const CmvnMoments<W>& m) {
        to[i * channels] = static_cast<S>((W(from[i * channels]) - m.mean) * m.scale);
      });
      for (long i = real; i < time; ++i) to[i * channels] = S(0);
    }
  }
}

/// y_i = (x_i - m_i) r_i with m the mean and r a function of the variance v = q Σ (x - m)² over the window of i. Then
///   dx_j = dy_j r_j + Σ_{i: j in window(i)} [ -dy_i r_i / n_i + 2 q_i dv_i (x_j - m_i) ],
///   dv_i = dy_i (x_i - m_i) dr / dv.
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
      for_each_window(o, from, real, channels, [&](long i, const CmvnMoments<W>& m) {
        const W d(dfrom[i * channels]), n_i(static_cast<double>(m.end - m.begin));
        W flat = -d * m.scale / n_i, slope(0);
        if (o.variance) {
          slope = -m.share * m.fall * d * (W(from[i * channels]) - m.mean);
          flat -= slope * m.mean;
        }
        constant[m.begin] += flat, constant[m.end] -= flat;
        linear[m.begin] += slope, linear[m.end] -= slope;
        put(i, d * m.scale);
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

void cmvn_forward(const Cuda& cuda, const UtteranceCmvn& o, View<const float, 3> x, const long* lengths,
                  View<float, 3> y);
void cmvn_backward(const Cuda& cuda, const UtteranceCmvn& o, View<const float, 3> dy, View<const float, 3> x,
                   const long* lengths, Sink<float, 3> dx, View<double, 2> ranges);
void cmvn_forward(const Cuda& cuda, const SlidingCmvn& o, View<const float, 3> x, const long* lengths,
                  View<float, 3> y);
void cmvn_backward(const Cuda& cuda, const SlidingCmvn& o, View<const float, 3> dy, View<const float, 3> x,
                   const long* lengths, Sink<float, 3> dx, View<double, 2> ranges);

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

/// Mean and deviation of each channel over any number of batches. Sums are in double; those of several workers add up.
struct FeatureStatistics {
  long frames = 0;
  std::vector<double> sum, squares;  ///< (C), empty before the first batch

  /// Throws ShapeError for another number of channels than before.
  template <class B>
  void add(const Sequence<B>& x) {
    check_lengths("feature statistics", x);
    const auto values = values_of(x.frames);
    const size_t channels = static_cast<size_t>(x.channels());
    fit(channels);
    for (long n = 0; n < x.batch(); ++n) {
      frames += x.length(n);
      for (long t = 0; t < x.length(n); ++t)
        for (size_t c = 0; c < channels; ++c) {
          const double v = static_cast<double>(values[static_cast<size_t>(n * x.time() + t) * channels + c]);
          sum[c] += v, squares[c] += v * v;
        }
    }
  }
  void add(const FeatureStatistics& other) {
    if (other.sum.empty()) return;
    fit(other.sum.size());
    frames += other.frames;
    for (size_t c = 0; c < sum.size(); ++c) sum[c] += other.sum[c], squares[c] += other.squares[c];
  }
  /// (C); zeros of no frames.
  std::vector<double> mean() const {
    std::vector<double> m = sum;
    for (double& v : m) v /= static_cast<double>(std::max(1L, frames));
    return m;
  }
  /// sqrt(biased variance), at least `least`.
  std::vector<double> deviation(double least = 1e-5) const {
    const std::vector<double> m = mean();
    std::vector<double> d = squares;
    for (size_t c = 0; c < d.size(); ++c) {
      const double variance = d[c] / static_cast<double>(std::max(1L, frames)) - m[c] * m[c];
      d[c] = std::sqrt(std::max(variance, least * least));
    }
    return d;
  }

 private:
  void fit(size_t channels) {
    if (sum.empty()) sum.resize(channels), squares.resize(channels);
    if (sum.size() != channels)
      throw ShapeError(
          concat("feature statistics: frames have ", channels, " channels, but ", sum.size(), " were counted before"));
  }
};

/// (x - mean) / deviation with the same numbers for every utterance; frames behind the end are zero. The numbers are
/// saved with a model, but not trained.
template <class B>
struct GlobalCmvn {
  State<B, 1> mean;   ///< (C)
  State<B, 1> scale;  ///< (C) 1 / deviation

  /// Mean 0 and deviation 1, until `set` or a checkpoint says otherwise.
  GlobalCmvn(Context<B>& ctx, long channels)
      : mean(make_state<typename B::Scalar>(ctx, Shape<1>{channels}, Init::constant(0))),
        scale(make_state<typename B::Scalar>(ctx, Shape<1>{channels}, Init::constant(1))) {}

  /// Throws ShapeError for another number of channels, ConfigError for a deviation that is not greater than 0.
  void set(Context<B>& ctx, const std::vector<double>& means, const std::vector<double>& deviations) {
    using S = typename B::Scalar;
    if (means.size() != static_cast<size_t>(mean.size()) || deviations.size() != means.size())
      throw ShapeError(concat("global cmvn: ", means.size(), " means and ", deviations.size(),
                              " deviations do not fit ", mean.size(), " channels"));
    std::vector<S> m, s;
    for (size_t c = 0; c < means.size(); ++c) {
      if (!(deviations[c] > 0))
        throw ConfigError(
            concat("global cmvn: the deviation of channel ", c, " is ", deviations[c], ", but must be greater than 0"));
      m.push_back(static_cast<S>(means[c]));
      s.push_back(static_cast<S>(1 / deviations[c]));
    }
    assign(ctx.backend(), mean.tensor(), m);
    assign(ctx.backend(), scale.tensor(), s);
  }
  Sequence<B> operator()(const Sequence<B>& x) const {
    auto& ctx = x.context();
    const Var<B, 1> shift = -ctx.constant(mean.tensor());
    return mask_frames(x.with(scale_channels(add_channels(x.frames, shift), ctx.constant(scale.tensor()))));
  }
  static void visit(auto& self, auto&& f) {
    f("mean", self.mean);
    f("scale", self.scale);
  }
};

}  // namespace phonaut
