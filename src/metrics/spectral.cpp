#include "phonaut/core/param.hpp"
#include "phonaut/metrics/lsd.hpp"
#include "phonaut/metrics/mel_distance.hpp"

namespace phonaut {

namespace {

template <class Config>
double distance(const char* name, std::span<const float> x, std::span<const float> y, const Config& config) {
  if (x.size() != y.size())
    throw ShapeError(concat(name, ": one signal has ", x.size(), " samples, the other ", y.size()));
  Context<Cpu> ctx;
  const Shape<2> shape{1, static_cast<long>(x.size())};
  const Waveform<Cpu> a{input(ctx, shape, x), {}, 0}, b{input(ctx, shape, y), {}, 0};
  return static_cast<double>(item(SpectralScales<Cpu>(config)(a, b)));
}

}  // namespace

double mel_distance(std::span<const float> x, std::span<const float> y, const DacMelConfig& config) {
  return distance("mel distance", x, y, config);
}
double log_spectral_distance(std::span<const float> x, std::span<const float> y, const LsdConfig& config) {
  return distance("log-spectral distance", x, y, config);
}

}  // namespace phonaut
