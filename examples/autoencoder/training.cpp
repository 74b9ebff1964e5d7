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

json settings_of(const ModelConfig& model, const TrainConfig& config) {
  return {{"model", model}, {"training", config}};
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
  TrainingLoop loop{.folder = folder,
                    .settings = settings_of(model_config, config),
                    .label = model_config.bottleneck,
                    .steps = config.steps};
  if (fs::exists(loop.model_file())) {
    Trained done = read_model(ctx, loop.model_file());
    loop.require_same(settings_of(done.model.config, done.config));
    done.curves = curves_of(loop.log_file());
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
  const auto state = loop.state_of(model, average, trainer, loader);
  loop.resume(ctx, state, out);

  auto valid = corpus.split("valid");
  if (valid.empty()) valid = corpus.split("test");
  if (valid.size() > 64) valid.resize(64);
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
    loop.save(state);
  });
  if (!finished && trainer.between_updates()) loop.save(state);

  json facts = {{"seconds", loop.seconds},
                {"seconds_per_step", loop.seconds / static_cast<double>(std::max(1L, ctx.step()))},
                {"peak_mb", static_cast<double>(ctx.pool().reserved_bytes()) / 1e6},
                {"dropped_steps", trainer.dropped()},
                {"skipped_recordings", loader.skipped().size()},
                {"parameters", parameter_count(average)}};
  if (!loader.skipped().empty()) fmt::print(out, "{}\n", loader.skipped_text());
  ctx.infer();
  if (finished) loop.save_model(average, model_config, config, facts);
  return {std::move(average), config, std::move(facts), curves_of(loop.log_file()), finished};
}

Trained read_model(Context<B>& ctx, const fs::path& file) {
  Trained t{Autoencoder(ctx, metadata_as<ModelConfig>(file, "model")), metadata_as<TrainConfig>(file, "training"),
            metadata_of(file, "facts"), json::object(), true};
  load(file.string(), t.model);
  return t;
}
