// Where kernels/cuda can go more than one way: how long each takes, as one line of JSON. The sizes choose a way by
// rules that were worked out on paper; this is how to see on a GPU whether they are right.
//
//   phonaut-bench-ways-cuda [--seconds S] [smoke]    S seconds for each time, 0.1 by default
#include <cmath>

#include "convolution.hpp"
#include "phonaut/frontends/log_mel.hpp"
#include "phonaut/ops/attend.hpp"
#include "phonaut/ops/conv1d_products.hpp"
#include "product_way.hpp"
#include "program.hpp"
#include "spectral_way.hpp"
#include "way.hpp"
#include "yardstick.hpp"

using namespace phonaut;

namespace {

/// The times of one work, as a JSON object: {"work", "precision", "flops", "seconds": {way: …}}. `call` is timed in
/// each way; the first way is that which the sizes choose.
template <class Way, class Call>
std::string times(const Cuda& cuda, const std::string& work, double flops, double seconds,
                  const std::vector<std::pair<const char*, Way>>& ways, const Call& call) {
  std::string all;
  for (const auto& [name, way] : ways) {
    const cuda::Using used(way);
    all += concat(all.empty() ? "" : ", ", "\"", name, "\": ", bench::seconds_of(cuda, seconds, call));
  }
  return concat("{\"work\": \"", work, "\", \"precision\": \"", phonaut::name_of(cuda.precision),
                "\", \"flops\": ", flops, ", \"seconds\": {", all, "}}");
}

struct ConvolutionWork {
  const char* from;  ///< which models have one like it
  long batch, frames, in, out;
  ConvGrid grid;
};
const ConvolutionWork convolutions[] = {
    {"wav2vec 2.0, first", 8, 3199, 1, 512, {.taps = 10, .stride = 5}},
    {"wav2vec 2.0, third", 8, 799, 512, 512, {.taps = 3, .stride = 2}},
    {"wav2vec 2.0, a group of the positions", 8, 400, 48, 48, {.taps = 128}},
    {"SEANet, dilated", 8, 6000, 64, 64, {.taps = 7, .dilation = 3}},
    {"SEANet, dilated wide", 8, 750, 512, 512, {.taps = 7, .dilation = 9}},
    {"SEANet, downsampling", 8, 3000, 64, 128, {.taps = 8, .stride = 4}},
    {"HiFi-GAN, resblock", 8, 6000, 128, 128, {.taps = 11}},
    {"stem, 80 bands", 8, 500, 80, 192, {.taps = 3, .stride = 2}},
};

/// All three passes.
void time_convolution(const Cuda& cuda, const ConvolutionWork& work, bool small, double seconds,
                      std::vector<std::string>& rows) {
  Context<Cuda> ctx(cuda);
  const long frames = small ? 9 : work.frames, in = small ? std::min(work.in, 4L) : work.in;
  const long out = small ? 4 : work.out, taps = small ? std::min(work.grid.taps, 4L) : work.grid.taps;
  ConvGrid grid = work.grid;
  grid.taps = taps;
  const auto x = ctx.full(Shape<4>{1, work.batch, (frames - 1) * grid.stride + grid.span(), in}, 0.5f);
  const auto w = ctx.full(Shape<3>{out, taps, in}, 0.25f), dw = ctx.zeros(w.shape());
  const auto y = ctx.full(Shape<3>{work.batch, frames, out}, 0.125f);
  const auto dx = ctx.zeros(x.shape());
  const double flops = 2.0 * static_cast<double>(work.batch * frames * out * taps * in);
  using Way = cuda::ConvolutionWay;
  const std::vector<std::pair<const char*, Way>> ways{
      {"chosen", Way::by_shape}, {"products", Way::products}, {"cuDNN", Way::cudnn}};
  const auto add = [&](const char* pass, const auto& call) {
    rows.push_back(times(cuda, concat("convolution, ", work.from, ", ", pass), flops, seconds, ways, call));
  };
  add("forward",
      [&] { kernel::conv_products(cuda, grid, x.in(), w.in(), static_cast<const float*>(nullptr), y.out(), false); });
  add("gradient of x", [&] { kernel::conv_transposed_products(cuda, grid, y.in(), w.in(), dx.out()); });
  // All utterances as one, as ops/conv1d.hpp has them.
  const long all = work.batch * frames;
  const View<const float, 4> long_x(x.data(), {1, 1, (all - 1) * grid.stride + grid.span(), in});
  const View<const float, 3> long_y(y.data(), {1, all, out});
  add("gradient of w",
      [&] { kernel::conv_weight_products(cuda, grid, long_x, long_y, Sink<float, 3>(dw.data(), dw.shape(), true)); });
}

struct AttentionWork {
  const char* from;
  long batch, frames, heads, width;
};
const AttentionWork attentions[] = {
    {"Zipformer-M, first stack", 16, 400, 4, 12}, {"Zipformer-M, fourth stack", 16, 50, 8, 12},
    {"Zipformer-M, non-linear", 16, 200, 1, 288}, {"Transformer", 8, 500, 12, 64},
    {"Transformer, long", 2, 3000, 12, 64},
};

/// Values by their weights and both gradients, in utterances of one length, and in utterances of which the shortest has
/// half of the frames of the longest.
void time_products(const Cuda& cuda, const AttentionWork& work, bool small, double seconds,
                   std::vector<std::string>& rows) {
  Context<Cuda> ctx(cuda);
  const long frames = small ? 9 : work.frames, width = small ? 3 : work.width;
  const auto weights = ctx.full(Shape<4>{work.batch, work.heads, frames, frames}, 0.01f);
  const auto values = ctx.full(Shape<3>{work.batch, frames, work.heads * width}, 0.5f), y = ctx.zeros(values.shape());
  const auto dweights = ctx.zeros(weights.shape());
  const auto dvalues = ctx.zeros(values.shape());
  using Way = cuda::ProductWay;
  const std::vector<std::pair<const char*, Way>> ways{
      {"chosen", Way::by_size}, {"cuBLASLt", Way::library}, {"own tiles", Way::tiles}};
  for (const bool ragged : {false, true}) {
    std::vector<long> lengths;
    double flops = 0;
    for (long n = 0; n < work.batch; ++n) {
      const long length = ragged ? frames - n * frames / (2 * (work.batch - 1)) : frames;
      lengths.push_back(length);
      flops += 2.0 * static_cast<double>(work.heads * length * length * width);
    }
    const std::string name = concat("products of attention, ", work.from, ragged ? ", padded" : "");
    rows.push_back(times(cuda, name + ", forward", flops, seconds, ways, [&] {
      kernel::attend_forward(cuda, weights.in(), values.in(), work.heads, lengths.data(), y.out());
    }));
    rows.push_back(times(cuda, name + ", backward", 2 * flops, seconds, ways, [&] {
      kernel::attend_backward(cuda, y.in(), weights.in(), values.in(), work.heads, lengths.data(),
                              Sink<float, 4>(dweights.data(), dweights.shape(), false),
                              Sink<float, 3>(dvalues.data(), dvalues.shape(), false));
    }));
  }
}

/// Log-mel features of 16 utterances of 10 s, forward and to the gradient of the samples. In a size that blocks have no
/// shared memory for, both ways are cuFFT.
void time_log_mel(const Cuda& cuda, long n_fft, bool small, double seconds, std::vector<std::string>& rows) {
  Context<Cuda> ctx(cuda);
  auto config = LogMel<Cuda>::whisper(80);
  config.n_fft = n_fft;
  config.whisper_range = false;  // a pass of its own
  const LogMel<Cuda> mel(ctx, config);
  const auto x = ctx.full(small ? Shape<2>{1, 800} : Shape<2>{16, 160000}, 0.1f);
  const auto n = static_cast<double>(n_fft);
  const double flops = static_cast<double>(x.size()) / static_cast<double>(config.hop) * 2.5 * n * std::log2(n);
  using Way = cuda::SpectralWay;
  const std::vector<std::pair<const char*, Way>> ways{
      {"chosen", Way::by_size}, {"own kernel", Way::own_kernel}, {"cuFFT", Way::cufft}};
  for (const bool backward : {false, true}) {
    ctx.set_recording(backward);
    rows.push_back(times(cuda, concat("log-mel, n_fft ", n_fft, backward ? ", forward + backward" : ", forward"),
                         backward ? 3 * flops : flops, seconds, ways, [&] {
                           const auto features = mel(Waveform<Cuda>{ctx.variable(x), {}, 0}).frames;
                           if (backward) ctx.backward(sum(features));
                         }));
  }
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 0.1;
  std::string command;
  CLI::App app("Ways of the CUDA kernels beside each other", "phonaut-bench-ways-cuda");
  bench::add_command(app, command, {"smoke"});
  app.add_option("--seconds", seconds, "for each time")->capture_default_str()->check(CLI::PositiveNumber);
  return bench::run_program(app, argc, argv, [&] {
    const bool small = command == "smoke";
    std::vector<std::string> rows;
    for (const Precision precision : {Precision::fp32, Precision::tf32})
      for (const ConvolutionWork& work : convolutions)
        time_convolution(Cuda{nullptr, precision}, work, small, small ? 1e-5 : seconds, rows);
    for (const Precision precision : {Precision::fp32, Precision::tf32})
      for (const AttentionWork& work : attentions)
        time_products(Cuda{nullptr, precision}, work, small, small ? 1e-5 : seconds, rows);
    // Usual sizes; 441 has 7 · 7, and 254 a large prime.
    for (const long n_fft : {254L, 400L, 441L, 512L, 1024L, 2048L})
      time_log_mel(Cuda{}, n_fft, small, small ? 1e-5 : seconds, rows);
    std::string all;
    for (const std::string& row : rows) all += (all.empty() ? "" : ",\n ") + row;
    std::printf("[%s]\n", all.c_str());
    return 0;
  });
}
