#pragma once
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/encoders/zipformer/training_config.hpp"
#include "phonaut/encoders/zipformer/training_sites.hpp"
#include "phonaut/ops/balance.hpp"
#include "phonaut/ops/dropout.hpp"
#include "phonaut/ops/keep_utterances.hpp"
#include "phonaut/ops/limit_value.hpp"
#include "phonaut/ops/scale_gradient.hpp"
#include "phonaut/ops/scale_utterances.hpp"
#include "phonaut/ops/whiten.hpp"

namespace phonaut::zipformer {

/// The recipe at work in one call of a module. Outside of training, or without a recipe, everything is handed on
/// untouched and nothing is drawn. Draws do not depend on whether gradients are recorded, so that a recomputed layer
/// repeats them.
template <class B>
class Training {
 public:
  using Rate = ScheduledFloat ZipformerTraining::*;

  Training(const SharedRecipe& recipe, Context<B>& ctx)
      : recipe_(ctx.training() ? recipe.get() : nullptr),
        ctx_(&ctx),
        batch_(recipe_ ? batch(recipe_->training, ctx) : 0) {}
  explicit operator bool() const { return recipe_ != nullptr; }
  /// Only where the recipe is at work.
  const ZipformerTraining& settings() const { return recipe_->training; }

  double at(const ScheduledFloat& value) const { return recipe_ ? value.at(batch_) : value.at_rest(); }
  double at(Rate rate) const { return recipe_ ? at(settings().*rate) : 0; }

  // ---- chance ----
  bool happens(double probability) const {
    if (!recipe_ || !(probability > 0)) return false;
    if (probability >= 1) return true;
    return uniform(ctx_->random().take(1), "chance", 0) < probability;
  }
  bool happens(Rate rate) const { return happens(at(rate)); }
  /// Which of `batch` utterances are not left out.
  UtteranceFlags kept(long batch, double rate, const char* kind) const {
    if (!recipe_ || !(rate > 0)) return {};
    const Draws draws = ctx_->random().take(batch);
    UtteranceFlags flags = ctx_->empty_lengths(batch);
    for (long n = 0; n < batch; ++n) flags.data()[n] = uniform(draws, kind, n) > rate;
    return flags;
  }
  UtteranceFlags kept(long batch, Rate rate, const char* kind) const { return kept(batch, at(rate), kind); }
  /// Factors (batch, channels) that drop channels of whole utterances; empty if there is nothing to drop.
  Tensor<B, 2> dropout_mask(long batch, long channels) const {
    const double rate = at(&ZipformerTraining::dropout);
    const Shape<2> shape{batch, channels};
    if (!(rate > 0)) return {};
    if (!settings().draws) return dropout(ctx_->constant(ctx_->full(shape, typename B::Scalar(1))), rate).tensor();
    std::vector<double> factors(static_cast<size_t>(element_count(shape)));
    for (size_t i = 0; i < factors.size(); ++i)
      factors[i] = settings().draws("dropout", static_cast<long>(i)) > rate ? 1 / (1 - rate) : 0;
    return input(*ctx_, shape, factors).tensor();
  }

  // ---- gradients ----
  /// `channels` from `first` on, or all of them.
  template <size_t R>
  Var<B, R> balanced(const Var<B, R>& x, const BalancerSite& site, const Lengths& lengths, long first = 0,
                     long channels = -1) const {
    if (!recipe_ || !settings().balancers || !happens(settings().balancer_probability.value_or(at(site.probability))))
      return x;
    return balance(x,
                   {.min_positive = at(site.min_positive),
                    .max_positive = at(site.max_positive),
                    .min_abs = at(site.min_abs),
                    .max_abs = at(site.max_abs),
                    .first = first,
                    .channels = channels},
                   counted(lengths));
  }
  template <size_t R>
  Var<B, R> whitened(const Var<B, R>& x, const WhitenSite& site, const Lengths& lengths, long groups = 1,
                     long first = 0, long channels = -1) const {
    if (!recipe_ || !happens(settings().whitening)) return x;
    return whiten(x,
                  {.limit = settings().whitening_limit.value_or(at(site.limit)),
                   .scale = site.scale,
                   .groups = groups,
                   .first = first,
                   .channels = channels},
                  counted(lengths));
  }
  /// A parameter that is kept within a range.
  template <size_t R>
  Var<B, R> limited(const Param<B, R>& p, const ScheduledFloat& least, double most) const {
    const Var<B, R> value = ctx_->lift(p);
    if (!recipe_ || !happens(settings().limits)) return value;
    return limit_value(value, at(least), most);
  }

 private:
  static double batch(const ZipformerTraining& training, const Context<B>& ctx) {
    return training.schedules_at ? *training.schedules_at : static_cast<double>(ctx.step()) * training.batches_per_step;
  }
  double uniform(const Draws& draws, const char* kind, long i) const {
    return settings().draws ? settings().draws(kind, i) : static_cast<double>(draws.uniform(i));
  }
  /// Lengths of the frames that statistics are taken of.
  Lengths counted(const Lengths& lengths) const { return recipe_->padding == Padding::masked ? lengths : Lengths(); }

  const Recipe* recipe_;
  Context<B>* ctx_;
  double batch_;
};

/// Which utterances keep the channels behind the unmasked ones: the first half of those, and all of them.
struct FeatureFlags {
  UtteranceFlags first, second;
};

/// Draws for all stacks of a Zipformer together.
template <class B>
FeatureFlags feature_flags(const Training<B>& training, long batch) {
  if (!training) return {};
  const double rate = training.settings().feature_mask;
  FeatureFlags flags{training.kept(batch, rate, "feature_mask1"), training.kept(batch, rate, "feature_mask2")};
  for (long n = 0; flags.first && n < batch; ++n) flags.second.data()[n] *= flags.first.data()[n];
  return flags;
}
/// Factors (N, dim), 0 or 1: channels from `unmasked` on up to the middle of the rest by the first flags, those behind
/// by the second. Empty if nothing is masked, or `unmasked` is 0.
template <class B>
Tensor<B, 2> feature_mask(Context<B>& ctx, const FeatureFlags& flags, long dim, long unmasked) {
  if (!flags.first || unmasked < 1 || unmasked >= dim) return {};
  const long batch = flags.first.size(), middle = unmasked + (dim - unmasked) / 2;
  if (std::count(flags.second.data(), flags.second.data() + batch, 1) == batch) return {};
  auto mask = ctx.full(Shape<2>{batch, dim}, typename B::Scalar(1));
  for (long n = 0; n < batch; ++n) {
    const auto clear = [&](long begin, long end, const UtteranceFlags& kept) {
      if (kept.data()[n] == 0)
        kernel::fill(ctx.backend(), mask.data() + n * dim + begin, end - begin, typename B::Scalar(0));
    };
    clear(unmasked, middle, flags.first);
    clear(middle, dim, flags.second);
  }
  return mask;
}

}  // namespace phonaut::zipformer
