// Handlers of frontends that are banks of fixed filters, and of feature normalisation.
#include "phonaut/frontends/cmvn.hpp"
#include "phonaut/frontends/cqt.hpp"
#include "phonaut/frontends/gammatone.hpp"
#include "phonaut/frontends/resample.hpp"
#include "registry.hpp"
#include "waves.hpp"

namespace phonaut::golden {
namespace {

const Register resample_op("frontend.resample", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const Config& c = g.config;
  const std::string method = c.text("method", "hann");
  if (method != "hann" && method != "kaiser") throw Unsupported("resampling with the window " + method);
  const ResampleConfig config{.from = c.integer("orig"),
                              .to = c.integer("new"),
                              .taper = method == "hann" ? ResampleConfig::Taper::hann : ResampleConfig::Taper::kaiser,
                              .zeros = c.integer("lowpass_filter_width", 6),
                              .rolloff = c.number("rolloff", 0.99),
                              .beta = c.number("beta", 14.769656459379492)};
  const Resampler<B> resampler(g.context(), config);
  g.output("y", resampler(waveform_of(g)).samples, "NM");
  if (g.has("output.kernel")) g.output("kernel", resampler.filter.rows);
});

const Register cqt_op("frontend.cqt", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const Config& c = g.config;
  const Cqt<B> cqt(g.context(), {.sample_rate = c.number("sample_rate", 16000),
                                 .low = c.number("fmin"),
                                 .bins = c.integer("bins"),
                                 .per_octave = c.integer("per_octave", 12),
                                 .hop = c.integer("hop")});
  const Var<B, 3> y = cqt(waveform_of(g)).frames;
  g.output("cqt", reshape(y, Shape<4>{y.extent(0), y.extent(1), cqt.config.bins, 2}), "NFTC");
});

const Register gammatone_op("frontend.gammatone", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  using Scale = typename Cochleagram<B>::Scale;
  const Config& c = g.config;
  typename Cochleagram<B>::Config config{.sample_rate = c.number("sample_rate", 16000),
                                         .filters = c.integer("filters"),
                                         .low = c.number("fmin"),
                                         .high = c.number("fmax"),
                                         .taps = c.integer("taps"),
                                         .order = c.integer("order", 4),
                                         .bandwidth = c.number("bandwidth", 1.019),
                                         .window = c.integer("window"),
                                         .hop = c.integer("hop"),
                                         .floor = c.number("floor", 1e-10)};
  const auto centres = erb_centres(config.filters, config.low, config.high);
  g.output("centres", centres);
  g.output("impulse_responses",
           gammatone_responses(centres, config.sample_rate, config.taps, config.order, config.bandwidth));
  const auto x = waveform_of(g);
  g.output("log_energy", Cochleagram<B>(g.context(), config)(x), "NTF");
  config.scale = Scale::cube_root;
  g.output("cube_root", Cochleagram<B>(g.context(), config)(x), "NTF");
});

const Register cmvn_op("frontend.cmvn", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const Config& c = g.config;
  const auto rows = g.input("x", rank<2>);
  const Sequence<B> x{reshape(rows, Shape<3>{1, rows.extent(0), rows.extent(1)}), {}, 0};
  GlobalCmvn<B> global(g.context(), x.channels());
  global.set(g.context(), g.values("input.global_mean"), g.values("input.global_std"));
  g.output("global", global(x), "NTC");
  const double eps = c.number("utterance_eps", 1e-5);
  g.output("utterance_mean", utterance_cmvn(x, {.variance = false}), "NTC");
  g.output("utterance_mean_var", utterance_cmvn(x, {.variance = true, .eps = eps}), "NTC");
  for (const bool centre : {false, true})
    for (const bool variance : {false, true})
      g.output(std::string("sliding_") + (centre ? "center" : "left") + (variance ? "_var" : ""),
               sliding_cmvn(x, {.window = c.integer("window"),
                                .min_window = c.integer("min_window"),
                                .centre = centre,
                                .variance = variance}),
               "NTC");
});

}  // namespace
}  // namespace phonaut::golden
