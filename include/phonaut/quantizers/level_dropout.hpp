#pragma once
// Quantizers of several levels that are trained with fewer of them now and then.
#include <vector>

#include "phonaut/core/context.hpp"

namespace phonaut {

/// How many levels a step of training uses, so that one model serves many bitrates.
enum class LevelDropout {
  none,
  per_batch,  ///< n ~ U{1 … levels} for the batch, as in SoundStream
  per_item    ///< the first ⌊N p⌋ utterances draw n each, the others use all, as in DAC
};

/// Levels for each utterance of a step of training; empty where all use all.
template <class B>
std::vector<long> draw_depths(Context<B>& ctx, LevelDropout dropout, double probability, long levels, long batch) {
  if (dropout == LevelDropout::none) return {};
  std::vector<long> depths(static_cast<size_t>(batch), levels);
  const Draws draws = ctx.random().take(batch + 1);
  if (dropout == LevelDropout::per_batch) {
    std::fill(depths.begin(), depths.end(), 1 + draws.below(levels, 0));
  } else {
    const auto cut = static_cast<long>(static_cast<double>(batch) * probability);
    for (long n = 0; n < cut; ++n) depths[static_cast<size_t>(n)] = 1 + draws.below(levels, n + 1);
  }
  return depths;
}

namespace detail {

/// Throws ShapeError unless there is a depth for each utterance.
inline void check_depths(const char* op, const std::vector<long>& depths, long batch) {
  if (static_cast<long>(depths.size()) != batch)
    throw ShapeError(concat(op, ": there are ", batch, " utterances but ", depths.size(), " depths"));
}
/// The levels that a depth means (0: all). Throws ConfigError for one that is not there.
inline long levels_used(const char* op, long depth, long levels) {
  if (depth < 0 || depth > levels) throw ConfigError(concat(op, ": asked for ", depth, " of ", levels, " levels"));
  return depth > 0 ? depth : levels;
}

}  // namespace detail
}  // namespace phonaut
