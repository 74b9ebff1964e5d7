#include "training.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <limits>

#include "common/model_file.hpp"
#include "common/training_loop.hpp"

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

DataLoader::Config loader_config(const ModelConfig& model, const TrainConfig& config) {
  return {.rate = model.rate,
          .max_seconds = 4,
          .batch_seconds = 1e6,  // counted in recordings instead
          .batch_size = config.recordings,
          .seed = config.seed};
}

/// How SpecAugment hides strings of a few seconds.
constexpr SpecAugment kAugment{
    .warp = 0, .frame_masks = 4, .frame_width = 15, .frame_share = 0.1, .channel_masks = 2, .channel_width = 8};

Waveform<B> waveform_of(Context<B>& ctx, const Spoken& spoken, int rate) {
  return {input(ctx, Shape<2>{spoken.size(), spoken.time}, spoken.samples), lengths_of(ctx, spoken.lengths),
          static_cast<double>(rate)};
}

/// The published recipe with schedules as long as this training.
ZipformerTraining recipe_of(const TrainConfig& config, long steps) {
  ZipformerTraining recipe = config.recipe > 0 ? ZipformerTraining::published() : ZipformerTraining::off();
  recipe.batches_per_step = config.recipe / static_cast<double>(steps);
  return recipe;
}

json settings_of(const ModelConfig& model, const TrainConfig& config) {
  return {{"model", model}, {"training", config}};
}

}  // namespace

Corpus with_held_out(Corpus corpus, const std::string& speaker) {
  const auto trains = [&](const Utterance& u) { return u.split == "train" && u.speaker == speaker; };
  if (std::none_of(corpus.all.begin(), corpus.all.end(), trains))
    throw ConfigError(fmt::format("digits: nobody in the train split of {} is called '{}'", corpus.name, speaker));
  std::erase_if(corpus.all, [&](const Utterance& u) { return u.speaker != speaker && u.split != "train"; });
  for (auto& u : corpus.all)
    if (u.speaker == speaker) u.split = "test";
  corpus.speakers_disjoint = true;
  return corpus;
}

EditCounts count_errors(Context<B>& ctx, const Recogniser& model, const std::vector<Spoken>& spoken) {
  ctx.infer();
  EditCounts all;
  for (const Spoken& batch : spoken) {
    const auto heard = model.texts(waveform_of(ctx, batch, model.config.rate));
    for (size_t n = 0; n < heard.size(); ++n) all += word_errors(batch.texts[n], heard[n]);
  }
  return all;
}

Trained train(Context<B>& ctx, const ModelConfig& model_config, const TrainConfig& config, const Corpus& corpus,
              const fs::path& folder, std::ostream& out) {
  TrainingLoop loop{.folder = folder, .settings = settings_of(model_config, config), .label = "digits"};
  if (fs::exists(loop.model_file())) {
    Trained done = read_model(ctx, loop.model_file());
    loop.require_same(settings_of(done.model.config, done.config));
    return done;
  }

  ctx.random() = Random{config.seed, 0};
  ctx.set_step(0);
  DataLoader loader(corpus.split("train"), loader_config(model_config, config));
  const long epoch_steps = loader.batches_in_epoch(0), steps = config.epochs * epoch_steps;
  loop.steps = steps;
  Recogniser model(ctx, model_config, recipe_of(config, steps));
  Recogniser average = deep_copy(model, ctx.backend());
  Trainer<B, ScaledAdam<B>> trainer(ctx, model, ScaledAdam<B>(ctx.backend(), model),
                                    {.rate = Eden{.base = config.learning_rate,
                                                  .batches = static_cast<double>(steps) / 4,
                                                  .epochs = static_cast<double>(config.epochs) / 4,
                                                  .warmup = 0.05 * static_cast<double>(steps)}
                                                 .with_epochs_of(static_cast<double>(epoch_steps)),
                                     .clip = std::numeric_limits<double>::infinity()});
  trainer.follow(Ema<B>(average, model, {.keep = ConstantSchedule{config.ema}}));
  double loss_sum = 0;  // over the updates of the epoch
  const auto state =
      loop.state_of(model, average, trainer, loader, [&](auto& archive) { archive("training/loss_sum", loss_sum); });
  loop.resume(ctx, state, out);

  auto valid_part = corpus.split("valid");
  if (valid_part.empty()) valid_part = corpus.split("test");
  const auto valid = plain_strings(valid_part, config.most_words, model_config.rate);
  const auto take = [&]() -> TrainingLoop::Taken {
    const auto batch = loader.next();
    ctx.train();
    const Spoken spoken = random_strings(*batch, loader.utterances(), config, ctx.random());
    std::vector<std::vector<long>> labels;
    for (const auto& text : spoken.texts) labels.push_back(model.vocabulary.labels_of(text));
    const TrainStep done = trainer.step([&] {
      const auto features = spec_augment(model.features(waveform_of(ctx, spoken, model_config.rate)), kAugment);
      return ctc_loss(model.logits(features), transcripts_of(ctx, labels), Reduction::mean,
                      {.impossible = Impossible::zero});
    });
    if (done.updated) loss_sum += done.loss;
    return {done, batch->skipped, {{"epoch", batch->epoch}}};
  };
  const bool finished = loop.run(ctx.step(), out, take, [&](long step, JsonLines& log, Progress& progress) {
    if (step % epoch_steps != 0) return;
    const double errors = count_errors(ctx, average, valid).rate();
    progress.note(fmt::format("epoch {:3}: loss {:.3f}, word error rate {:5.1f} %, {} s", step / epoch_steps,
                              loss_sum / static_cast<double>(epoch_steps), 100 * errors, std::lround(loop.seconds)));
    log.write({{"step", step}, {"word_error_rate", errors}});
    loss_sum = 0;
    loop.save(state);
  });
  if (!finished) loop.save(state);

  json facts = {{"seconds", loop.seconds}, {"steps", ctx.step()}, {"parameters", parameter_count(average)}};
  ctx.infer();
  if (finished) loop.save_model(average, model_config, config, facts);
  return {std::move(average), config, std::move(facts), finished};
}

Trained read_model(Context<B>& ctx, const fs::path& file) {
  Trained t{Recogniser(ctx, metadata_as<ModelConfig>(file, "model")), metadata_as<TrainConfig>(file, "training"),
            metadata_of(file, "facts"), true};
  load(file.string(), t.model);
  return t;
}
