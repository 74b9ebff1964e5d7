#pragma once
// Kaldi's mel-frequency cepstral coefficients.
#include "phonaut/core/full_precision.hpp"
#include "phonaut/frontends/kaldi_fbank.hpp"
#include "phonaut/ops/linear.hpp"

namespace phonaut {

/// Waveform (N, samples) -> cepstra (N, T, coefficients), with gradient: the orthonormal cosine transform of the
/// log-mel filterbank, liftered. With use_energy the log energy takes the place of c0; htk_compat puts c0 last (times
/// √2 if it is not the energy).
template <class B>
struct KaldiMfcc {
  struct Config {
    KaldiConfig features = {};
    long coefficients = 13;
    double lifter = 22;  ///< c_i times 1 + lifter / 2 · sin(πi / lifter); 0 leaves them
  };

  /// Throws ConfigError for more coefficients than bands.
  KaldiMfcc(Context<B>& ctx, Config c) : config(c) {
    using S = typename B::Scalar;
    KaldiConfig& f = config.features;
    if (c.coefficients < 1 || c.coefficients > f.bands)
      throw ConfigError(concat("kaldi mfcc: ", c.coefficients, " coefficients cannot come from ", f.bands, " bands"));
    f.use_log = f.use_power = true;
    plan = make_spectral_plan<B>(f.analysis());
    const long columns = plan->columns(), first = f.use_energy && !f.htk_compat ? 1 : 0;
    std::vector<S> rows(static_cast<size_t>(c.coefficients * columns), S(0));
    constexpr double pi = 3.14159265358979323846;
    for (long k = 0; k < c.coefficients; ++k) {
      const long at = f.htk_compat ? (k + c.coefficients - 1) % c.coefficients : k;
      S* const row = rows.data() + at * columns;
      if (k == 0 && f.use_energy) {
        row[plan->tables().energy_column()] = S(1);
        continue;
      }
      const double bands = static_cast<double>(f.bands);
      double scale = std::sqrt((k == 0 ? 1 : 2) / bands);
      if (c.lifter != 0) scale *= 1 + 0.5 * c.lifter * std::sin(pi * static_cast<double>(k) / c.lifter);
      if (k == 0 && f.htk_compat) scale *= std::sqrt(2.0);
      for (long b = 0; b < f.bands; ++b)
        row[first + b] = S(scale * std::cos(pi / bands * (static_cast<double>(b) + 0.5) * static_cast<double>(k)));
    }
    transform = Tensor<B, 2>::persistent(Shape<2>{c.coefficients, columns});
    assign(ctx.backend(), transform, rows);
  }

  /// Throws ConfigError if the waveform has another sample rate.
  Sequence<B> operator()(const Waveform<B>& x) const {
    check_rate("kaldi mfcc", x, config.features.sample_rate);
    const Sequence<B> y = cepstra(spectral_features(kaldi_input(x, config.features), plan));
    return config.features.subtract_mean ? utterance_cmvn(y, {.variance = false}) : y;
  }

  /// The state of `batch` streams. Throws ConfigError as KaldiFbank.
  FeatureStreamState<B> start(long batch) const {
    if (config.features.subtract_mean)
      throw ConfigError("kaldi mfcc: a stream has no mean to subtract before it has ended");
    return start_features<B>("kaldi mfcc", *plan, batch);
  }
  /// The next samples of each stream -> the frames that they complete, as KaldiFbank. The cosine transform may add in
  /// another order than over a whole recording, so that cepstra agree up to rounding.
  Sequence<B> operator()(const Waveform<B>& chunk, FeatureStreamState<B>& state) const {
    return advance(chunk, chunk.time(), state);
  }
  /// Ends all streams that have not ended, and returns what they still give.
  Sequence<B> finish(Context<B>& ctx, FeatureStreamState<B>& state) const {
    const auto nothing = ctx.empty(Shape<2>{state.streams.batch(), 0});
    return advance({ctx.constant(nothing), {}, config.features.sample_rate}, 1, state);
  }
  long frames(long samples) const { return plan->frames(samples); }
  double frame_rate() const { return config.features.sample_rate / static_cast<double>(config.features.frame_shift()); }
  static void visit(auto&, auto&&) {}

  Config config;
  SharedSpectralPlan<typename B::Scalar> plan;
  Tensor<B, 2> transform;

 private:
  Sequence<B> cepstra(const Sequence<B>& bands) const {
    const FullPrecision full(bands.context());
    return bands.with(linear(bands.frames, bands.context().constant(transform)));
  }
  Sequence<B> advance(const Waveform<B>& chunk, long whole, FeatureStreamState<B>& state) const {
    check_rate("kaldi mfcc", chunk, config.features.sample_rate);
    const Streaming<B> streaming(chunk.context());
    return cepstra(stream_features("kaldi mfcc", *plan, kaldi_input(chunk, config.features), whole, state));
  }
};

}  // namespace phonaut
