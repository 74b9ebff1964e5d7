// Single ops, timed when asked, beside the same work of other libraries.
//
//   phonaut-bench-peers serve [--threads N]    answers requests: served.hpp
//   phonaut-bench-peers smoke                  each work once, small
//   phonaut-bench-peers features FILE          what is computed of small inputs, as safetensors
#include <phonaut/io/safetensors.hpp>
#include <phonaut/phonaut.hpp>

#include "program.hpp"
#include "served.hpp"

using namespace phonaut;
using B = Backend;

namespace {

/// The signal that every peer analyses too: noise that swells and fades, from a generator in one line, so that it need
/// not be carried from one program to the other. Within [-1, 1].
std::vector<float> signal(long samples) {
  std::vector<float> x(static_cast<size_t>(samples));
  std::uint32_t state = 1;
  for (long i = 0; i < samples; ++i) {
    state = state * 1664525u + 1013904223u;
    const double swell = 0.5 - 0.5 * std::cos(static_cast<double>(i % 16000) * 6.283185307179586 / 16000);
    x[static_cast<size_t>(i)] = static_cast<float>(swell * (static_cast<double>(state >> 8) * 0x1p-23 - 1));
  }
  return x;
}

struct Sizes {
  long seconds = 60;                               ///< of audio at 16 kHz
  long samples = 4096, dims = 512, slices = 1024;  ///< of SIGReg
};

/// torchaudio's filters every 10 ms, behind a logarithm.
LogMel<B>::Config mel_options() {
  auto c = LogMel<B>::torchaudio(80);
  c.hop = 160;
  c.scale = LogMel<B>::Scale::natural;
  c.floor = 1e-6;
  return c;
}

/// The peers of one context; all of it is built before the clock starts.
struct Peers {
  Context<B> ctx;
  KaldiFbank<B> fbank;
  LogMel<B> log_mel;
  Waveform<B> audio;
  Tensor<B, 2> embeddings, directions;

  Peers(int threads, const Sizes& s)
      : fbank(ctx, KaldiConfig::kaldi(80)),
        log_mel(ctx, mel_options()),
        audio{input(ctx, Shape<2>{1, 16000 * s.seconds}, signal(16000 * s.seconds)), {}, 16000},
        embeddings(random_normal(ctx, Shape<2>{s.samples, s.dims}, ctx.random().take(s.samples * s.dims))),
        directions(random_slices(ctx, s.dims, s.slices)) {
    use_threads(ctx, threads);
  }

  Sequence<B> kaldi() { return fbank(audio); }
  Sequence<B> mel() { return log_mel(audio); }
  void sigreg_step() {
    ctx.train();
    const Var<B, 2> x = ctx.variable(embeddings);
    ctx.backward(sigreg(x, directions), gradients);
    gradients.clear();
    ctx.infer();
  }
  Gradients<B> gradients;
};

void write_results(const std::string& file) {
  Peers p(1, {.seconds = 4, .samples = 64, .dims = 8, .slices = 4});
  const auto kaldi = p.kaldi(), mel = p.mel();
  const std::vector<float> a = values_of(kaldi.frames), b = values_of(mel.frames);
  p.ctx.train();
  const Var<B, 2> x = p.ctx.variable(p.embeddings);
  const Var<B, 0> loss = sigreg(x, p.directions);
  const std::vector<float> value{item(loss)}, embeddings = values_of(x),
                                              directions = values_of(p.ctx.constant(p.directions));
  p.ctx.backward(loss, p.gradients);
  const std::vector<float> gradient = values_of(p.ctx.constant(p.gradients[x]));
  const std::vector<SafetensorsEntry> entries{
      safetensors_entry("sigreg/x", {x.extent(0), x.extent(1)}, std::span<const float>(embeddings)),
      safetensors_entry("sigreg/slices", {p.directions.extent(0), p.directions.extent(1)},
                        std::span<const float>(directions)),
      safetensors_entry("sigreg/loss", {}, std::span<const float>(value)),
      safetensors_entry("sigreg/gradient", {x.extent(0), x.extent(1)}, std::span<const float>(gradient)),
      safetensors_entry("fbank", {kaldi.time(), kaldi.channels()}, std::span<const float>(a)),
      safetensors_entry("log_mel", {mel.time(), mel.channels()}, std::span<const float>(b))};
  write_safetensors(file, entries);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Single ops that a comparison times", "phonaut-bench-peers");
  std::string command, file;
  int threads = 1;
  bench::add_command(app, command, {"serve", "smoke", "features"})->required();
  auto* const given = app.add_option("file", file, "that `features` writes");
  add_threads_option(app, threads);
  return bench::run_program(app, argc, argv, [&] {
    if (command == "serve") {
      Peers p(threads, {});
      const served::Work work{
          {"fbank", {[&] { p.kaldi(); }}}, {"log_mel", {[&] { p.mel(); }}}, {"sigreg", {[&] { p.sigreg_step(); }}}};
      served::serve(work, concat("\"peer\": \"phonaut\", \"isa\": \"", bench::name_of(p.ctx.backend()), "\""),
                    p.ctx.backend());
    } else if (command == "smoke") {
      Peers p(threads, {.seconds = 1, .samples = 64, .dims = 8, .slices = 16});
      p.sigreg_step();
      std::printf("%ld and %ld frames, one step of SIGReg\n", p.kaldi().time(), p.mel().time());
    } else {
      if (given->count() == 0) throw CLI::RequiredError("file");
      write_results(file);
    }
    return 0;
  });
}
