#include "training.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>
#include <phonaut/io/json_lines.hpp>
#include <phonaut/training/adamw.hpp>
#include <phonaut/training/checkpoint.hpp>
#include <phonaut/training/data.hpp>
#include <phonaut/training/ema.hpp>
#include <phonaut/training/progress.hpp>
#include <phonaut/training/schedule.hpp>
#include <phonaut/training/signals.hpp>
#include <phonaut/training/trainer.hpp>

#include <algorithm>
#include <chrono>

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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
  const fs::path finished = folder / "model.safetensors", log_file = folder / "log.jsonl";
  const std::string settings = settings_text(model_config, config);
  if (fs::exists(finished)) {
    Trained done = read_model(ctx, finished);
    if (settings_text(done.model.config, done.config) != settings)
      throw ConfigError(fmt::format("train: {} was trained with other settings; choose another folder or remove it",
                                    finished.string()));
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
  double spent = 0;  // seconds of training, over all parts of an interrupted run

  const auto state = [&](auto& archive) {
    archive("", model);
    archive("training/average", average);
    archive("training/trainer", trainer);
    archive("training/data", loader);
    archive("training/seconds", spent);
    archive("training/settings", Same{settings});
  };
  if (files.has_latest()) {
    load_checkpoint(files.latest(), state);
    keep_lines_through(log_file.string(), "step", static_cast<double>(ctx.step()));
    fmt::print(out, "resumed {} after step {}\n", folder.string(), ctx.step());
  } else if (fs::exists(log_file)) {
    fs::remove(log_file);
  }

  JsonLines log(log_file.string());
  auto valid = corpus.split("valid");
  if (valid.empty()) valid = corpus.split("test");
  if (valid.size() > 64) valid.resize(64);
  StopSignals stop;
  Progress progress(out, Terminal::of(2), {.label = model_config.bottleneck, .total = config.steps});
  bool stopped = false;
  const auto save = [&] { save_checkpoint(files.latest(), state); };
  while (ctx.step() < config.steps && !(stopped = static_cast<bool>(stop))) {
    const double start = now();
    const auto batch = loader.next();
    Terms terms;
    ctx.train();
    const TrainStep done = trainer.step(objective(
        model, distance, to_waveform(ctx, batch->samples, batch->lengths, batch->time, model_config), config, terms));
    spent += now() - start;
    for (const auto& skipped : batch->skipped) progress.note("skipped: " + skipped.reason);
    if (done.skipped) progress.note(fmt::format("step {} was dropped: loss or gradients were not finite", ctx.step()));
    if (!done.updated) continue;
    log.write({{"step", done.step},
               {"loss", done.loss},
               {"reconstruction", terms.reconstruction},
               {"semantic", terms.semantic},
               {"regulariser", terms.regulariser},
               {"norm", done.norm},
               {"rate", done.rate},
               {"epoch", batch->epoch},
               {"seconds", spent}});
    progress.update(done.step, fmt::format("loss {:.3f}", done.loss));
    if (done.step % config.checkpoint_every == 0 || done.step == config.steps) {
      const double heard = mean_distance(ctx, average, distance, valid);
      log.write({{"step", done.step}, {"validation", heard}});
      save();
    }
  }
  progress.finish();
  if (stopped && trainer.between_updates()) save();

  json facts = {{"seconds", spent},
                {"seconds_per_step", spent / static_cast<double>(std::max(1L, ctx.step()))},
                {"peak_mb", static_cast<double>(ctx.pool().reserved_bytes()) / 1e6},
                {"dropped_steps", trainer.dropped()},
                {"skipped_recordings", loader.skipped().size()},
                {"parameters", parameter_count(average)}};
  if (!loader.skipped().empty()) fmt::print(out, "{}\n", loader.skipped_text());
  ctx.infer();
  if (!stopped)
    phonaut::save(finished.string(), average,
                  {{"model", json(model_config).dump()}, {"training", json(config).dump()}, {"facts", facts.dump()}});
  return {std::move(average), config, std::move(facts), curves_of(log_file), !stopped};
}

Trained read_model(Context<B>& ctx, const fs::path& file) {
  const auto metadata = SafetensorsReader(file.string()).metadata();
  const auto part = [&](const char* key) {
    const auto found = metadata.find(key);
    if (found == metadata.end())
      throw LoadError(
          fmt::format("{}: has no '{}' in its metadata, so it is no model of this program", file.string(), key));
    try {
      return json::parse(found->second);
    } catch (const json::exception& e) {
      throw LoadError(fmt::format("{}: its '{}' cannot be read: {}", file.string(), key, e.what()));
    }
  };
  const auto typed = [&]<class T>(const char* key, T) {
    try {
      return part(key).get<T>();
    } catch (const json::exception& e) {
      throw LoadError(fmt::format("{}: its '{}' does not fit: {}", file.string(), key, e.what()));
    }
  };
  Trained t{Autoencoder(ctx, typed("model", ModelConfig{})), typed("training", TrainConfig{}), part("facts"),
            json::object(), true};
  load(file.string(), t.model);
  return t;
}
