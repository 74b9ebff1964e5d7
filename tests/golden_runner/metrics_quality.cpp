// Handler of measures of speech quality.
#include "phonaut/losses/si_sdr.hpp"
#include "phonaut/metrics/lsd.hpp"
#include "phonaut/metrics/mel_distance.hpp"
#include "phonaut/metrics/stoi.hpp"
#include "registry.hpp"
#include "waves.hpp"

namespace phonaut::golden {
namespace {

const Register quality_op("frontend.metric_quality", [](auto& g) {
  const Config& c = g.config;
  const auto reference = wave_of(g), degraded = g.values("input.degraded");
  const std::vector<float> x(reference.begin(), reference.end()), y(degraded.begin(), degraded.end());
  const long rate = c.integer("sample_rate", 16000);
  const auto output = [&](const char* name, auto value) {
    if (g.has(std::string("output.") + name)) g.output(name, std::vector<double>{value()});
  };
  output("stoi", [&] { return stoi(x, y, rate); });
  output("estoi", [&] { return stoi(x, y, rate, true); });
  output("si_sdr_db", [&] {
    auto& ctx = g.context();
    const Shape<2> shape{1, static_cast<long>(x.size())};
    return static_cast<double>(item(sum(si_sdr(input(ctx, shape, degraded), input(ctx, shape, reference)))));
  });
  output("lsd", [&] {
    return log_spectral_distance(y, x, {.n_fft = c.integer("n_fft", 2048), .hop = c.integer("hop", 512)});
  });
  output("mel_distance", [&] {
    DacMelConfig mel{
        .sample_rate = static_cast<double>(rate), .windows = {32, 64, 128, 256, 512}, .bands = {5, 10, 20, 40, 80}};
    if (c.has("wins")) mel.windows = c.integers("wins");
    if (c.has("n_mels")) mel.bands = c.integers("n_mels");
    return mel_distance(y, x, mel);
  });
  for (const char* name : {"output.pesq_wb", "output.pesq_nb"})
    g.excuse(name, "PESQ is ITU reference code under a licence of its own; this library does not hold it");
});

}  // namespace
}  // namespace phonaut::golden
