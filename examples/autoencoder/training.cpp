#include "training.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <phonaut/io/json_lines.hpp>
#include <phonaut/training/adamw.hpp>
#include <phonaut/training/checkpoint.hpp>
#include <phonaut/training/data.hpp>
#include <phonaut/training/ema.hpp>
#include <phonaut/training/schedule.hpp>
#include <phonaut/training/trainer.hpp>

#include <algorithm>

#include "common/model_file.hpp"
#include "common/training_loop.hpp"

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

DataLoader::Config loader_config(const ModelConfig& model, const TrainConfig& config) {
  return {.rate = model.rate,
          .min_seconds = 0.14,  // the longest window needs half of itself to reflect
          .max_seconds = 3600,
          .cut_seconds = 4,
          .batch_seconds = config.batch_seconds,
          .seed = config.seed};
}

/// What has to be equal for a run to be the same run.
std::string settings_text(const ModelConfig& model, const TrainConfig& config) {
  return json{{"model", model}, {"training", config}}.dump();
}

json curves_of(const fs::path& log) {
  json curves = json::object();
  for (const JsonValue& line : read_json_lines(log.string())) {
    const json entry = json::parse(line.dump());
    if (entry.contains("validation")) {
      curves["validation_step"].push_back(entry["step"]);
      curves["validation"].push_back(entry["validation"]);
      continue;
    }
    for (const char* key : {"step", "loss", "reconstruction", "semantic", "regulariser"})
      curves[key].push_back(entry[key]);
  }
  return curves;
}

}  // namespace

double mean_distance(Context<B>& ctx, const Autoencoder& model, const Distance& distance,
                     const std::vector<Utterance>& utterances) {
  ctx.infer();
  DataLoader loader = in_order(utterances, model.config.rate);
  double total = 0, weight = 0;
  while (const auto batch = loader.next()) {
    const Waveform<B> x = to_waveform(ctx, batch->samples, batch->lengths, batch->time, model.config);
    double samples = 0;
    for (long i = 0; i < x.batch(); ++i) samples += static_cast<double>(x.length(i));
    total += samples * item(distance(model.decode(model.bottleneck(model.encode(x)).value), x));
    weight += samples;
  }
  return total / std::max(1.0, weight);
}

Trained train(Context<B>& ctx, const ModelConfig& model_config, const TrainConfig& config, const Corpus& corpus,
              const fs::path& folder, std::ostream& out) {
  CheckpointFolder files(folder.string());
  const fs::path model_file = folder / "model.safetensors", log_file = folder / "log.jsonl";
  const std::string settings = settings_text(model_config, config);
  if (fs::exists(model_file)) {
    Trained done = read_model(ctx, model_file);
    if (settings_text(done.model.config, done.config) != settings)
      throw ConfigError(fmt::format("train: {} was trained with other settings; choose another folder or remove it",
                                    model_file.string()));
    done.curves = curves_of(log_file);
    return done;
  }

  ctx.random() = Random{config.seed, 0};
  ctx.set_step(0);
  Autoencoder model(ctx, model_config);
  Autoencoder average = deep_copy(model, ctx.backend());
  const MultiScaleMel distance(ctx, model_config.rate);
  Trainer<B> trainer(ctx, model, AdamW<B>(ctx.backend(), model, {.beta2 = 0.98, .weight_decay = config.weight_decay}),
                     {.rate = WarmupCosine{.peak = config.learning_rate,
                                           .floor = 0.02 * config.learning_rate,
                                           .warmup = static_cast<double>(config.warmup),
                                           .total = static_cast<double>(config.steps)},
                      .clip = config.clip,
                      .accumulate = config.accumulate});
  trainer.follow(Ema<B>(average, model, {.keep = ConstantSchedule{config.ema}}));
  DataLoader loader(corpus.split("train"), loader_config(model_config, config));
  TrainingLoop loop{.log_file = log_file, .label = model_config.bottleneck, .steps = config.steps};

  const auto state = [&](auto& archive) {
    archive("", model);
    archive("training/average", average);
    archive("training/trainer", trainer);
    archive("training/data", loader);
    archive("training/seconds", loop.seconds);
    archive("training/settings", Same{settings});
  };
  if (files.has_latest()) {
    load_checkpoint(files.latest(), state);
    fmt::print(out, "resumed {} after step {}\n", folder.string(), ctx.step());
  }
  loop.open_log(ctx.step());

  auto valid = corpus.split("valid");
  if (valid.empty()) valid = corpus.split("test");
  if (valid.size() > 64) valid.resize(64);
  const auto save = [&] { save_checkpoint(files.latest(), state); };
  const auto take = [&]() -> TrainingLoop::Taken {
    const auto batch = loader.next();
    Terms terms;
    ctx.train();
    const TrainStep done = trainer.step([&] {
      const auto speech = to_waveform(ctx, batch->samples, batch->lengths, batch->time, model_config);
      return objective(model, distance, speech, config, terms);
    });
    return {done,
            batch->skipped,
            {{"reconstruction", terms.reconstruction},
             {"semantic", terms.semantic},
             {"regulariser", terms.regulariser},
             {"epoch", batch->epoch}}};
  };
  const bool finished = loop.run(ctx.step(), out, take, [&](long step, JsonLines& log, Progress&) {
    if (step % config.checkpoint_every != 0 && step != config.steps) return;
    log.write({{"step", step}, {"validation", mean_distance(ctx, average, distance, valid)}});
    save();
  });
  if (!finished && trainer.between_updates()) save();

  json facts = {{"seconds", loop.seconds},
                {"seconds_per_step", loop.seconds / static_cast<double>(std::max(1L, ctx.step()))},
                {"peak_mb", static_cast<double>(ctx.pool().reserved_bytes()) / 1e6},
                {"dropped_steps", trainer.dropped()},
                {"skipped_recordings", loader.skipped().size()},
                {"parameters", parameter_count(average)}};
  if (!loader.skipped().empty()) fmt::print(out, "{}\n", loader.skipped_text());
  ctx.infer();
  if (finished)
    phonaut::save(model_file.string(), average,
                  {{"model", json(model_config).dump()}, {"training", json(config).dump()}, {"facts", facts.dump()}});
  return {std::move(average), config, std::move(facts), curves_of(log_file), finished};
}

Trained read_model(Context<B>& ctx, const fs::path& file) {
  Trained t{Autoencoder(ctx, metadata_as<ModelConfig>(file, "model")), metadata_as<TrainConfig>(file, "training"),
            metadata_of(file, "facts"), json::object(), true};
  load(file.string(), t.model);
  return t;
}
