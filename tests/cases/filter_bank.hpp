#include "case.hpp"
#include "phonaut/frontends/cmvn.hpp"
#include "phonaut/frontends/cqt.hpp"
#include "phonaut/frontends/gammatone.hpp"
#include "phonaut/frontends/resample.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

template <class B>
Waveform<B> wave(const Var<B, 2>& x, const std::vector<long>& lengths = {}, double rate = 0) {
  Waveform<B> w{x, {}, rate};
  if (!lengths.empty()) w.lengths = lengths_of(x.context(), lengths);
  return w;
}

CASES(filter_bank) {
  const auto x = normal(Shape<2>{2, 90}, 1);
  using Taper = ResampleConfig::Taper;
  // Sums of up to some hundred products in float, of which a few dozen are not tiny.
  constexpr double tolerance = 16 * eps;
  for (const ResampleConfig& c : {ResampleConfig{.from = 2, .to = 3}, ResampleConfig{.from = 3, .to = 2},
                                  ResampleConfig{.from = 48000, .to = 16000}, ResampleConfig{.from = 441, .to = 160},
                                  ResampleConfig{.from = 2, .to = 1, .taper = Taper::kaiser, .zeros = 16},
                                  ResampleConfig{.from = 8000, .to = 8000}})
    add("resample " + std::to_string(c.from) + " to " + std::to_string(c.to), inputs(x),
        [c](const auto& v) {
          return resample(wave(v, {90, 41}), c).samples;
        },
        {.tolerance = tolerance, .time = false});
  add("resample one sample", inputs(normal(Shape<2>{1, 1}, 2)),
      [](const auto& v) { return resample(wave(v), ResampleConfig{.from = 3, .to = 7}).samples; },
      {.tolerance = tolerance, .time = false});
  add("cqt", inputs(x),
      [](const auto& v) {
        using B = typename std::remove_cvref_t<decltype(v)>::Backend;
        const Cqt<B> cqt(v.context(), {.sample_rate = 800, .low = 40, .bins = 9, .per_octave = 4, .hop = 16});
        return cqt(wave(v, {90, 33})).frames;
      },
      {.tolerance = tolerance, .time = false});
  for (const int scale : {0, 1, 2})
    add(std::string("cochleagram") + (scale == 0   ? ""
                                      : scale == 1 ? " logarithm"
                                                   : " cube root"),
        inputs(x),
        [scale](const auto& v) {
          using B = typename std::remove_cvref_t<decltype(v)>::Backend;
          using Scale = typename Cochleagram<B>::Scale;
          const Cochleagram<B> bank(v.context(), {.sample_rate = 1000,
                                                  .filters = 4,
                                                  .low = 50,
                                                  .high = 400,
                                                  .taps = 24,
                                                  .window = 20,
                                                  .hop = 8,
                                                  .scale = static_cast<Scale>(scale)});
          return bank(wave(v, {90, 45})).frames;
        },
        // Energies of quiet filters are small, and their logarithms and gradients enlarge the rounding.
        {.tolerance = 2 * tolerance, .gradient = 16 * tolerance, .time = false});
  add("global cmvn", inputs(normal(Shape<3>{2, 7, 3}, 3)),
      [](const auto& v) {
        using B = typename std::remove_cvref_t<decltype(v)>::Backend;
        GlobalCmvn<B> cmvn(v.context(), 3);
        cmvn.set(v.context(), {1, -2, 0.5}, {2, 0.5, 1});
        return cmvn(sequence_of(v, std::vector<long>{7, 4})).frames;
      },
      {.tolerance = 8 * eps, .time = false});  // a difference of rounded numbers, scaled by a rounded one

  const auto second = normal(Shape<2>{1, 44100}, 4);
  add("resample 44.1 to 16 kHz, 1 s", inputs(second),
      [](const auto& v) { return resample(wave(v), ResampleConfig{.from = 44100, .to = 16000}).samples; },
      {.bytes = 4.0 * (44100 + 16000), .flops = 2.0 * 16000 * 475, .check = false});
}

}  // namespace
