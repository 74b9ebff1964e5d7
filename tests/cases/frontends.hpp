#include "case.hpp"
#include "phonaut/frontends/deltas.hpp"
#include "phonaut/frontends/kaldi_mfcc.hpp"
#include "phonaut/frontends/log_mel.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

/// A batch of waves with lengths (or without, if none are given) through a frontend.
template <template <class> class Frontend, class B, class Config>
Var<B, 3> features(const Var<B, 2>& x, const Config& config, const std::vector<long>& lengths = {}) {
  Waveform<B> wave{x, {}, 0};
  if (!lengths.empty()) wave.lengths = lengths_of(x.context(), lengths);
  return Frontend<B>(x.context(), config)(wave).frames;
}
template <class B>
typename LogMel<B>::Config small(const Var<B, 2>&, long kind) {
  auto c = kind == 0   ? LogMel<B>::whisper(12)
           : kind == 1 ? LogMel<B>::hifigan(8000, 64, 16, 10, 0)
           : kind == 2 ? LogMel<B>::torchaudio(8)
                       : LogMel<B>::nemo(8);
  if (kind == 3) c.dither = 0, c.window_length = 50;  // whatever is drawn, the kernels compute the same
  c.sample_rate = 8000;
  c.n_fft = 64;
  c.hop = 20;
  c.high = 0;
  return c;
}
template <class B>
Sequence<B> padded(const Var<B, 3>& x, const std::vector<long>& lengths) {
  return {x, lengths_of(x.context(), lengths), 0};
}

CASES(frontends) {
  const auto x = normal(Shape<2>{2, 500}, 1);
  // Where a band holds few bins, its logarithm magnifies the rounding of the transform, which is relative to the
  // loudest bin of the frame; and so does the gradient, which divides by the band's power.
  constexpr double tolerance = 1e-4, gradient = 2e-3;
  for (long kind : {0L, 1L, 2L, 3L})
    add(std::string("log-mel ") + (kind == 0   ? "whisper"
                                   : kind == 1 ? "hifigan"
                                   : kind == 2 ? "torchaudio"
                                               : "nemo"),
        inputs(x),
        [=](const auto& v) {
          return features<LogMel>(v, small(v, kind), {500, 321});
        },
        {.tolerance = tolerance, .gradient = gradient, .time = false});
  for (long n : {6000L, 254L})  // larger than a GPU's shared memory; with a large prime
    add("log-mel whisper, n_fft " + std::to_string(n), inputs(x),
        [=](const auto& v) {
          auto c = small(v, 0);
          c.n_fft = n;
          c.hop = 100;
          return features<LogMel>(v, c, {500, 321});
        },
        {.tolerance = tolerance, .gradient = gradient, .time = false});

  KaldiConfig base{.sample_rate = 8000, .frame_length_ms = 8, .frame_shift_ms = 3, .bands = 9};
  std::vector<std::pair<std::string, KaldiConfig>> kaldi{{"default", base}};
  const auto variant = [&](const std::string& name, auto change) {
    kaldi.emplace_back(name, base);
    change(kaldi.back().second);
  };
  variant("mirrored", [](KaldiConfig& c) { c.snip_edges = false; });
  variant("raw energy", [](KaldiConfig& c) { c.use_energy = true, c.energy_floor = 0; });
  variant("windowed energy, htk", [](KaldiConfig& c) { c.use_energy = c.htk_compat = true, c.raw_energy = false; });
  variant("no preemphasis", [](KaldiConfig& c) { c.preemphasis = 0, c.remove_dc = false, c.window = Window::hann(); });
  variant("linear magnitude", [](KaldiConfig& c) { c.use_log = c.use_power = false, c.round_to_power_of_two = false; });
  variant("large primes, raw energy", [](KaldiConfig& c) {
    c.frame_length_ms = 254. / 8, c.round_to_power_of_two = false;
    c.use_energy = true, c.energy_floor = 0;
  });
  variant("large primes, windowed energy", [](KaldiConfig& c) {
    c.frame_length_ms = 127. / 8, c.round_to_power_of_two = false;
    c.use_energy = c.htk_compat = true, c.raw_energy = false;
  });
  variant("mean removed", [](KaldiConfig& c) { c.subtract_mean = true, c.input_scale = 100; });
  for (const auto& [name, config] : kaldi)
    add("kaldi " + name, inputs(x),
        [c = config](const auto& v) {
          return features<KaldiFbank>(v, c, {500, 377});
        },
        {.tolerance = tolerance, .gradient = gradient, .time = false});
  for (bool energy : {false, true}) {
    base.use_energy = base.htk_compat = energy;
    add(std::string("mfcc") + (energy ? " with energy, htk" : ""), inputs(x),
        [base](const auto& v) {
          using B = typename std::remove_cvref_t<decltype(v)>::Backend;
          return features<KaldiMfcc>(v, typename KaldiMfcc<B>::Config{.features = base, .coefficients = 7});
        },
        {.tolerance = tolerance, .gradient = gradient, .time = false});
  }

  const auto f = normal(Shape<3>{2, 13, 3}, 2, 1, 2);
  // Sums are in double; the division by the deviation rounds once more.
  for (bool unbiased : {false, true})
    for (bool outside : {false, true})
      add(std::string("utterance cmvn") + (unbiased ? ", unbiased" : "") + (outside ? ", eps outside" : ""), inputs(f),
          [=](const auto& v) {
            return utterance_cmvn(padded(v, {13, 5}), {.unbiased = unbiased, .eps_outside = outside}).frames;
          },
          {.tolerance = 8 * eps, .time = false});
  for (bool centre : {false, true})
    for (bool variance : {false, true})
      add(std::string("sliding cmvn") + (centre ? " centred" : "") + (variance ? " variance" : ""), inputs(f),
          [=](const auto& v) {
            return sliding_cmvn(padded(v, {13, 4}),
                                {.window = 6, .min_window = 3, .centre = centre, .variance = variance})
                .frames;
          },
          {.tolerance = 8 * eps, .gradient = 64 * eps, .time = false});
  add("kaldi deltas", inputs(f),
      [](const auto& v) {
        return add_deltas(padded(v, {13, 2})).frames;
      },
      {.tolerance = 4 * eps, .time = false});
  add("floor below peak", inputs(f),
      [](const auto& v) {
        return floor_below_peak(padded(v, {13, 6}), 1.5, 4, 0.25).frames;
      },
      {.tolerance = 4 * eps, .time = false});

  const auto minute = normal(Shape<2>{1, 960000}, 3, 0.1);
  add("kaldi 80 bands, 60 s", inputs(minute),
      [](const auto& v) { return features<KaldiFbank>(v, KaldiConfig::lhotse()); },
      {.bytes = 4.0 * (960000 + 6000 * 80), .flops = 6000 * 2.5 * 512 * 9, .check = false});
}

}  // namespace
