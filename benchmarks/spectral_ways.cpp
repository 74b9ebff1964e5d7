// Log-mel features on a GPU by either way to their spectra, own kernel and cuFFT, which kernels/cuda/spectral_rows.cuh
// chooses from. In a size that the own kernel has no shared memory for, both names tell of cuFFT, so there are none.
#include <cmath>
#include <string>
#include <utility>

#include "cases/case.hpp"
#include "phonaut/frontends/log_mel.hpp"
#include "spectral_way.hpp"

namespace {

using namespace phonaut;
using namespace phonaut::testing;
using cuda::SpectralWay;
using cuda::UsingSpectralWay;

/// 16 utterances of 10 s, forward, or to the gradient of the samples and back.
Case log_mel_case(long n_fft, SpectralWay way) {
  constexpr long batch = 16, samples = 160000;
  auto config = LogMel<Cuda>::whisper(80);
  config.n_fft = n_fft;
  config.whisper_range = false;  // a pass of its own
  Case c;
  c.op = "log_mel";
  c.name = concat("16 of 10 s, n_fft ", n_fft, way == SpectralWay::cufft ? ", cuFFT" : ", own kernel");
  const auto n = static_cast<double>(n_fft);
  c.limits = {.flops = batch * (samples / static_cast<double>(config.hop)) * 2.5 * n * std::log2(n), .check = false};
  c.timed = [=](Context<Cuda>& ctx) {
    const auto x = input(ctx, Shape<2>{batch, samples}, normal(Shape<2>{batch, samples}, 1, 0.1).data).tensor();
    const auto features = [=, &ctx, mel = LogMel<Cuda>(ctx, config)] {
      return mel(Waveform<Cuda>{ctx.variable(x), {}, 0}).frames;
    };
    ctx.set_recording(false);
    return Timed{.run =
                     [=, &ctx](bool backward) {
                       const UsingSpectralWay using_way(way);
                       ctx.set_recording(backward);
                       const auto loss = sum(features());
                       if (backward) ctx.backward(loss);
                     },
                 .numbers_in = static_cast<double>(x.size()),
                 .numbers_out = static_cast<double>(features().size())};
  };
  return c;
}

const bool registered = [] {
  // Usual sizes; 441 has 7 · 7, and 254 a large prime.
  for (const long n_fft : {254L, 400L, 441L, 512L, 1024L, 2048L})
    for (const SpectralWay way : {SpectralWay::own_kernel, SpectralWay::cufft})
      all_cases().push_back(log_mel_case(n_fft, way));
  return true;
}();

}  // namespace
