#pragma once
// What happens between a loss and the next one: gradients, their norm, the optimiser, the average, the count of steps.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "phonaut/core/param.hpp"
#include "phonaut/training/adamw.hpp"
#include "phonaut/training/clip.hpp"
#include "phonaut/training/ema.hpp"
#include "phonaut/training/gradient_reducer.hpp"
#include "phonaut/training/schedule.hpp"

namespace phonaut {

/// What became of a loss.
struct TrainStep {
  bool updated = false;  ///< the parameters moved; false while losses are accumulated
  bool skipped = false;  ///< loss or gradients were not finite, and were dropped
  long step = 0;         ///< updates so far, this one included
  double loss = 0;       ///< mean over the losses of this update so far
  double norm = 0;       ///< of the gradients, before clipping; 0 until an update
  double rate = 0;       ///< learning rate of the update
  std::string reason{};  ///< of skipping: what was not finite, and the first layer where, if that is known
};

/// Turns losses into updates:
///
/// ```
/// Trainer trainer(ctx, model, AdamW<B>(ctx.backend(), model), {.rate = WarmupCosine{...}, .clip = 5});
/// while (trainer.step_count() < steps) const TrainStep done = trainer.step([&] { return model.loss(...); });
/// ```
/// Gradients of `accumulate` losses are averaged. An update whose loss or gradients are not finite is left out and
/// counted; give a function that computes the loss, and it is told in which layer the numbers were lost first.
/// `checkpoint` covers the optimiser, the context's step and random numbers, and the counts: with the model
/// and the data loader, that is all that a run needs to go on bit for bit.
///
/// Where the context has joined other ranks, all start with the weights of the first, and gradients are summed over
/// ranks (training/gradient_reducer.hpp): each rank gives its part of the gradient of one loss, as `mean_over_ranks`
/// and all that reduces over ranks does. `step` is then a collective; an exception that leaves it is told to the
/// others. All ranks end a step with the same bits in weights, optimiser and checkpoint, so the first alone need write
/// it.
template <class B, class Optimiser = AdamW<B>>
class Trainer {
 public:
  struct Config {
    Schedule rate = ConstantSchedule{1e-3};
    double clip = 1;              ///< greatest norm of all gradients together; infinity: never clipped
    long accumulate = 1;          ///< losses per update
    long give_up_after = 20;      ///< so many dropped losses or updates in a row end the training
    double bucket_megabytes = 1;  ///< with other ranks: gradients that are added up at once
  };

  /// Puts the context into training mode. Throws ConfigError for options out of range, RankError if the models or
  /// seeds of the ranks differ.
  template <class Model>
  Trainer(Context<B>& ctx, const Model& model, Optimiser optimiser, Config config)
      : ctx_(&ctx), optimiser_(std::move(optimiser)), config_(std::move(config)), clip_(model, {.most = config_.clip}) {
    if (config_.accumulate < 1 || config_.give_up_after < 1)
      throw ConfigError(concat("trainer: accumulate and give_up_after must be at least 1, got ", config_.accumulate,
                               " and ", config_.give_up_after));
    ctx.train();
    if (ctx.ranks().alone()) return;
    ctx.random().stream = static_cast<std::uint64_t>(ctx.ranks().rank());
    reducer_ = std::make_unique<GradientReducer<B>>(
        ctx, model, typename GradientReducer<B>::Config{.bucket_megabytes = config_.bucket_megabytes});
  }

  /// Lets an averaged copy of the model follow each update.
  void follow(Ema<B> average) { average_.emplace(std::move(average)); }

  /// Takes a loss: walks back, and updates the parameters if it is the last one of its update. Throws NumericalError
  /// when too many in a row were not finite.
  TrainStep step(const Var<B, 0>& loss) {
    check_joined();
    return detail::or_abandon(ctx_->ranks(), [&] { return take(loss); });
  }
  /// Computes a loss and takes it. One that is not finite is computed a second time, with the same draws, to see where.
  template <std::invocable Loss>
  TrainStep step(const Loss& compute) {
    check_joined();
    return detail::or_abandon(ctx_->ranks(), [&] { return compute_and_take(compute); });
  }

  long step_count() const { return ctx_->step(); }
  /// Losses and updates that were dropped because they were not finite.
  long dropped() const { return dropped_; }
  /// Whether no loss waits to be joined by others; only then can a checkpoint be written.
  bool between_updates() const { return pending_ == 0; }
  const Optimiser& optimiser() const { return optimiser_; }
  /// What adds gradients up over ranks; null where alone.
  const GradientReducer<B>* reducer() const { return reducer_.get(); }

  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    if (!self.between_updates())
      throw StateError(concat("trainer: a checkpoint was asked for after ", self.pending_, " of the ",
                              self.config_.accumulate, " losses of an update"));
    kernel::synchronise(self.ctx_->backend());
    archive("optimiser", self.optimiser_);
    if (self.average_) archive("average", *self.average_);
    archive("random", self.ctx_->random());
    self.saved_step_ = self.ctx_->step();
    archive("step", self.saved_step_);
    archive("dropped", self.dropped_);
    archive("dropped_in_row", self.dropped_in_row_);
    archive.after([&self] { self.ctx_->set_step(self.saved_step_); });
  }

 private:
  /// A trainer that was made before its context joined others would train by itself, unnoticed.
  void check_joined() const {
    if (!reducer_ && !ctx_->ranks().alone())
      throw StateError(concat("trainer: its context has joined ", ctx_->ranks().size(),
                              " ranks since it was made; join them first"));
  }
  TrainStep take(const Var<B, 0>& loss) {
    const double value = static_cast<double>(item(loss));
    if (finite_everywhere(value)) return step_finite(loss, value);
    ctx_->clear();
    return drop_loss(value, {});
  }
  template <class Loss>
  TrainStep compute_and_take(const Loss& compute) {
    const Random draws = ctx_->random();
    double value = 0;
    {
      const Var<B, 0> loss = compute();
      value = static_cast<double>(item(loss));
      if (finite_everywhere(value)) return step_finite(loss, value);
    }
    ctx_->clear();
    std::string where = spoiled_weight();
    if (where.empty()) where = spoiled_value(compute, draws);
    return drop_loss(value, where);
  }
  TrainStep step_finite(const Var<B, 0>& loss, double value) {
    TrainStep done{.step = ctx_->step()};
    if (reducer_ && pending_ + 1 == config_.accumulate) reducer_->backward(loss, gradients_);
    else ctx_->backward(loss, gradients_);
    loss_sum_ += value;
    done.loss = loss_sum_ / static_cast<double>(++pending_);
    if (pending_ < config_.accumulate) return done;

    // Ranks draw as often as their shares are large. From here on all count as the one that drew most, so that what the
    // first writes down holds for all.
    if (reducer_)
      for (const std::uint64_t used : ctx_->ranks().all_gather(ctx_->random().used))
        ctx_->random().used = std::max(ctx_->random().used, used);
    const double share = 1.0 / static_cast<double>(pending_);
    const Clipping found = clip_.measure(ctx_->backend(), gradients_, share);
    done.norm = found.norm;
    if (found.finite()) {
      done.rate = config_.rate(static_cast<double>(ctx_->step()));
      optimiser_.step(ctx_->backend(), gradients_, done.rate, share * found.coefficient);
      if (average_) average_->update(ctx_->backend());
      ctx_->set_step(ctx_->step() + 1);
      done.step = ctx_->step();
      done.updated = true;
      dropped_in_row_ = 0;
    }
    const std::string spoiled = done.updated ? std::string{} : spoiled_gradient();
    gradients_.clear();
    pending_ = 0;
    loss_sum_ = 0;
    return done.updated ? done : drop(done, concat("norm of the gradients ", found.norm, spoiled));
  }

  /// Whether the losses of all ranks are finite; all come to the same answer.
  bool finite_everywhere(double loss) const {
    bool all = std::isfinite(loss);
    if (!reducer_) return all;
    for (const char finite : ctx_->ranks().all_gather(static_cast<char>(std::isfinite(loss)))) all = all && finite != 0;
    return all;
  }

  TrainStep drop_loss(double value, const std::string& where) {
    if (std::isfinite(value))
      return drop({.step = ctx_->step(), .loss = value},
                  concat("loss ", value, " here, but not finite on another rank"));
    return drop({.step = ctx_->step(), .loss = value}, concat("loss ", value, where.empty() ? "" : ", ", where));
  }
  TrainStep drop(TrainStep done, const std::string& what) {
    done.skipped = true;
    done.reason = what;
    ++dropped_;
    if (++dropped_in_row_ >= config_.give_up_after)
      throw NumericalError(concat("trainer: loss or gradients were not finite ", dropped_in_row_,
                                  " times in a row, last after step ", done.step, " (", what,
                                  "); try a lower learning rate from the last checkpoint, which is untouched"));
    return done;
  }

  // ---- where numbers were lost ----
  bool finite(const Tensor<B, 1>& t) const { return detail::all_finite(ctx_->backend(), t.data(), t.size()); }
  std::string name_of(const void* weight) const {
    for (const auto& p : clip_.parameters())
      if (p.flat.tensor().data() == weight) return p.name;
    return "a weight that is not the model's";
  }
  std::string spoiled_weight() const {
    for (const auto& p : clip_.parameters())
      if (!finite(p.flat.tensor())) return "and the weight " + p.name + " is not finite";
    return {};
  }
  template <class Loss>
  std::string spoiled_value(const Loss& compute, const Random& draws) {
    struct Watch {
      Context<B>& ctx;
      Random later;
      ~Watch() {
        ctx.watch(false);
        ctx.clear();
        ctx.random() = later;
      }
    } watch{*ctx_, std::exchange(ctx_->random(), draws)};
    ctx_->watch(true);
    compute();
    if (!ctx_->spoiled()) return {};
    const void* const weight = *ctx_->spoiled();
    return weight ? "first behind " + name_of(weight) : "already before the first weight";
  }
  /// Backward walks from the last layer to the first.
  std::string spoiled_gradient() const {
    const auto& all = clip_.parameters();
    for (auto p = all.rbegin(); p != all.rend(); ++p)
      if (gradients_.has(p->flat) && !finite(gradients_[p->flat])) return ", first in that of " + p->name;
    return {};
  }

  Context<B>* ctx_;
  Optimiser optimiser_;
  Config config_;
  GradientClip<B> clip_;
  std::optional<Ema<B>> average_;
  Gradients<B> gradients_;
  std::unique_ptr<GradientReducer<B>> reducer_;
  double loss_sum_ = 0;
  long pending_ = 0, dropped_ = 0, dropped_in_row_ = 0, saved_step_ = 0;
};

}  // namespace phonaut
