#include "model.hpp"

#include <fmt/format.h>
#include <phonaut/frontends/deltas.hpp>

using namespace phonaut;

Model::Config model_config(const ModelConfig& c) {
  const size_t stacks = c.dims.size();
  if (c.layers.size() != stacks || c.factors.size() != stacks || c.feedforward.size() != stacks ||
      c.taps.size() != c.strides.size())
    throw ConfigError(
        "ssl: every stack needs a width, layers, a factor and a feed-forward width, and every "
        "convolution of the stem taps and a stride");
  Model::Config out{.classes = c.classes, .temperature = c.temperature};
  out.stem.sample_rate = c.rate;
  out.stem.layers.clear();
  for (size_t i = 0; i < c.taps.size(); ++i) out.stem.layers.push_back({c.stem, c.taps[i], c.strides[i]});
  out.encoder = {.stacks = {}, .output_downsample = 1, .training = ZipformerTraining::off()};
  for (size_t i = 0; i < stacks; ++i)
    out.encoder.stacks.push_back({.dim = c.dims[i],
                                  .layers = c.layers[i],
                                  .heads = c.heads,
                                  .feedforward = c.feedforward[i],
                                  .kernel = c.kernel,
                                  .downsample = c.factors[i]});
  return out;
}

std::vector<ZipformerPick> all_layers(const ModelConfig& config) {
  std::vector<ZipformerPick> picks;
  for (size_t stack = 0; stack < config.layers.size(); ++stack)
    for (long layer = 0; layer < config.layers[stack]; ++layer)
      picks.push_back({.stack = static_cast<long>(stack), .layer = layer});
  return picks;
}

ZipformerPick layer_at(const ModelConfig& config, long layer) {
  const auto picks = all_layers(config);
  if (layer < 0 || layer >= static_cast<long>(picks.size()))
    throw ConfigError(fmt::format("ssl: there is no layer {}; the model has {}, counted from 0", layer, picks.size()));
  return picks[static_cast<size_t>(layer)];
}

std::string name_of(const ZipformerPick& pick) { return fmt::format("{}.{}", pick.stack, pick.layer); }

std::vector<Plain> plain_features(Context<B>& ctx, int rate) {
  const KaldiConfig common{.sample_rate = static_cast<double>(rate), .bands = 40};
  const KaldiFbank<B> fbank(ctx, common);
  const KaldiMfcc<B> mfcc(ctx, {.features = common});
  using Sequences = std::vector<Sequence<B>>;
  return {{"log-mel", [fbank](const Waveform<B>& x) { return Sequences{fbank(x)}; }},
          {"log-mel with slopes", [fbank](const Waveform<B>& x) { return Sequences{add_deltas(fbank(x))}; }},
          {"cepstra with slopes", [mfcc](const Waveform<B>& x) { return Sequences{add_deltas(mfcc(x))}; }}};
}
