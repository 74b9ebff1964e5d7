// Handlers of the golden files of losses between spectrograms.
#include "phonaut/losses/dac_mel.hpp"
#include "phonaut/losses/dac_stft.hpp"
#include "phonaut/losses/encodec_mel.hpp"
#include "phonaut/losses/lsd.hpp"
#include "phonaut/losses/mrstft.hpp"
#include "registry.hpp"

namespace phonaut::golden {
namespace {

template <class G, class Config>
void run_loss(G& g, const Config& config) {
  using B = typename G::Backend;
  const Waveform<B> x{g.input("x", rank<2>), {}, 0}, y{g.input("y", rank<2>), {}, 0};
  g.output("loss", SpectralScales<B>(config)(x, y));
}

const Register mrstft_op("loss.mrstft_auraloss", [](auto& g) {
  MrStftConfig config;
  if (g.config.has("scales")) {
    config.resolutions.clear();
    for (const JsonValue& scale : g.config.json().at("scales").items()) {
      const auto entry = [&](size_t i) { return static_cast<long>(scale.items().at(i).integer()); };
      config.resolutions.push_back({entry(0), entry(1), entry(2)});
    }
  }
  config.convergence = g.config.number("w_sc", 1);
  config.log_magnitude = g.config.number("w_log", 1);
  config.linear_magnitude = g.config.number("w_lin", 0);
  config.eps = g.config.number("eps", 1e-8);
  run_loss(g, config);
});

const Register dac_mel_op("loss.dac_mel", [](auto& g) {
  const Config& c = g.config;
  run_loss(g, DacMelConfig{.sample_rate = c.number("sample_rate"),
                           .windows = c.integers("wins"),
                           .bands = c.integers("n_mels"),
                           .low = c.number("fmin", 0),
                           .high = c.number("fmax", 0),
                           .floor = c.number("clamp_eps", 1e-5),
                           .power = c.number("power", 1),
                           .magnitude_weight = c.number("mag_w", 0),
                           .log_weight = c.number("log_w", 1)});
});

const Register dac_stft_op("loss.dac_stft", [](auto& g) {
  const Config& c = g.config;
  run_loss(g, DacStftConfig{.windows = c.integers("wins"),
                            .floor = c.number("clamp_eps", 1e-5),
                            .power = c.number("power", 2),
                            .magnitude_weight = c.number("mag_w", 1),
                            .log_weight = c.number("log_w", 1)});
});

const Register encodec_mel_op("loss.encodec_mel", [](auto& g) {
  const Config& c = g.config;
  run_loss(g, EncodecMelConfig{.sample_rate = c.number("sample_rate"),
                               .first = c.integer("lo", 5),
                               .last = c.integer("hi", 11),
                               .bands = c.integer("n_mels", 64),
                               .low = c.number("fmin", 0),
                               .floor = c.number("floor", 1e-5),
                               .root_alpha = c.text("alpha", "sqrt") == "sqrt",
                               .normalised = c.flag("normalized", true)});
});

const Register lsd_op("loss.lsd", [](auto& g) {
  run_loss(g, LsdConfig{.n_fft = g.config.integer("n_fft", 2048),
                        .hop = g.config.integer("hop", 512),
                        .floor = g.config.number("eps", 1e-10)});
});

}  // namespace
}  // namespace phonaut::golden
