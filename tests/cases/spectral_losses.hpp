#include "case.hpp"
#include "phonaut/ops/spectral_scales.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

template <class B>
Waveform<B> batch_of(const Var<B, 2>& x, const std::vector<long>& lengths) {
  Waveform<B> wave{x, {}, 0};
  if (!lengths.empty()) wave.lengths = lengths_of(x.context(), lengths);
  return wave;
}
const auto loss_of = [](const auto& config, const std::vector<long>& lengths) {
  return [=](const auto& x, const auto& y) {
    using B = typename std::remove_cvref_t<decltype(x)>::Backend;
    return SpectralScales<B>(config)(batch_of(x, lengths), batch_of(y, lengths));
  };
};

CASES(spectral_losses) {
  const auto x = normal(Shape<2>{2, 300}, 1), y = normal(Shape<2>{2, 300}, 2);
  // Values are means; gradients divide by magnitudes, of which the smallest have few digits.
  const Limits limits{.tolerance = 1e-5, .gradient = 3e-3, .time = false};
  for (const std::vector<long>& lengths : {std::vector<long>{}, std::vector<long>{300, 170}}) {
    const std::string tail = lengths.empty() ? "" : ", padded";
    add("auraloss" + tail, inputs(x, y),
        loss_of(MrStftConfig{.resolutions = {{64, 10, 40}, {32, 8, 32}}, .linear_magnitude = 0.5}, lengths), limits);
    add("dac mel" + tail, inputs(x, y),
        loss_of(DacMelConfig{.windows = {16, 64}, .bands = {3, 8}, .magnitude_weight = 0.5}, lengths), limits);
    add("dac stft" + tail, inputs(x, y), loss_of(DacStftConfig{.windows = {64, 16}}, lengths), limits);
    add("encodec mel" + tail, inputs(x, y), loss_of(EncodecMelConfig{.first = 4, .last = 6, .bands = 6}, lengths),
        limits);
    add("lsd" + tail, inputs(x, y), loss_of(LsdConfig{.n_fft = 64, .hop = 16}, lengths), limits);
  }
  const auto a = normal(Shape<2>{8, 24000}, 1, 0.1), b = normal(Shape<2>{8, 24000}, 2, 0.1);
  add("dac mel, 8 × 1 s at 24 kHz", inputs(a, b), loss_of(DacMelConfig{.sample_rate = 24000}, {}),
      {.bytes = 8.0 * 8 * 24000, .check = false});
  add("auraloss, 8 × 1 s at 24 kHz", inputs(a, b), loss_of(MrStftConfig{}, {}),
      {.bytes = 8.0 * 8 * 24000, .check = false});
}

}  // namespace
