#pragma once
// A trained vector for each of a number of symbols.
#include "phonaut/core/param.hpp"
#include "phonaut/ops/embedding.hpp"

namespace phonaut {

/// ids (…) of 0 … entries - 1 -> (…, dim). The table starts from N(0, 1), as in PyTorch.
template <class B>
struct Embedding {
  struct Config {
    long entries = 0, dim = 0;
  };
  Param<B, 2> weight;  ///< (entries, dim)

  Embedding(Context<B>& ctx, const Config& c) {
    if (c.entries < 1 || c.dim < 1)
      throw ConfigError(concat("embedding: a table of ", c.entries, " by ", c.dim, " cannot be built"));
    weight = make_param(ctx, Shape<2>{c.entries, c.dim}, Init::normal(1));
  }

  template <size_t R, class I>
  Var<B, R + 1> operator()(Context<B>& ctx, const Tensor<B, R, I>& ids) const {
    return embedding(ctx, ids, weight);
  }

  static void visit(auto& self, auto&& f) { f("weight", self.weight); }
};

}  // namespace phonaut
