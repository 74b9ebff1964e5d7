#include "case.hpp"
#include "phonaut/ops/stft.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

/// x as spectra: (N, T, F, 2).
template <class B>
Var<B, 2> head(const Var<B, 3>& x, const StftConfig& config, bool same, double clip) {
  return istft_head(Sequence<B>{x, {}, 0}, make_head_plan<B>(config, same, clip)).samples;
}

CASES(istft) {
  struct Size {
    long batch, frames, samples;
    StftConfig config;
  };
  const std::vector<Size> sizes{{2, 20, -1, {.n_fft = 16, .hop = 4}},
                                {1, 7, 40, {.n_fft = 30, .hop = 6, .window_length = 20}},
                                {1, 17, 90, {.n_fft = 21, .hop = 5}},
                                {1, 2, 30, {.n_fft = 16, .hop = 8, .scale = StftConfig::Scale::length}},
                                {1, 1, -1, {.n_fft = 12, .hop = 3, .window = Window::rectangular(), .centre = false}},
                                {1, 6, -1, {.n_fft = 127, .hop = 31}},      // a large prime
                                {2, 3, -1, {.n_fft = 6000, .hop = 1500}}};  // larger than a GPU's shared memory
  for (const Size& s : sizes) {
    const StftConfig config = s.config;
    const long bins = config.n_fft / 2 + 1, samples = s.samples;
    const std::string name = std::to_string(s.frames) + " frames, n_fft " + std::to_string(config.n_fft);
    // As for the transform; the division by the envelope can enlarge errors at the ends, where windows are small.
    const double tolerance = 32 * eps;
    add(name, inputs(normal(Shape<4>{s.batch, s.frames, bins, 2}, 1)),
        [=](const auto& v) { return istft(v, config, samples); }, {.tolerance = tolerance, .time = false});
    if (config.hop * 2 <= config.n_fft)
      add(name + " polar", inputs(normal(Shape<3>{s.batch, s.frames, 2 * bins}, 1)),
          [=](const auto& v) { return head(v, config, false, 3.0); }, {.tolerance = tolerance, .time = false});
  }
  const StftConfig vocoder{.n_fft = 64, .hop = 16};
  add("polar, same padding", inputs(normal(Shape<3>{1, 9, 66}, 1)),
      [=](const auto& v) { return head(v, vocoder, true, 100.0); }, {.tolerance = 32 * eps, .time = false});
  const StftConfig large{.n_fft = 1024, .hop = 256};
  add("polar 1024, 10 s", inputs(normal(Shape<3>{1, 625, 1026}, 1)),
      [=](const auto& v) { return head(v, large, true, 100.0); },
      {.bytes = 4.0 * 625 * 1026, .flops = 625 * 2.5 * 1024 * 10, .check = false});
}

}  // namespace
