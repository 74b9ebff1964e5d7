// How long each step of a stream takes: what a program must wait for that hears, codes or speaks while the sound
// arrives. One line of JSON for each stream.
//
//   phonaut-bench-realtime [--threads N] [--steps N] [--only WORD] [list | smoke]
//
// After a hundred steps to warm up, every one of --steps (10000) is timed on its own. --only leaves out streams without
// the word in their name; `list` only names them.
#include <phonaut/phonaut.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>

#include "phonaut/testing/machine.hpp"
#include "program.hpp"
#include "quiet.hpp"

using namespace phonaut;
using B = Cpu;

namespace {

struct Options {
  int threads = 1;
  long steps = 10000;
  std::string command, only;
  bool smoke() const { return command == "smoke"; }
};

using Step = std::function<void()>;

struct Stream {
  std::string name;
  double sound;  ///< seconds of it that a step takes
  std::function<Step(Context<B>&)> begin;
};

template <size_t R>
Tensor<B, R> noise(Context<B>& ctx, const Shape<R>& shape) {
  return random_normal(ctx, shape, ctx.random().take(element_count(shape)));
}

Stream filterbank() {
  return {"Kaldi fbank, 80 bands, 10 ms a step", 0.01, [](Context<B>& ctx) -> Step {
            const KaldiFbank<B> fbank(ctx, KaldiConfig::kaldi(80));
            const auto state = std::make_shared<FeatureStreamState<B>>(fbank.start(1));
            const Waveform<B> sound{ctx.constant(noise(ctx, Shape<2>{1, 160})), {}, 16000};
            return [=] { (void)fbank(sound, *state); };
          }};
}

Stream zipformer(const char* size, const ZipformerConfig& config) {
  static constexpr Chunking chunks{.frames = 32, .left = 128};
  return {concat("Zipformer-", size, ", chunks of ", chunks.frames, " frames"), 0.02 * chunks.frames,
          [=](Context<B>& ctx) -> Step {
            const ZipformerEncoder<B> encoder(ctx, {.encoder = config.causal()});
            const auto state = std::make_shared<ZipformerEncoderState<B>>(encoder.start(1, chunks));
            const auto features = [&](long frames) {
              return Sequence<B>{ctx.constant(noise(ctx, Shape<3>{1, frames, 80})), {}, 100};
            };
            (void)encoder(features(13), *state);  // what the stem looks ahead
            const Sequence<B> chunk = features(2 * chunks.frames);
            return [=] { (void)encoder(chunk, *state); };
          }};
}

/// The sizes of EnCodec at 24 kHz: encoder, eight codebooks, decoder, one frame at a time. Weight norm, which is for
/// training, is taken as folded into the weights.
Stream codec() {
  SeanetConfig config = SeanetConfig::encodec();
  config.normed = false;
  return {"SEANet codec with 8 codebooks, a frame a step", static_cast<double>(config.hop()) / 24000,
          [=](Context<B>& ctx) -> Step {
            const SeanetEncoder<B> encoder(ctx, config);
            const SeanetDecoder<B> decoder(ctx, config);
            const ResidualQuantizer<B> quantizer(ctx,
                                                 {.dims = config.dims, .levels = 8, .codebook = {.entries = 1024}});
            const auto heard = std::make_shared<ConvPasts<B>>(encoder.start(1));
            const auto spoken = std::make_shared<ConvPasts<B>>(decoder.start(1));
            const Waveform<B> sound{ctx.constant(noise(ctx, Shape<2>{1, config.hop()})), {}, 24000};
            return [=, &ctx] {
              const Sequence<B> latents = encoder(sound, *heard);
              (void)decoder(latents.with(quantizer.decode(ctx, quantizer.encode(latents))), *spoken);
            };
          }};
}

void time_stream(const Stream& stream, const Options& o) {
  using Clock = std::chrono::steady_clock;
  Context<B> ctx(Cpu{}, 1);
  use_threads(ctx, o.threads);
  const Step step = stream.begin(ctx);
  const Cpu& cpu = ctx.backend();
  for (int i = 0; i < (o.smoke() ? 2 : 100); ++i) step();
  std::vector<double> took(static_cast<size_t>(o.steps));
  double peak = testing::measure_multiply_adds(cpu, 0.01);
  const double waited = waited_seconds();
  for (double& seconds : took) {
    const auto start = Clock::now();
    step();
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  const double total = std::accumulate(took.begin(), took.end(), 0.0);
  const double others = (waited_seconds() - waited) / (total * cpu.threads);
  peak = std::max(peak, testing::measure_multiply_adds(cpu, 0.01));
  std::sort(took.begin(), took.end());
  const auto at = [&](double share) { return took[static_cast<size_t>(share * static_cast<double>(o.steps - 1))]; };
  std::printf(
      "{\"name\": \"%s\", \"threads\": %d, \"steps\": %ld, \"sound\": %.9g, \"mean\": %.9g, \"p50\": %.9g, \"p99\": "
      "%.9g, "
      "\"most\": %.9g, \"peak\": %.9g, \"waited\": %.6g}\n",
      stream.name.c_str(), cpu.threads, o.steps, stream.sound, total / static_cast<double>(o.steps), at(0.5), at(0.99),
      took.back(), peak, others);
  std::fflush(stdout);
}

void run(const Options& o) {
  for (const Stream& stream :
       {filterbank(), codec(), zipformer("S", ZipformerConfig::small()), zipformer("M", ZipformerConfig::medium())}) {
    if (stream.name.find(o.only) == std::string::npos) continue;
    if (o.command == "list") std::printf("%s\n", stream.name.c_str());
    else time_stream(stream, o);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("How long each step of a stream takes", "phonaut-bench-realtime");
  bench::add_command(app, o.command, {"list", "smoke"});
  app.add_option("--steps", o.steps, "that are timed")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--only", o.only, "streams with this word in their name");
  add_threads_option(app, o.threads);
  return bench::run_program(app, argc, argv, [&] {
    if (o.smoke()) o.steps = 2;
    run(o);
    return 0;
  });
}
