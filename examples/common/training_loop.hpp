#pragma once
// What trainings have in common around a step: the files of a run, a log that a resumed run continues, a bar, Ctrl-C.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <ostream>
#include <phonaut/io/json_lines.hpp>
#include <phonaut/training/checkpoint.hpp>
#include <phonaut/training/data.hpp>
#include <phonaut/training/progress.hpp>
#include <phonaut/training/trainer.hpp>
#include <string>

/// One training, as far as it does not depend on the model. In `folder` lie latest.safetensors (everything that a
/// resumed run needs), model.safetensors (the averaged model, written at the end) and log.jsonl.
struct TrainingLoop {
  /// What a step tells.
  struct Taken {
    phonaut::TrainStep step;
    std::vector<phonaut::SkippedUtterance> skipped;
    phonaut::JsonValue::Object terms;  ///< for the log, besides loss, norm and learning rate
  };
  std::filesystem::path folder;
  nlohmann::json settings;  ///< what has to be equal for a run to be the same run
  std::string label;        ///< of the bar
  long steps = 0;           ///< the whole training
  double seconds = 0;       ///< spent in steps so far, over all parts of an interrupted run

  std::filesystem::path model_file() const { return folder / "model.safetensors"; }
  std::filesystem::path log_file() const { return folder / "log.jsonl"; }
  /// Throws ConfigError if the finished model in the folder has other settings.
  void require_same(const nlohmann::json& of_model) const;

  /// The state of a checkpoint, as its archives see it, besides what `more(archive)` names. The parts must outlive it.
  template <class Model, class Trainer, class More>
  auto state_of(Model& model, Model& average, Trainer& trainer, phonaut::DataLoader& loader, const More& more) {
    return [&, more](auto& archive) {
      archive("", model);
      archive("training/average", average);
      archive("training/trainer", trainer);
      archive("training/data", loader);
      archive("training/seconds", seconds);
      archive("training/settings", phonaut::Same{settings.dump()});
      more(archive);
    };
  }
  template <class Model, class Trainer>
  auto state_of(Model& model, Model& average, Trainer& trainer, phonaut::DataLoader& loader) {
    return state_of(model, average, trainer, loader, [](auto&) {});
  }
  /// Goes on from the checkpoint in the folder, and with the log as it was then; false where there is none.
  template <class B, class State>
  bool resume(const phonaut::Context<B>& ctx, const State& state, std::ostream& out) const {
    const phonaut::CheckpointFolder files(folder.string());
    const bool found = files.has_latest();
    if (found) {
      phonaut::load_checkpoint(files.latest(), state);
      fmt::print(out, "resumed {} after step {}\n", folder.string(), ctx.step());
    }
    open_log(ctx.step());
    return found;
  }
  template <class State>
  void save(const State& state) const {
    phonaut::save_checkpoint(phonaut::CheckpointFolder(folder.string()).latest(), state);
  }
  /// Takes steps from `step` on; calls `after` behind each update. Returns whether it got to the end: a signal ends it
  /// between two steps.
  bool run(long step, std::ostream& out, const std::function<Taken()>& take,
           const std::function<void(long step, phonaut::JsonLines& log, phonaut::Progress& progress)>& after);
  /// Writes the model, and beside it what there is to know about it: `model_config` and `config` are its settings.
  template <class Model>
  void save_model(const Model& model, const nlohmann::json& model_config, const nlohmann::json& config,
                  const nlohmann::json& facts) const {
    phonaut::save(model_file().string(), model,
                  {{"model", model_config.dump()}, {"training", config.dump()}, {"facts", facts.dump()}});
  }

 private:
  /// Cuts what an interrupted run wrote into the log after its checkpoint at `step`; begins anew at 0.
  void open_log(long step) const;
};
