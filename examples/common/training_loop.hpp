#pragma once
// What trainings have in common around a step: a log that a resumed run continues, a bar, Ctrl-C.
#include <filesystem>
#include <functional>
#include <ostream>
#include <phonaut/io/json_lines.hpp>
#include <phonaut/training/data.hpp>
#include <phonaut/training/progress.hpp>
#include <phonaut/training/trainer.hpp>
#include <string>

/// One training, as far as it does not depend on the model.
struct TrainingLoop {
  /// What a step tells.
  struct Taken {
    phonaut::TrainStep step;
    std::vector<phonaut::SkippedUtterance> skipped;
    phonaut::JsonValue::Object terms;  ///< for the log, besides loss, norm and learning rate
  };
  std::filesystem::path log_file;
  std::string label;   ///< of the bar
  long steps = 0;      ///< the whole training
  double seconds = 0;  ///< spent in steps so far, over all parts of an interrupted run

  /// Before `run`: cuts what an interrupted run wrote into the log after its checkpoint at `step`; begins anew at 0.
  void open_log(long step) const;
  /// Takes steps from `step` on; calls `after` behind each update. Returns whether it got to the end: a signal ends it
  /// between two steps.
  bool run(long step, std::ostream& out, const std::function<Taken()>& take,
           const std::function<void(long step, phonaut::JsonLines& log, phonaut::Progress& progress)>& after);
};
