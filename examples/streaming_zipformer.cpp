// Streams a recording through a causal Zipformer: sound goes in chunk by chunk, and what comes out is what the whole
// recording gives in one call. Prints what each chunk took, and the largest difference of any number.
//
//   streaming_zipformer [--device cpu|cuda[:N]] [recording, 16 kHz]
#include <chrono>
#include <cmath>
#include <cstdio>
#include <phonaut/io/audio.hpp>
#include <phonaut/phonaut.hpp>

#include "common/arguments.hpp"

using namespace phonaut;

namespace {

/// Samples from … to-1 of a recording, (1, to - from).
Waveform<Backend> sound(Context<Backend>& ctx, const Audio& audio, long from, long to) {
  const std::vector<float> samples(audio.samples.begin() + from, audio.samples.begin() + to);
  return {input(ctx, Shape<2>{1, to - from}, samples), {}, 16000};
}

/// Largest difference of the frames `part` from those of `whole` that begin at `at`.
double difference(const Sequence<Backend>& whole, const Sequence<Backend>& part, long at) {
  const auto all = values_of(whole.frames), some = values_of(part.frames);
  double largest = 0;
  for (size_t i = 0; i < some.size(); ++i) {
    const double off = std::fabs(some[i] - all[static_cast<size_t>(at * whole.channels()) + i]);
    if (!(off <= largest)) return off;  // larger, or no number
  }
  return largest;
}

}  // namespace

int main(int argc, char** argv) try {
  const Arguments arguments = arguments_on_device<Backend>(argc, argv, 1);
  const Audio audio =
      read_audio(arguments.words.empty() ? PHONAUT_EXAMPLE_DATA "/librispeech_mini/test-other/1998/1998-15444-0003.flac"
                                         : arguments.words[0]);
  Context<Backend> ctx;
  const KaldiFbank<Backend> fbank(ctx, KaldiConfig::kaldi());
  const ZipformerEncoder<Backend> encoder(ctx, {.encoder = ZipformerConfig::small().causal()});  // random weights
  const Chunking chunking{.frames = 32, .left = 128};  // 0.64 s at a time, with 2.56 s before it in sight
  const auto whole = encoder(fbank(sound(ctx, audio, 0, audio.frames())), chunking);

  auto ears = fbank.start(1);
  auto state = encoder.start(1, chunking);
  long numbers = 0;
  for_each_weight(state, [&](const std::string&, const auto& remembered) { numbers += remembered.size(); });
  std::printf("%.1f s of sound; between chunks %ld numbers are remembered\n", audio.seconds(), numbers);
  double largest = 0, busy = 0;
  const auto compare = [&](const Sequence<Backend>& part, long at) {
    if (const double off = difference(whole, part, at); !(off <= largest)) largest = off;  // larger, or no number
  };
  long out = 0;
  for (long at = 0, next; at < audio.frames(); at = next) {
    next = std::min(audio.frames(), at + 10240);  // 0.64 s; any other number of samples would do
    const auto start = std::chrono::steady_clock::now();
    const auto y = encoder(fbank(sound(ctx, audio, at, next), ears), state);
    kernel::synchronise(ctx.backend());  // a GPU may still be at work
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    busy += seconds.count();
    compare(y, out);
    out += y.time();
    std::printf("sound up to %5.2f s   %2ld frames   %5.1f ms\n", static_cast<double>(next) / 16000, y.time(),
                1e3 * seconds.count());
  }
  const auto rest = encoder.finish(ctx, state);
  compare(rest, out);
  std::printf("and %ld frames at the end, %ld of %ld in all; %.3f of real time; largest difference %.1e\n", rest.time(),
              out + rest.time(), whole.time(), busy / audio.seconds(), largest);
  const bool same = out + rest.time() == whole.time() && largest < 1e-4;  // rounding of numbers of the order of 1
  return same ? 0 : 1;
} catch (const UsageError& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 2;
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
