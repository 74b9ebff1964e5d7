#pragma once
#include <cmath>

#include "phonaut/encoders/zipformer/chunks.hpp"
#include "phonaut/encoders/zipformer/past.hpp"
#include "phonaut/encoders/zipformer/scaled_linear.hpp"
#include "phonaut/encoders/zipformer/training.hpp"
#include "phonaut/ops/penalize_scores.hpp"
#include "phonaut/ops/relative_attention.hpp"

namespace phonaut::zipformer {

/// Who looks where: computed once per layer from its input, used three times (two SelfAttention, one NonlinAttention).
/// RelPositionMultiheadAttentionWeights of the published model.
template <class B>
struct AttentionWeights {
  struct Config {
    long dim = 0, heads = 0;
    long query_head = 32;  ///< channels of a query or key, per head
    long pos_head = 4;     ///< channels of a positional query, per head
    long pos_dim = 48;     ///< channels of the table of positions
    Padding padding = Padding::masked;
    SharedRecipe recipe = {};
  };
  Config config;
  ScaledLinear<B> in_proj;     ///< dim -> heads·(2·query_head + pos_head): queries, keys, positional queries
  ScaledLinear<B> linear_pos;  ///< pos_dim -> heads·pos_head

  AttentionWeights(Context<B>& ctx, const Config& c)
      : config(c),
        in_proj(ScaledLinear<B>::scaled(ctx, c.dim, c.heads * (2 * c.query_head + c.pos_head),
                                        std::pow(static_cast<double>(c.query_head), -0.25))),
        linear_pos(ctx, {.in = c.pos_dim, .out = c.heads * c.pos_head, .scale = 0.05, .bias = false}) {}

  /// (N, T, dim) and a table of positions (2T - 1, pos_dim) -> (N, heads, T, T); rows sum to 1.
  Var<B, 4> operator()(const Sequence<B>& x, const Var<B, 2>& positions, const Chunks& chunks = {}) const {
    const Training<B> training(config.recipe, x.context());
    if (training) return trained(training, x, positions, chunks);
    return relative_attention_weights(in_proj(x), linear_pos(positions), options(chunks));
  }
  /// A chunk (N, T, dim) of streams that remember the keys of L frames before it, and a table of positions
  /// (2T - 1 + L, pos_dim) -> (N, heads, T, L + T).
  Var<B, 4> operator()(const Sequence<B>& x, const Var<B, 2>& positions, const StreamStep& step, Past<B>& keys) const {
    const Sequence<B> projection = in_proj(x);
    const long width = config.heads * config.query_head;
    const Var<B, 3> all = keys.join(slice(projection.frames, 2, width, 2 * width));
    return relative_attention_weights(projection, StreamedKeys<B>{all, step.first_key}, linear_pos(positions),
                                      options({}));
  }
  static void visit(auto& self, auto&& f) {
    f("in_proj", self.in_proj);
    f("linear_pos", self.linear_pos);
  }

 private:
  Var<B, 4> trained(const Training<B>& training, const Sequence<B>& x, const Var<B, 2>& positions,
                    const Chunks& chunks) const {
    auto& ctx = x.context();
    const long width = config.heads * config.query_head;  // of the keys, which stand behind the queries
    Var<B, 3> h = training.balanced(in_proj(x.frames), sites::balance_keys, x.lengths, width, width);
    h = training.whitened(h, sites::whiten_keys, x.lengths, config.heads, width, width);
    Sequence<B> projection = x.with(h);
    Var<B, 2> relative, content_only;
    if (training.happens(&ZipformerTraining::position_skip))
      content_only = ctx.constant(ctx.zeros(Shape<2>{positions.extent(0), config.heads * config.pos_head}));
    else relative = linear_pos(positions);
    if (training.happens(training.settings().score_penalty))
      projection = penalize_scores(projection, relative, options(chunks));
    return relative_attention_weights(projection, relative ? relative : content_only, options(chunks));
  }
  RelativeAttentionOptions options(const Chunks& chunks) const {
    return {.heads = config.heads,
            .query_width = config.query_head,
            .position_width = config.pos_head,
            .chunk = chunks.frames,
            .left_chunks = chunks.left_chunks,
            .padding = config.padding};
  }
};

}  // namespace phonaut::zipformer
