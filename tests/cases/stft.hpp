#include "case.hpp"
#include "phonaut/ops/stft.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(stft) {
  struct Size {
    long batch, samples;
    StftConfig config;
  };
  const std::vector<Size> sizes{
      {2, 150, {.n_fft = 16, .hop = 5}},                                          // odd half hop, tail lanes
      {1, 90, {.n_fft = 30, .hop = 7, .window_length = 20, .edge = Edge::zero}},  // radices 3 and 5
      {1, 61, {.n_fft = 21, .hop = 4, .centre = false}},                          // odd size
      {1, 40, {.n_fft = 22, .hop = 11, .scale = StftConfig::Scale::length}},      // a prime without butterfly
      {2, 5, {.n_fft = 16, .hop = 4, .scale = StftConfig::Scale::window}},        // shorter than the padding
      {1, 3, {.n_fft = 2, .hop = 1, .window = Window::rectangular(), .centre = false}},
      {1, 300, {.n_fft = 127, .hop = 60}},                      // a large prime
      {1, 127, {.n_fft = 127, .hop = 60, .centre = false}},     // one frame of it
      {2, 30, {.n_fft = 6000, .hop = 16, .edge = Edge::zero}},  // larger than a GPU's shared memory
      {1, 40, {.n_fft = 4374, .hop = 40, .window_length = 60, .edge = Edge::zero}}};
  for (const Size& s : sizes) {
    const auto x = normal(Shape<2>{s.batch, s.samples}, 1);
    const StftConfig config = s.config;
    const std::string name = std::to_string(s.samples) + " samples, n_fft " + std::to_string(config.n_fft);
    // A transform adds log2(n) roundings of both signs; windows and twiddles are rounded once more.
    const double tolerance = 16 * eps;
    add(name, inputs(x), [=](const auto& v) { return stft(v, config); }, {.tolerance = tolerance, .time = false});
    for (auto [label, spectrum] : {std::pair{"power", Spectrum::power}, {"smooth", Spectrum::smooth_magnitude}})
      add(name + " " + label, inputs(x), [=, s = spectrum](const auto& v) { return spectrogram(v, config, s, 1e-3); },
          {.tolerance = 2 * tolerance, .time = false});
    // The derivative of |X| is X / |X|: where |X| is small beside the largest, its direction has few digits.
    add(name + " magnitude", inputs(x), [=](const auto& v) { return spectrogram(v, config, Spectrum::magnitude); },
        {.tolerance = tolerance, .gradient = 2e-3, .time = false});
  }
  const auto x = normal(Shape<2>{1, 160000}, 1);
  for (long n : {512L, 1024L, 2048L})
    add("10 s, n_fft " + std::to_string(n), inputs(x),
        [n](const auto& v) { return spectrogram(v, StftConfig{.n_fft = n, .hop = n / 4}); },
        {.bytes = 4.0 * 160000 * 3, .flops = 160000.0 / (n / 4.0) * 2.5 * n * std::log2(n), .check = false});
}

}  // namespace
