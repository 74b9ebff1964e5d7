// Handler of the golden files of pitch.
#include "phonaut/frontends/pitch.hpp"
#include "registry.hpp"
#include "waves.hpp"

namespace phonaut::golden {
namespace {

const Register pitch_op("frontend.pitch", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  const Config& c = g.config;
  PitchConfig config{.sample_rate = c.number("sample_rate", 16000),
                     .low = c.number("low"),
                     .high = c.number("high"),
                     .window_ms = c.number("window_ms"),
                     .shift_ms = c.number("shift_ms"),
                     .threshold = c.number("threshold", 0.1)};
  const auto column = [&](long which) {
    const auto y = Pitch<B>(g.context(), config)(waveform_of(g)).frames;
    const auto all = values_of(slice(y, 2, which, which + 1));
    return std::vector<double>(all.begin(), all.end());
  };
  g.output("f0", column(0));
  g.output("voiced", column(1));
  config.track = false;
  g.output("yin_f0", column(0));
});

}  // namespace
}  // namespace phonaut::golden
