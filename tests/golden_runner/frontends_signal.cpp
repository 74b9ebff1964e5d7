// Handlers of the golden files of what is done to waveforms before frontends, and to features after them.
#include "phonaut/frontends/dmel.hpp"
#include "phonaut/frontends/griffin_lim.hpp"
#include "phonaut/frontends/mixing.hpp"
#include "phonaut/frontends/wave_norm.hpp"
#include "registry.hpp"
#include "waves.hpp"

namespace phonaut::golden {
namespace {

const Register wave_norm_op("frontend.wave_norm", [](auto& g) {
  const auto x = waveform_of(g);
  const double coefficient = g.config.number("preemphasis", 0.97);
  g.output("zero_mean_unit_var", wave_norm(x, g.config.number("eps", 1e-7)).samples);
  g.output("preemphasis_replicate", preemphasis(x, coefficient).samples);
  g.output("preemphasis_zero", preemphasis(x, coefficient, Edge::zero).samples);
});

const Register dmel_op("frontend.dmel", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const auto rows = g.input("logmel", "FT");
  const Sequence<B> x{reshape(rows, Shape<3>{1, rows.extent(0), rows.extent(1)}), {}, 0};
  const long levels = 1L << g.config.integer("bits", 4);
  const bool ends = g.config.text("levels", "ends included").find("ends included") != std::string::npos;
  const Dmel dmel(
      {.low = g.config.number("lo"), .high = g.config.number("hi"), .levels = levels, .steps = ends ? 0 : levels});
  const auto codes = dmel.encode(x);
  const Layout<2> layout("FT");
  std::vector<double> frame_major(codes.data(), codes.data() + codes.size());
  std::vector<long> indices;
  for (double v : layout.values_to_file(frame_major, rows.shape())) indices.push_back(static_cast<long>(v));
  g.output("indices", indices);
  g.output("dequantized", dmel.decode(g.context(), codes), "NFT");
  // How far each value is from the border between two levels.
  std::vector<double> margin;
  for (double v : g.values("input.logmel")) {
    const double at = (v - dmel.config.low) / dmel.config.step() - 0.5;
    margin.push_back(std::fabs(at - std::nearbyint(at)) * dmel.config.step());
  }
  g.output("margin", margin);
});

const Register mixing_op("frontend.mixing", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const auto wave = [&](const char* name) {
    const auto x = g.input(name, rank<1>);
    return Waveform<B>{reshape(x, Shape<2>{1, x.extent(0)}), {}, 0};
  };
  const auto speech = wave("speech"), noise = wave("noise");
  const std::string prefix = "output.mix_snr";
  for (const SafetensorsInfo& entry : g.file().entries())
    if (entry.name.starts_with(prefix)) {
      const std::string ratio = entry.name.substr(prefix.size());
      g.output("mix_snr" + ratio, add_noise(speech, noise, {std::stod(ratio)}).samples);
    }
  if (g.has("output.region_mix")) {
    const Config region(g.config.json().at("region"));
    if (region.text("energy", "whole signals") != "whole signals") throw Unsupported("energies of parts");
    const long length = region.integer("length");
    g.output("region_mix", mix_regions(speech.samples, noise.samples,
                                       {{.from = region.integer("noise_start"),
                                         .start = region.integer("start"),
                                         .length = length,
                                         .gain = region_gain(speech, 0, noise, 0, region.number("ratio_db"))}}));
  }
  if (g.has("input.rir")) {
    const auto response = g.values("input.rir");
    g.output("reverb", reverberate(speech, response).samples);
    if (g.has("output.reverb_same_power")) g.output("reverb_same_power", reverberate(speech, response, true).samples);
  }
});

const Register griffin_lim_op("frontend.griffin_lim", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const Config& c = g.config;
  if (c.text("phase_init", "zero") != "zero") throw Unsupported("phases that start at " + c.text("phase_init"));
  const auto rows = g.input("magnitude", "FT");
  const Sequence<B> magnitudes{reshape(rows, Shape<3>{1, rows.extent(0), rows.extent(1)}), {}, 0};
  const GriffinLimConfig config{
      .stft = {.n_fft = c.integer("n_fft"), .hop = c.integer("hop"), .window_length = c.integer("win", 0)},
      .iterations = c.integer("iters"),
      .momentum = c.number("momentum", 0.99)};
  g.output("x", griffin_lim(magnitudes, config, c.integer("length", -1)).samples);
});

}  // namespace
}  // namespace phonaut::golden
