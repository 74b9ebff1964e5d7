#pragma once
// SpecAugment: features with stretches of time and bands of frequency hidden, and time warped. D. S. Park et al.,
// "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition", 2019.
#include "phonaut/core/random.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/mask_bands.hpp"
#include "phonaut/ops/mask_frames.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/ops/warp_time.hpp"

namespace phonaut {

/// How much is hidden; the defaults are those of the published Zipformer recipes, for 80 channels at 100 Hz.
struct SpecAugment {
  enum class Fill { zero, mean };  ///< what hidden places get: 0, or the mean of the utterance
  double probability = 0.9;        ///< of an utterance to be changed at all
  long warp = 80;                  ///< how far a frame may move, at most; 0: no warp
  long frame_masks = 10;           ///< stretches of frames that are hidden, at most
  long frame_width = 100;          ///< frames of each, at most
  double frame_share = 0.15;       ///< of an utterance's frames that all stretches together may hide
  long channel_masks = 2;          ///< bands of channels that are hidden
  long channel_width = 27;         ///< channels of each, at most
  Fill fill = Fill::mean;
};

namespace detail {

/// Everything that is drawn for a batch.
struct SpecAugmentDraw {
  Bands bands;
  std::vector<long> centre, to;  ///< frames that move, and where; equal where none does
};

/// Utterance n uses draws n · k … of its own, so that its changes do not depend on the lengths of others.
template <class B>
SpecAugmentDraw draw_spec_augment(const Sequence<B>& x, const SpecAugment& o) {
  const long per_utterance = 3 + 2 * (o.frame_masks + o.channel_masks);
  const Draws draws = x.context().random().take(x.batch() * per_utterance);
  SpecAugmentDraw drawn;
  for (long n = 0; n < x.batch(); ++n) {
    long at = n * per_utterance;
    const long time = x.length(n);
    const bool changed = draws.uniform(at++) < static_cast<float>(o.probability);
    // A width from 0 to `width`, then a place that has room for it.
    const auto spans = [&](long count, long all, long most, long width, long extent) {
      std::vector<Span> list;
      for (long k = 0; k < all; ++k) {
        const long wide = std::min(draws.below(std::max(0L, width) + 1, at), extent);
        const long begin = draws.below(extent - wide + 1, at + 1);
        at += 2;
        if (changed && k < count && most > 0) list.push_back({begin, begin + wide});
      }
      return list;
    };
    long centre = 0, to = 0;
    if (changed && o.warp > 0 && time > 2 * o.warp + 2) {
      centre = o.warp + 1 + draws.below(time - 2 * o.warp - 2, at);
      to = centre - o.warp + draws.below(2 * o.warp + 1, at + 1);
    }
    at += 2;
    drawn.centre.push_back(centre);
    drawn.to.push_back(to);
    const long hidden = static_cast<long>(o.frame_share * static_cast<double>(time));
    const long count =
        std::min(o.frame_masks, (hidden + std::max(1L, o.frame_width) - 1) / std::max(1L, o.frame_width));
    drawn.bands.frames.push_back(
        spans(count, o.frame_masks, hidden, std::min(o.frame_width, hidden / std::max(1L, count)), time));
    drawn.bands.channels.push_back(spans(o.channel_masks, o.channel_masks, 1, o.channel_width, x.channels()));
  }
  return drawn;
}

}  // namespace detail

/// In training, each utterance of x (N, T, C) with probability `probability` warped in time, then hidden in part;
/// otherwise x itself. Draws come from the context. Frames behind an utterance's length stay as they are. Throws
/// ConfigError for options out of range.
template <class B>
Sequence<B> spec_augment(const Sequence<B>& any, const SpecAugment& o = {}) {
  check_lengths("spec_augment", any);
  if (!(o.probability >= 0 && o.probability <= 1 && o.frame_share >= 0 && o.frame_share <= 1))
    throw ConfigError(concat("spec_augment: probability and share of frames must be in [0, 1], got ", o.probability,
                             " and ", o.frame_share));
  if (std::min({o.warp, o.frame_masks, o.frame_width, o.channel_masks, o.channel_width}) < 0)
    throw ConfigError("spec_augment: numbers and widths of masks, and the warp, must not be negative");
  auto& ctx = any.context();
  if (!ctx.training()) return any;
  const auto drawn = detail::draw_spec_augment(any, o);
  const Sequence<B> x = warp_time(any, lengths_of(ctx, drawn.centre), lengths_of(ctx, drawn.to));
  const Var<B, 1> value =
      o.fill == SpecAugment::Fill::mean ? mean_last(mean_over_time(x)) : ctx.constant(ctx.zeros(Shape<1>{x.batch()}));
  return mask_bands(x, drawn.bands, value);
}

}  // namespace phonaut
