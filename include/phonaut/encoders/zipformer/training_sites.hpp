#pragma once
// Where the recipe balances and whitens, and within which limits.
#include "phonaut/core/scheduled_float.hpp"

namespace phonaut::zipformer {

/// Ranges of a channel, as in BalanceOptions, and how often they are looked at.
struct BalancerSite {
  ScheduledFloat min_positive, max_positive, min_abs, max_abs;
  ScheduledFloat probability{{{0, 0.5}, {8000, 0.125}}, 0.4};
};
struct WhitenSite {
  ScheduledFloat limit;
  double scale = 0.01;
};

namespace sites {

/// From `least` to `most` over the first 20000 batches.
constexpr ScheduledFloat rising(double least, double most) { return {{{0, least}, {20000, most}}, least}; }

inline constexpr BalancerSite balance_before_norm{0.45, 0.55, 0.2, 4};
inline constexpr BalancerSite balance_layer{0.45, 0.55, 0.1, 4};
inline constexpr BalancerSite balance_nonlin{0.3, 0.7, {{0, 0.004}, {4000, 0.02}}, 100, 0.05};
inline constexpr BalancerSite balance_feed_forward2{0.3, 0.7, {{0, 0}, {4000, 0.1}}, 2, 0.05};
inline constexpr BalancerSite balance_feed_forward3{0.3, 0.7, {{0, 0}, {4000, 0.2}}, 4, 0.05};
inline constexpr BalancerSite balance_keys{0.4, 0.6, 0, 100, 0.025};
inline constexpr BalancerSite balance_hidden{0.3, 1, 0.75, 5};
inline constexpr BalancerSite balance_nonlin_gate{{{0, 0.25}, {20000, 0.05}}, {{0, 0.75}, {20000, 0.95}}, 0.5, 5};
inline constexpr BalancerSite balance_conv_gate{{{0, 0.05}, {8000, 0.025}}, 1, 1.5, {{{0, 5}, {8000, 10}}, 1}};
inline constexpr BalancerSite balance_filtered{{{0, 0.1}, {8000, 0.05}}, 1, {{0, 0.2}, {20000, 0.5}}, 10};
inline constexpr BalancerSite balance_stem_first{0.05, 0.95, 0.2, 1};
inline constexpr BalancerSite balance_stem_later{0.05, 0.95, 0.2, 4};
inline constexpr BalancerSite balance_stem_hidden{0.3, 1, 0.75, 5};
inline constexpr BalancerSite balance_stem_block{0.4, 0.6, 1, 6};

inline constexpr WhitenSite whiten_layer{rising(4, 12)};
inline constexpr WhitenSite whiten_keys{rising(3, 6), 0.025};  // of each head
inline constexpr WhitenSite whiten_self_attention{rising(7.5, 22.5)};
inline constexpr WhitenSite whiten_feed_forward{rising(7.5, 15)};
inline constexpr WhitenSite whiten_nonlin_value{rising(5, 10)};
inline constexpr WhitenSite whiten_nonlin{rising(5, 15)};
inline constexpr WhitenSite whiten_filtered{rising(7.5, 15)};
inline constexpr WhitenSite whiten_stem_block{5};
inline constexpr WhitenSite whiten_stem{rising(4, 8), 0.02};

}  // namespace sites
}  // namespace phonaut::zipformer
