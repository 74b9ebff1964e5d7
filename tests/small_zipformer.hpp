#pragma once
// A Zipformer as small as one can be that has all of its parts: two stacks, the second at half of the rate.
#include "phonaut/encoders/zipformer/zipformer.hpp"

namespace phonaut::testing {

inline ZipformerConfig small_zipformer(const ZipformerTraining& training, long layers, bool causal = false) {
  ZipformerConfig c;
  for (const long factor : {1L, 2L})
    c.stacks.push_back({.dim = factor == 1 ? 8 : 12,
                        .layers = layers,
                        .heads = 2,
                        .feedforward = 16,
                        .kernel = 5,
                        .downsample = factor,
                        .query_head = 4,
                        .value_head = 3,
                        .pos_head = 2,
                        .pos_dim = 8,
                        .causal = causal,
                        .unmasked_dim = 4});
  c.training = training;
  return c;
}

}  // namespace phonaut::testing
