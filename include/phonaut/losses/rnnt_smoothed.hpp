#pragma once
// Arcs of a simple joiner that listen to one side alone, too, so that neither the encoder nor the decoder gets lazy. F.
// Kuang et al., "Pruned RNN-T for fast, memory-efficient ASR training", 2022; k2.get_rnnt_logprobs_smoothed.
#include "phonaut/losses/rnnt_simple.hpp"
#include "phonaut/ops/broadcast.hpp"
#include "phonaut/ops/centre_columns.hpp"
#include "phonaut/ops/formula/log_plus.hpp"
#include "phonaut/ops/frame_rate.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/softmax.hpp"

namespace phonaut {

/// Shares of one side alone; the rest is both together. The defaults are icefall's; k2's are 0.1 and 0.1.
struct SmoothedJoiner {
  double encoder_only = 0;     ///< "am_only_scale"
  double decoder_only = 0.25;  ///< "lm_only_scale"
};

/// The arcs of `simple_joiner_arcs`, mixed with those of two others in the logarithm: of the decoder alone, and of the
/// encoder with a decoder that says the same at every node, the mean of its probabilities over the real nodes of the
/// batch. Throws as `simple_joiner_arcs`, and ConfigError for shares that are negative or above 1 together.
template <class B>
LatticeArcs<B> smoothed_joiner_arcs(const Var<B, 3>& am, const Var<B, 3>& lm, const Transcripts<B>& transcripts,
                                    const SmoothedJoiner& o = {}, long blank = 0) {
  using S = typename B::Scalar;
  const double together = 1 - o.encoder_only - o.decoder_only;
  if (!(o.encoder_only >= 0 && o.decoder_only >= 0 && together >= 0))
    throw ConfigError(concat("smoothed_joiner_arcs: shares of ", o.encoder_only, " and ", o.decoder_only,
                             " must not be negative, nor above 1 together"));
  LatticeArcs<B> arcs = simple_joiner_arcs(am, lm, transcripts, blank);
  auto& ctx = am.context();
  const long batch = lm.extent(0), nodes = lm.extent(1), classes = lm.extent(2), time = am.extent(1);
  arcs = {S(together) * arcs.symbols, S(together) * arcs.blanks};
  const auto add = [&](double share, const Var<B, 3>& symbols, const Var<B, 3>& blanks) {
    arcs = {arcs.symbols + S(share) * symbols, arcs.blanks + S(share) * blanks};
  };
  if (o.decoder_only > 0 && time > 0) {
    // An encoder that says nothing, once for all frames.
    const auto one = simple_joiner_arcs(ctx.constant(ctx.zeros(Shape<3>{batch, 1, classes})), lm, transcripts, blank);
    const auto everywhere = [&](const Var<B, 3>& x) { return repeat_frames(Sequence<B>{x, {}, 0}, time).frames; };
    add(o.decoder_only, everywhere(one.symbols), everywhere(one.blanks));
  }
  if (o.encoder_only > 0) {
    const auto rows = detail::rows_where(ctx, batch, nodes, nullptr,
                                         [&](long n, long s) { return s <= transcripts.lengths.data()[n]; });
    const auto unigram = column_mean(softmax(take_rows(lm, rows)));
    constexpr float least = 1.17549435e-38f;  // a class that is never said costs much, but not everything
    const auto mean = map(unigram, formula::LogPlus{least});
    const auto same = add_channels(ctx.constant(ctx.zeros(lm.shape())), mean);
    const auto alone = simple_joiner_arcs(am, same, transcripts, blank);
    add(o.encoder_only, alone.symbols, alone.blanks);
  }
  return arcs;
}

}  // namespace phonaut
