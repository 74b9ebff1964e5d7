// Several codebooks: residual ones and their kin, and those that are searched together.
#include "coder.hpp"

using namespace phonaut;

namespace {

constexpr long kLevels = 8, kEntries = 256;

CodebookOptions running() {
  return {
      .entries = kEntries, .rule = {.revival = EmaRule::Revival::before, .check_every = 10}, .kmeans_iterations = 10};
}
std::vector<long> books(long count, long entries = kEntries) {
  return std::vector<long>(static_cast<size_t>(count), entries);
}

Coder rvq(Context<B>& ctx, const Latents& latents, const Budget& budget) {
  using Q = ResidualQuantizer<B>;
  const auto q =
      std::make_shared<const Q>(ctx, Q::Config{.dims = latents.dim(), .levels = kLevels, .codebook = running()});
  follow(ctx, *q, latents, budget);
  return coder_of(q, books(kLevels), by_depth({1, 2, 3, 4, 6, 8}, kEntries));
}

Coder grouped(Context<B>& ctx, const Latents& latents, const Budget& budget) {
  using Q = GroupedResidualQuantizer<B>;
  constexpr long groups = 2, levels = kLevels / groups;
  const auto q = std::make_shared<const Q>(
      ctx, Q::Config{.dims = latents.dim(), .groups = groups, .group = {.levels = levels, .codebook = running()}});
  follow(ctx, *q, latents, budget);
  // Levels of the first group come first.
  std::vector<Setting> settings;
  for (const long depth : {1L, 2L, 3L, 4L}) {
    Setting setting{"2 x " + std::to_string(depth) + " x 256", {}};
    for (long g = 0; g < groups; ++g)
      for (long i = 0; i < depth; ++i) setting.books.push_back(g * levels + i);
    settings.push_back(setting);
  }
  return coder_of(q, books(kLevels), settings);
}

Coder masked_channels(Context<B>& ctx, const Latents& latents, const Budget& budget) {
  using Q = MaskedChannelQuantizer<B>;
  const auto q =
      std::make_shared<const Q>(ctx, Q::Config{.dims = latents.dim(), .levels = kLevels, .codebook = running()});
  follow(ctx, *q, latents, budget);
  return coder_of(q, books(kLevels), by_depth({3, 4, 6, 8}, kEntries));
}

Coder factorised(Context<B>& ctx, const Latents& latents, const Budget& full) {
  using Q = FactorisedResidualQuantizer<B>;
  const auto q = std::make_shared<const Q>(
      ctx, Q::Config{.dims = latents.dim(), .levels = kLevels, .entries = kEntries, .code_dims = 8});
  Budget budget = full;
  budget.learn *= 3;  // it starts at random where the others start with k-means, and level dropout costs steps
  learn(ctx, *q, latents, budget, [&](const Sequence<B>& x) {
    const auto y = (*q)(x);
    return mse_loss(x, y.quantized) + y.loss;
  });
  return coder_of(q, books(kLevels), by_depth({1, 2, 3, 4, 6, 8}, kEntries));
}

Coder split(Context<B>& ctx, const Latents& latents, const Budget& budget) {
  using Q = SplitResidualQuantizer<B>;
  CodebookOptions codebook = running();
  codebook.rule.smoothing = EmaRule::Smoothing::clamp;
  const auto q = std::make_shared<const Q>(ctx, Q::Config{.channels = latents.dim(),
                                                          .dims = latents.dim(),
                                                          .semantic_levels = 1,
                                                          .acoustic_levels = kLevels - 1,
                                                          .codebook = codebook,
                                                          .acoustic_dropout = LevelDropout::per_batch});
  learn(ctx, *q, latents, budget, [&](const Sequence<B>& x) {
    const auto y = (*q)(x);
    return mse_loss(x, y.quantized) + y.loss;
  });
  return coder_of(q, books(kLevels), by_depth({2, 3, 4, 6, 8}, kEntries));
}

/// Trained with 16 entries first, then with the products of pairs of books.
Coder mvq(Context<B>& ctx, const Latents& latents, const Budget& full) {
  using Q = MultiCodebookQuantizer<B>;
  Budget budget = in_small_batches(full);
  budget.learn = std::max(1L, full.learn / 2);
  const auto fit = [&](const Q& q) { learn(ctx, q, latents, budget, [&](const Sequence<B>& x) { return q(x).loss; }); };
  Q narrow(ctx, {.dims = latents.dim(), .books = 8, .entries = 16, .refinements = 1, .entropy_weight = 0.01});
  fit(narrow);
  budget.seed += 1;
  budget.rate *= 0.5;
  Q wide = narrow.product(ctx);
  ctx.set_step(0);
  fit(wide);
  wide.config.refinements = 5;
  return coder_of(std::make_shared<const Q>(std::move(wide)), books(4), one_setting("4 x 256", 4));
}

}  // namespace

std::vector<Specimen> summed_books() {
  return {{"RVQ", "RVQ", "running averages", rvq},
          {"grouped RVQ", "grouped RVQ", "running averages", grouped},
          {"masked channels", "masked channels", "running averages", masked_channels},
          {"factorised RVQ (DAC)", "factorised RVQ (DAC)", "gradient", factorised},
          {"split RVQ (Mimi)", "split RVQ (Mimi)", "maps by gradient, running averages", split},
          {"MVQ", "MVQ", "gradient, joint search", mvq}};
}
