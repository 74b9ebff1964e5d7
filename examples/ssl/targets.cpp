#include "targets.hpp"

#include <phonaut/frontends/cmvn.hpp>
#include <phonaut/frontends/deltas.hpp>
#include <phonaut/quantizers/kmeans.hpp>
#include <phonaut/training/checkpoint.hpp>

using namespace phonaut;

namespace {

constexpr long kIterations = 30;  // of k-means; the clusters hardly move any more

KaldiConfig cepstra_config(const ModelConfig& c) { return {.sample_rate = static_cast<double>(c.rate)}; }
double frame_rate(const ModelConfig& c) {
  double rate = c.rate;
  for (const long stride : c.strides) rate /= static_cast<double>(stride);
  return rate;
}

}  // namespace

Targets::Targets(Context<B>& ctx, const ModelConfig& config, long channels)
    : rate_(config.rate),
      frame_rate_(frame_rate(config)),
      mfcc_(ctx, {.features = cepstra_config(config)}),
      means_(make_state<float>(ctx, Shape<2>{config.classes, channels}, Init::constant(0))) {}

Targets Targets::of_cepstra(Context<B>& ctx, const ModelConfig& config) { return {ctx, config, 3L * 13}; }

Targets Targets::of_layer(Context<B>& ctx, std::shared_ptr<const Model> teacher, const ZipformerPick& pick,
                          const ModelConfig& config) {
  Targets t(ctx, config, teacher->config.encoder.stacks[static_cast<size_t>(pick.stack)].dim);
  t.teacher_ = std::move(teacher);
  t.pick_ = pick;
  return t;
}

Sequence<B> Targets::features(const Waveform<B>& x) const {
  // Deviations stay: divided by them, the noisy slopes of high cepstra would count as much as what tells phones apart.
  return utterance_cmvn(teacher_ ? teacher_->encode(x, {pick_})[0] : add_deltas(mfcc_(x)), {.variance = false});
}

void Targets::fit(Context<B>& ctx, const std::vector<Utterance>& utterances) {
  ctx.infer();
  std::vector<float> rows;
  DataLoader loader = in_order(utterances, rate_);
  while (const auto batch = loader.next()) {
    const auto y = features(waveform_of(ctx, batch->samples, batch->lengths, batch->time, rate_));
    const auto values = values_of(valid_frames(y));
    rows.insert(rows.end(), values.begin(), values.end());
  }
  const long channels = means_.shape()[1];
  const Shape<2> shape{static_cast<long>(rows.size()) / channels, channels};
  const auto clusters = kmeans(ctx, input(ctx, shape, rows).tensor(), means_.shape()[0],
                               {.iterations = kIterations, .seeding = KmeansOptions::Seeding::plus_plus});
  assign(ctx.backend(), means_.tensor(), values_of(ctx, clusters.means));
}

void Targets::load(const std::filesystem::path& file) { phonaut::load(file.string(), *this); }
void Targets::save(const std::filesystem::path& file) const { phonaut::save(file.string(), *this); }

std::vector<long> Targets::labels(Context<B>& ctx, const Waveform<B>& x, long frames) const {
  ctx.infer();
  const Sequence<B> y = features(x);
  const auto rows = reshape(y.frames, Shape<2>{y.batch() * y.time(), y.channels()});
  const auto codes = nearest_code(ctx, rows.tensor(), means_.tensor());
  const auto host = host_codes(ctx, codes);
  std::vector<long> all;
  for (long n = 0; n < y.batch(); ++n) {
    const std::span<const std::int32_t> own(host.data() + n * y.time(), static_cast<size_t>(y.length(n)));
    const auto chosen = labels_at_rate(own, y.rate, frame_rate_, frames);
    all.insert(all.end(), chosen.begin(), chosen.end());
  }
  return all;
}
