#include "training.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <phonaut/training/checkpoint.hpp>
#include <phonaut/training/ema.hpp>
#include <phonaut/training/trainer.hpp>

#include <cmath>

#include "common/model_file.hpp"
#include "common/training_loop.hpp"
#include "common/variation.hpp"

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

DataLoader::Config loader_config(const ModelConfig& shape, const TrainConfig& config) {
  return {.rate = shape.rate,
          .min_seconds = 1,
          .max_seconds = 3600,
          .cut_seconds = config.cut_seconds,
          .batch_seconds = config.batch_seconds,
          .seed = config.seed};
}

json settings_of(const ModelConfig& shape, const TrainConfig& config, int iteration) {
  return {{"model", shape}, {"training", config}, {"iteration", iteration}};
}

/// What a step hears, and what it is asked about: targets come from the sound before noise was added.
struct Heard {
  std::vector<float> clean, noisy;
  std::vector<long> lengths;
  long time = 0;
};

/// Plays each recording a little faster or slower, and adds noise to it.
Heard perturbed(const Batch& batch, const TrainConfig& config, Random& random) {
  const Draws draws = random.take(2 * batch.size());
  std::vector<std::vector<float>> sounds;
  Heard out;
  for (long n = 0; n < batch.size(); ++n) {
    const std::span<const float> one(batch.samples.data() + n * batch.time,
                                     static_cast<size_t>(batch.lengths[static_cast<size_t>(n)]));
    const double factor = std::exp(config.speed * (2 * draws.uniform(2 * n) - 1));
    sounds.push_back(played(one, batch.rate, factor));
    out.lengths.push_back(static_cast<long>(sounds.back().size()));
    out.time = std::max(out.time, out.lengths.back());
  }
  for (long n = 0; n < batch.size(); ++n) {
    auto& one = sounds[static_cast<size_t>(n)];
    const auto length = static_cast<long>(one.size());
    double power = 0;
    for (const float v : one) power += static_cast<double>(v) * static_cast<double>(v) / static_cast<double>(length);
    // As far below the speech as was drawn: from the loudest noise to 30 dB less.
    const double below = config.noise + 30 * draws.uniform(2 * n + 1);
    const double deviation = std::sqrt(power) * std::pow(10, -below / 20);
    const Draws hiss = random.take(length);
    one.resize(static_cast<size_t>(out.time), 0.0f);
    out.clean.insert(out.clean.end(), one.begin(), one.end());
    for (long i = 0; i < length; ++i) one[static_cast<size_t>(i)] += static_cast<float>(deviation * hiss.normal(i));
    out.noisy.insert(out.noisy.end(), one.begin(), one.end());
  }
  return out;
}

/// A model with the weights that its seed gives it.
Model new_model(Context<B>& ctx, const ModelConfig& shape, const TrainConfig& config) {
  ctx.random() = Random{config.seed, 0};
  Model::Config settings = model_config(shape);
  settings.stem_penalty = config.stem_penalty;
  settings.unmasked_weight = config.unmasked_weight;
  return Model(ctx, settings);
}

/// Hits among hidden frames of whole recordings, with the same spans hidden every time.
LabelHits measure(Context<B>& ctx, const Model& model, const Targets& targets, const std::vector<Utterance>& part,
                  const ModelConfig& shape, const SpanMasks& masks) {
  const Random before = ctx.random();
  ctx.random() = Random{7, 0};
  LabelHits hits;
  DataLoader loader = in_order(part, shape.rate);
  while (const auto batch = loader.next()) {
    ctx.infer();
    const Waveform<B> x = waveform_of(ctx, batch->samples, batch->lengths, batch->time, shape.rate);
    const Sequence<B> features = model.feature_extractor(x);
    const auto marks = draw_span_masks(features, masks);
    hits += label_hits(model.predict(features, marks), targets.labels(ctx, x, features.time()), marks);
  }
  ctx.random() = before;
  return hits;
}

}  // namespace

std::vector<Utterance> heard(const Corpus& corpus) {
  auto part = corpus.all;
  std::erase_if(part, [](const Utterance& u) { return u.split == "valid"; });
  return part;
}

Trained pretrain(Context<B>& ctx, const ModelConfig& shape, const TrainConfig& config, const Corpus& corpus,
                 Targets targets, int iteration, const fs::path& folder, std::ostream& out) {
  TrainingLoop loop{.folder = folder,
                    .settings = settings_of(shape, config, iteration),
                    .label = fmt::format("iteration {}", iteration),
                    .steps = config.steps};
  if (fs::exists(loop.model_file())) {
    Trained done = read_model(ctx, loop.model_file());
    loop.require_same(settings_of(done.shape, done.config, done.facts["iteration"].get<int>()));
    return done;
  }

  ctx.set_step(0);
  Model model = new_model(ctx, shape, config);
  Model average = deep_copy(model, ctx.backend());
  DataLoader loader(heard(corpus), loader_config(shape, config));
  Trainer<B> trainer(ctx, model, AdamW<B>(ctx.backend(), model, {.beta2 = 0.98, .weight_decay = config.weight_decay}),
                     {.rate = WarmupCosine{.peak = config.learning_rate,
                                           .floor = 0.02 * config.learning_rate,
                                           .warmup = static_cast<double>(config.warmup),
                                           .total = static_cast<double>(config.steps)},
                      .clip = 1});
  trainer.follow(Ema<B>(average, model, {.keep = ConstantSchedule{config.ema}}));
  const auto state =
      loop.state_of(model, average, trainer, loader, [&](auto& archive) { archive("training/targets", targets); });
  if (!loop.resume(ctx, state, out)) {
    targets.fit(ctx, heard(corpus));
    targets.save(folder / "targets.safetensors");
  }

  const SpanMasks masks{.probability = config.mask_probability, .span = config.mask_span};
  auto valid = corpus.split("valid");
  if (valid.empty()) valid = corpus.split("test");
  double accuracy = 0;
  LabelHits recent;
  double loss_sum = 0;
  const auto take = [&]() -> TrainingLoop::Taken {
    const auto batch = loader.next();
    const Heard sound = perturbed(*batch, config, ctx.random());
    LabelHits hits;
    const TrainStep done = trainer.step([&] {
      ctx.train();
      const Sequence<B> features =
          model.feature_extractor(waveform_of(ctx, sound.noisy, sound.lengths, sound.time, shape.rate));
      const auto marks = draw_span_masks(features, masks);
      ctx.infer();  // the teacher's work is not differentiated
      const auto labels =
          targets.labels(ctx, waveform_of(ctx, sound.clean, sound.lengths, sound.time, shape.rate), features.time());
      ctx.train();
      const Sequence<B> logits = model.predict(features, marks);
      const long hidden = Model::count_marks(logits, marks);
      hits = label_hits(logits, labels, marks);
      return static_cast<float>(1.0 / static_cast<double>(std::max(1L, hidden))) *
             model.loss(features, logits, labels, marks);
    });
    if (done.updated) {
      recent += hits;
      loss_sum += done.loss;
    }
    return {done, batch->skipped, {{"accuracy", hits.masked_share()}, {"epoch", batch->epoch}}};
  };
  const bool finished = loop.run(ctx.step(), out, take, [&](long step, JsonLines& log, Progress& progress) {
    if (step % config.checkpoint_every != 0 && step != config.steps) return;
    accuracy = measure(ctx, average, targets, valid, shape, masks).masked_share();
    progress.note(fmt::format(
        "iteration {}, step {:4}: loss {:.3f}, {:.1f} % of the hidden frames right, {:.1f} % on the valid split, {} s",
        iteration, step, loss_sum / static_cast<double>(config.checkpoint_every), 100 * recent.masked_share(),
        100 * accuracy, std::lround(loop.seconds)));
    log.write({{"step", step}, {"valid_accuracy", accuracy}});
    recent = {};
    loss_sum = 0;
    loop.save(state);
  });
  if (!finished) loop.save(state);

  json facts = {{"iteration", iteration},
                {"seconds", loop.seconds},
                {"steps", ctx.step()},
                {"parameters", parameter_count(average)},
                {"valid_accuracy", accuracy}};
  ctx.infer();
  if (finished) loop.save_model(average, shape, config, facts);
  return {std::make_shared<Model>(std::move(average)), shape, config, std::move(facts), finished};
}

Model untrained(Context<B>& ctx, const Trained& trained) { return new_model(ctx, trained.shape, trained.config); }

Trained read_model(Context<B>& ctx, const fs::path& file) {
  const auto shape = metadata_as<ModelConfig>(file, "model");
  Trained t{std::make_shared<Model>(ctx, model_config(shape)), shape, metadata_as<TrainConfig>(file, "training"),
            metadata_of(file, "facts"), true};
  load(file.string(), *t.model);
  ctx.infer();
  return t;
}
