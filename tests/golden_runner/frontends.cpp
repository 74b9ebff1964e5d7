// Handlers of the golden files of the transforms and of the spectral frontends.
#include "phonaut/frontends/deltas.hpp"
#include "phonaut/frontends/kaldi_mfcc.hpp"
#include "phonaut/frontends/log_mel.hpp"
#include "phonaut/frontends/wav2vec2_stem.hpp"
#include "registry.hpp"
#include "waves.hpp"

namespace phonaut::golden {
namespace {

Window::Kind window_kind(const std::string& name) {
  using enum Window::Kind;
  for (const auto& [known, kind] : {std::pair{"hann", hann},
                                    {"hanning", hann},
                                    {"hamming", hamming},
                                    {"blackman", blackman},
                                    {"povey", povey},
                                    {"rectangular", rectangular},
                                    {"kaiser", kaiser},
                                    {"sine", sine}})
    if (name == known) return kind;
  throw Unsupported("the window " + name);
}

/// "hann periodic".
Window window_of(const Config& c) {
  const std::string text = c.text("window", "hann periodic");
  const size_t space = text.find(' ');
  return {.kind = window_kind(text.substr(0, space)), .periodic = text.find("symmetric") == std::string::npos};
}

StftConfig stft_config(const Config& c) {
  const std::string edge = c.text("pad_mode", "reflect");
  if (edge != "reflect" && edge != "constant") throw Unsupported("padding by " + edge);
  return {.n_fft = c.integer("n_fft"),
          .hop = c.integer("hop"),
          .window_length = c.integer("win", 0),
          .window = window_of(c),
          .centre = c.flag("center", true),
          .edge = edge == "reflect" ? Edge::reflect : Edge::zero,
          .scale = c.flag("normalized", false) ? StftConfig::Scale::length : StftConfig::Scale::none};
}

const Register stft_op("frontend.stft", [](auto& g) {
  const auto x = waveform_of(g).samples;
  const StftConfig config = stft_config(g.config);
  g.output("stft", stft(x, config), "NFTC");
  if (g.has("input.dy.magnitude")) {
    const auto magnitude = spectrogram(x, config, Spectrum::magnitude);
    const auto dy = g.input("dy.magnitude", "FT");
    g.loss_of("magnitude", sum(reshape(dy, magnitude.shape()) * magnitude));
  }
});

const Register istft_op("frontend.istft", [](auto& g) {
  const auto x = g.input("stft", "FTC");
  const auto spectra = reshape(x, Shape<4>{1, x.extent(0), x.extent(1), x.extent(2)});
  g.output("x", istft(spectra, stft_config(g.config), g.config.integer("length", -1)));
});

const Register windows_op("frontend.windows", [](auto& g) {
  for (const char* name : {"hann", "hamming", "blackman", "povey", "rectangular", "kaiser", "sine"})
    for (bool periodic : {false, true}) {
      const std::string key = std::string(name) + (periodic ? "_periodic" : "_symmetric");
      if (!g.has("output." + key)) continue;
      const Window w{.kind = window_kind(name),
                     .periodic = periodic,
                     .blackman = g.config.number("blackman_coeff", 0.42),
                     .beta = g.config.number("kaiser_beta", 12)};
      g.output(key, window_values(w, g.config.integer("n")));
    }
});

MelScale mel_scale(const std::string& name) {
  if (name == "kaldi") return MelScale::kaldi;
  if (name == "htk") return MelScale::htk;
  if (name == "slaney") return MelScale::slaney;
  throw Unsupported("the mel scale " + name);
}

const Register mel_banks_op("frontend.mel_banks", [](auto& g) {
  const Config& c = g.config;
  g.output("filters", mel_filters({.sample_rate = c.number("sample_rate"),
                                   .n_fft = c.integer("n_fft"),
                                   .bands = c.integer("n_mels"),
                                   .low = c.number("fmin"),
                                   .high = c.number("fmax", 0),
                                   .scale = mel_scale(c.text("kind")),
                                   .area_norm = c.text("norm", "") == "slaney",
                                   .vtln_warp = c.number("vtln_warp", 1),
                                   .vtln_low = c.number("vtln_low", 100),
                                   .vtln_high = c.number("vtln_high", -500)})
                          .dense());
});

template <class B>
typename LogMel<B>::Config log_mel_config(const Golden<B>& g, typename LogMel<B>::Config like) {
  const Config& c = g.config;
  like.sample_rate = c.number("sample_rate", 16000);
  like.n_fft = c.integer("n_fft");
  like.hop = c.integer("hop");
  like.window_length = c.integer("win", 0);
  like.bands = c.integer("n_mels");
  like.low = c.number("fmin", 0);
  like.high = c.number("fmax", like.high);
  return like;
}

const Register melspectrogram_op("frontend.melspectrogram", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto config = log_mel_config(g, LogMel<B>::torchaudio());
  config.mel = mel_scale(g.config.text("mel_scale"));
  config.area_norm = g.config.text("norm", "") == "slaney";
  config.spectrum = g.config.number("power", 2) == 2 ? Spectrum::power : Spectrum::magnitude;
  const auto x = waveform_of(g);
  g.output("mel", LogMel<B>(g.context(), config)(x), "NFT");
  if (!g.has("output.db")) return;
  config.scale = LogMel<B>::Scale::decibel;
  config.floor = 1e-10;
  g.output("db", LogMel<B>(g.context(), config)(x), "NFT");
});

const Register whisper_op("frontend.whisper_logmel", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const auto config = log_mel_config(g, LogMel<B>::whisper());
  g.output("logmel", LogMel<B>(g.context(), config)(waveform_of(g, 16000)), "NFT");
});

const Register nemo_op("frontend.nemo_logmel", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto config = LogMel<B>::nemo(g.config.integer("n_mels"));
  config.dither = 0;
  g.output("logmel", LogMel<B>(g.context(), config)(waveform_of(g, 16000)), "NFT");
});

const Register hifigan_op("frontend.hifigan_logmel", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto config = log_mel_config(g, LogMel<B>::hifigan());
  config.high = g.config.number("fmax", 0);
  config.floor = g.config.number("clip", 1e-5);
  g.output("logmel", LogMel<B>(g.context(), config)(waveform_of(g)), "NFT");
});

KaldiConfig kaldi_config(const Config& c) {
  const std::string window = c.text("window", "povey");
  return {.sample_rate = c.number("sample_frequency", 16000),
          .frame_length_ms = c.number("frame_length", 25),
          .frame_shift_ms = c.number("frame_shift", 10),
          .remove_dc = c.flag("remove_dc", true),
          .preemphasis = c.number("preemphasis", 0.97),
          .window = {.kind = window_kind(window), .periodic = false, .blackman = c.number("blackman_coeff", 0.42)},
          .round_to_power_of_two = c.flag("round_pow2", true),
          .snip_edges = c.flag("snip_edges", true),
          .bands = c.integer("num_mel", 23),
          .low = c.number("low_freq", 20),
          .high = c.number("high_freq", 0),
          .vtln_warp = c.number("vtln_warp", 1),
          .vtln_low = c.number("vtln_low", 100),
          .vtln_high = c.number("vtln_high", -500),
          .use_energy = c.flag("use_energy", false),
          .htk_compat = c.flag("htk_compat", false),
          .raw_energy = c.flag("raw_energy", true),
          .energy_floor = c.number("energy_floor", 1),
          .use_log = c.flag("use_log", true),
          .use_power = c.flag("use_power", true),
          .subtract_mean = c.flag("subtract_mean", false)};
}

const Register kaldi_fbank_op("frontend.kaldi_fbank", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  g.output("features", KaldiFbank<B>(g.context(), kaldi_config(g.config))(waveform_of(g)), "NTF");
});
const Register kaldi_mfcc_op("frontend.kaldi_mfcc", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const KaldiMfcc<B> mfcc(g.context(), {.features = kaldi_config(g.config),
                                        .coefficients = g.config.integer("num_ceps", 13),
                                        .lifter = g.config.number("lifter", 22)});
  g.output("features", mfcc(waveform_of(g)), "NTF");
});

const Register deltas_op("frontend.deltas", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const auto rows = g.input("x", rank<2>);
  const Sequence<B> x{reshape(rows, Shape<3>{1, rows.extent(0), rows.extent(1)}), {}, 0};
  const long reach = g.config.integer("window", 2), order = g.config.integer("order", 2);
  g.output("kaldi_order" + std::to_string(order), add_deltas(x, order, reach), "NTC");
  g.output("regression", deltas(x, reach), "NTC");
  g.output("regression_twice", deltas(deltas(x, reach), reach), "NTC");
});

const Register wav2vec2_stem_op("frontend.wav2vec2_stem", [](auto& g) {
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  using Stem = Wav2vec2Stem<B>;
  const auto channels = g.config.integers("conv_dim"), taps = g.config.integers("conv_kernel"),
             strides = g.config.integers("conv_stride");
  typename Stem::Config config{.layers = {},
                               .norm = g.config.text("feat_extract_norm") == "group" ? Stem::Norm::first_over_time
                                                                                     : Stem::Norm::every_over_channels,
                               .bias = g.config.flag("conv_bias"),
                               .padding = Padding::reference};  // a batch is normed together with its padding
  for (size_t i = 0; i < taps.size(); ++i) config.layers.push_back({channels[i], taps[i], strides[i]});
  Stem stem(g.context(), config);
  for_each_param(stem, [&](const std::string& name, auto& p) {
    auto values = g.values("weight." + name);
    if constexpr (std::remove_cvref_t<decltype(p)>::rank == 3)  // taps last in the file
      values = Layout<3>("NCT").values_to_ours(values, p.shape());
    assign(g.context().backend(), p.tensor(), std::vector<typename B::Scalar>(values.begin(), values.end()));
  });
  const auto x = g.input("x", rank<2>);
  const auto y = stem({x, lengths_of(g.context(), g.config.integers("samples")), 16000});
  g.output("features", y.frames, "NCT");
  g.output("frames", y.lengths);
});

}  // namespace
}  // namespace phonaut::golden
