#pragma once
// Self-attention with several heads, as a layer.
#include "phonaut/layers/linear.hpp"
#include "phonaut/ops/attention.hpp"
#include "phonaut/ops/positions.hpp"

namespace phonaut {

/// Every frame looks at all frames of its utterance (or at those before it): (N, T, dim) -> (N, T, dim).
template <class B>
struct SelfAttention {
  struct Config {
    long dim = 0, heads = 1;
    bool causal = false;
    bool rotary = false;  ///< rotate queries and keys by their position
    bool key_bias = true;
  };
  Linear<B> query, key, value, out;
  AttentionOptions options;
  bool rotate;

  /// Throws ConfigError if the heads do not divide the channels (into pairs, with rotary positions).
  SelfAttention(Context<B>& ctx, const Config& c)
      : query(ctx, {.in = c.dim, .out = c.dim}),
        key(ctx, {.in = c.dim, .out = c.dim, .bias = c.key_bias}),
        value(ctx, {.in = c.dim, .out = c.dim}),
        out(ctx, {.in = c.dim, .out = c.dim}),
        options{c.heads, c.causal},
        rotate(c.rotary) {
    if (c.heads < 1 || c.dim % (c.rotary ? 2 * c.heads : c.heads) != 0)
      throw ConfigError(
          concat("self_attention: ", c.dim, " channels do not make ", c.heads, " heads", c.rotary ? " of pairs" : ""));
  }

  Sequence<B> operator()(const Sequence<B>& x) const {
    check_lengths("self_attention", x);
    Var<B, 3> q = query(x.frames), k = key(x.frames);
    if (rotate) {
      q = rotary(q, options.heads);
      k = rotary(k, options.heads);
    }
    return x.with(out(attention(q, k, value(x.frames), options, x.lengths)));
  }

  static void visit(auto& self, auto&& f) {
    f("query", self.query);
    f("key", self.key);
    f("value", self.value);
    f("out", self.out);
  }
};

}  // namespace phonaut
