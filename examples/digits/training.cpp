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

std::string settings_text(const ModelConfig& model, const TrainConfig& config) {
  return json{{"model", model}, {"training", config}}.dump();
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
  CheckpointFolder files(folder.string());
  const fs::path model_file = folder / "model.safetensors";
  const std::string settings = settings_text(model_config, config);
  if (fs::exists(model_file)) {
    Trained done = read_model(ctx, model_file);
    if (settings_text(done.model.config, done.config) != settings)
      throw ConfigError(fmt::format("train: {} was trained with other settings; choose another folder or remove it",
                                    model_file.string()));
    return done;
  }

  ctx.random() = Random{config.seed, 0};
  ctx.set_step(0);
  DataLoader loader(corpus.split("train"), loader_config(model_config, config));
  const long epoch_steps = loader.batches_in_epoch(0), steps = config.epochs * epoch_steps;
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
  TrainingLoop loop{.log_file = folder / "log.jsonl", .label = "digits", .steps = steps};

  const auto state = [&](auto& archive) {
    archive("", model);
    archive("training/average", average);
    archive("training/trainer", trainer);
    archive("training/data", loader);
    archive("training/seconds", loop.seconds);
    archive("training/loss_sum", loss_sum);
    archive("training/settings", Same{settings});
  };
  if (files.has_latest()) {
    load_checkpoint(files.latest(), state);
    fmt::print(out, "resumed {} after step {}\n", folder.string(), ctx.step());
  }
  loop.open_log(ctx.step());

  auto valid_part = corpus.split("valid");
  if (valid_part.empty()) valid_part = corpus.split("test");
  const auto valid = plain_strings(valid_part, config.most_words, model_config.rate);
  const auto save = [&] { save_checkpoint(files.latest(), state); };
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
    save();
  });
  if (!finished) save();

  json facts = {{"seconds", loop.seconds}, {"steps", ctx.step()}, {"parameters", parameter_count(average)}};
  ctx.infer();
  if (finished)
    phonaut::save(model_file.string(), average,
                  {{"model", json(model_config).dump()}, {"training", json(config).dump()}, {"facts", facts.dump()}});
  return {std::move(average), config, std::move(facts), finished};
}

Trained read_model(Context<B>& ctx, const fs::path& file) {
  Trained t{Recogniser(ctx, metadata_as<ModelConfig>(file, "model")), metadata_as<TrainConfig>(file, "training"),
            metadata_of(file, "facts"), true};
  load(file.string(), t.model);
  return t;
}
