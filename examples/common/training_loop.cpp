#include "common/training_loop.hpp"

#include <phonaut/training/signals.hpp>

#include <chrono>

using namespace phonaut;

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

void TrainingLoop::require_same(const nlohmann::json& of_model) const {
  if (of_model != settings)
    throw ConfigError(fmt::format("train: {} was trained with other settings; choose another folder or remove it",
                                  model_file().string()));
}

void TrainingLoop::open_log(long step) const {
  if (step > 0) keep_lines_through(log_file().string(), "step", static_cast<double>(step));
  else std::filesystem::remove(log_file());
}

bool TrainingLoop::run(long step, std::ostream& out, const std::function<Taken()>& take,
                       const std::function<void(long, JsonLines&, Progress&)>& after) {
  JsonLines log(log_file().string());
  StopSignals stop;
  Progress progress(out, Terminal::of(2), {.label = label, .total = steps});
  while (step < steps) {
    if (stop) {
      progress.finish();
      return false;
    }
    const double start = now();
    const Taken taken = take();
    seconds += now() - start;
    for (const auto& skipped : taken.skipped) progress.note("skipped: " + skipped.reason);
    if (taken.step.skipped) progress.note(fmt::format("step {} was dropped: {}", step, taken.step.reason));
    if (!taken.step.updated) continue;
    step = taken.step.step;
    JsonValue::Object line{{"step", step}, {"loss", taken.step.loss}};
    line.insert(line.end(), taken.terms.begin(), taken.terms.end());
    line.insert(line.end(), {{"norm", taken.step.norm}, {"rate", taken.step.rate}, {"seconds", seconds}});
    log.write(line);
    progress.update(step, fmt::format("loss {:.3f}", taken.step.loss));
    after(step, log, progress);
  }
  progress.finish();
  return true;
}
