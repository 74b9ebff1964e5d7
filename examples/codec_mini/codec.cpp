#include "codec.hpp"

#include <algorithm>
#include <cmath>

using namespace phonaut;

namespace {

/// Recordings go through in pieces of so many frames, a second of sound: memory does not grow with their length.
constexpr long kPiece = 50;

/// Samples under a window of the spectra.
long window_of(const ModelConfig& c) { return 4 * c.hop; }
SeanetConfig seanet_of(const ModelConfig& c, long signal) {
  return {.signal = signal,
          .dims = c.dims,
          .channels = c.channels,
          .strides = c.strides,
          .dilations = c.dilations,
          .normed = true};
}
bool of_spectra(const ModelConfig& c) {
  if (c.domain != "spectrum" && c.domain != "waveform")
    throw ConfigError(concat("codec: the domain is spectrum or waveform, not '", c.domain, "'"));
  return c.domain == "spectrum";
}

/// Makes sound of frames that come piece by piece. A sample is settled when all windows over it are there.
class Synthesis {
 public:
  Synthesis(const Codec& codec)
      : codec_(codec), reach_(codec.mel ? (window_of(codec.config) + codec.config.hop - 1) / codec.config.hop : 0) {}

  void push(Context<B>& ctx, const Sequence<B>& signal, bool last, std::vector<float>& samples) {
    width_ = signal.channels();
    const auto values = values_of(signal.frames);
    held_.insert(held_.end(), values.begin(), values.end());
    const long count = static_cast<long>(held_.size()) / width_, ready = last ? count : count - reach_;
    if (ready <= done_) return;
    const Sequence<B> all{input(ctx, Shape<3>{1, count, width_}, held_), {}, signal.rate};
    const auto sound = values_of(codec_.sound(all).samples);
    const long hop = codec_.config.hop;
    samples.insert(samples.end(), sound.begin() + done_ * hop, sound.begin() + ready * hop);
    const long drop = std::max(0L, ready - reach_);
    held_.erase(held_.begin(), held_.begin() + drop * width_);
    done_ = ready - drop;
  }

 private:
  const Codec& codec_;
  long reach_, width_ = 1, done_ = 0;  // frames held back; of held_, those whose samples are out already
  std::vector<float> held_;
};

}  // namespace

Codec::Codec(Context<B>& ctx, const ModelConfig& c)
    : config(c),
      encoder(ctx, seanet_of(c, of_spectra(c) ? c.bands : 1)),
      quantizer(ctx, {.dims = c.dims,
                      .levels = c.levels,
                      .codebook = {.entries = c.entries,
                                   .rule = {.decay = 0.98, .revival = EmaRule::Revival::after, .threshold = 0.5},
                                   .kmeans_iterations = 20,
                                   .commitment_weight = 1},
                      .dropout = LevelDropout::per_item}),
      decoder(ctx, seanet_of(c, of_spectra(c) ? window_of(c) + 2 : 1)) {
  if (!of_spectra(c)) return;
  mel.emplace(ctx, LogMel<B>::hifigan(c.rate, window_of(c), c.hop, c.bands, c.rate / 2.0));
  synthesis = make_head_plan<B>({.n_fft = window_of(c), .hop = c.hop});
}

Sequence<B> Codec::signal(const Waveform<B>& x) const { return mel ? (*mel)(x) : as_column(x); }

Waveform<B> Codec::sound(const Sequence<B>& y) const {
  if (synthesis) return istft_head(y, synthesis);
  return {reshape(y.frames, Shape<2>{y.batch(), y.time()}), y.lengths, y.rate};
}

long Codec::levels_for(double rate) const {
  if (rate == 0) return config.levels;
  const auto levels = static_cast<long>(std::floor(rate / kbps(1) + 1e-9));
  if (levels < 1 || levels > config.levels)
    throw ConfigError(
        concat("codec: this model has codes from ", kbps(1), " to ", kbps(config.levels), " kbit/s, not for ", rate));
  return levels;
}

std::uint32_t Codec::fingerprint() const {
  std::uint32_t sum = 0;
  for_each_weight(*this, [&](const std::string& name, const auto& w) {
    std::vector<std::remove_cvref_t<decltype(*w.tensor().data())>> values(static_cast<size_t>(w.size()));
    if (!values.empty()) kernel::download(B{}, values.data(), w.tensor().data(), values.size() * sizeof values[0]);
    sum = crc32(name.data(), name.size(), sum);
    sum = crc32(values.data(), values.size() * sizeof values[0], sum);
  });
  return sum;
}

Waveform<B> to_waveform(Context<B>& ctx, const std::vector<float>& samples, long time, int rate) {
  const long n = time > 0 ? static_cast<long>(samples.size()) / time : 1;
  return {input(ctx, Shape<2>{n, time}, samples), {}, static_cast<double>(rate)};
}

CodeFile encode(Context<B>& ctx, const Codec& codec, const std::vector<float>& samples, long levels,
                std::uint32_t model) {
  ctx.infer();
  const long hop = codec.config.samples_per_code();
  CodeFile file{.levels = levels > 0 ? levels : codec.config.levels,
                .entries = codec.config.entries,
                .rate = codec.config.rate,
                .hop = hop,
                .model = model,
                .samples = static_cast<std::int64_t>(samples.size()),
                .codes = {}};
  if (samples.empty()) return file;
  // Silence completes the last code; the first window needs half of itself to reflect.
  auto padded = samples;
  padded.resize(static_cast<size_t>(std::max(file.frames() * hop, codec.mel ? 4 * codec.config.hop : 0)), 0.0f);
  const Sequence<B> signal =
      codec.signal(to_waveform(ctx, padded, static_cast<long>(padded.size()), codec.config.rate));
  auto state = codec.encoder.start(1);
  const long piece = kPiece * codec.encoder.config.hop(),
             all = static_cast<long>(file.frames()) * codec.encoder.config.hop();
  for (long from = 0; from < all; from += piece) {
    const Sequence<B> part{slice(signal.frames, 1, from, std::min(from + piece, all)), {}, signal.rate};
    const auto codes = host_codes(ctx, codec.quantizer.encode(codec.encoder(part, state), file.levels));
    file.codes.insert(file.codes.end(), codes.begin(), codes.end());
  }
  return file;
}

std::vector<float> decode(Context<B>& ctx, const Codec& codec, const CodeFile& file) {
  const ModelConfig& c = codec.config;
  const long hop = c.samples_per_code();
  if (file.levels > c.levels || file.entries != c.entries || file.hop != hop || file.rate != c.rate)
    throw ConfigError(concat("codec: the codes are ", file.levels, " levels of ", file.entries, " entries for ",
                             file.hop, " samples at ", file.rate, " Hz, but the model has ", c.levels, " of ",
                             c.entries, " for ", hop, " at ", c.rate));
  ctx.infer();
  std::vector<float> samples;
  auto state = codec.decoder.start(1);
  Synthesis synthesis(codec);
  const auto frames = static_cast<long>(file.frames());
  for (long from = 0; from < frames; from += kPiece) {
    const long take = std::min(kPiece, frames - from);
    const Codes<B> codes = ctx.template empty_of<std::int32_t, 3>({1, take, file.levels});
    kernel::upload(ctx.backend(), codes.data(), file.codes.data() + from * file.levels,
                   static_cast<size_t>(take * file.levels) * sizeof(std::int32_t));
    const Sequence<B> latents{codec.quantizer.decode(ctx, codes), {}, codec.frame_rate()};
    synthesis.push(ctx, codec.decoder.signal(latents, state), from + take == frames, samples);
  }
  samples.resize(static_cast<size_t>(file.samples));
  return samples;
}

std::vector<float> reconstruct(Context<B>& ctx, const Codec& codec, const std::vector<float>& samples, long levels) {
  return decode(ctx, codec, encode(ctx, codec, samples, levels, 0));
}
