#pragma once
#include <vector>

#include "phonaut/encoders/zipformer/stack.hpp"

namespace phonaut {

/// Sizes of a whole Zipformer. `small`, `medium` and `large` are the published ones (their encoders have 21.4, 63.4 and
/// 146.0 million parameters), `causal` makes either a streaming one.
struct ZipformerConfig {
  std::vector<ZipformerStackConfig> stacks;
  long output_downsample = 2;  ///< 1: the output has the rate of the input (self-supervised recipes)
  Padding padding = Padding::masked;
  ZipformerTraining training = ZipformerTraining::published();  ///< of all stacks

  static ZipformerConfig small() {
    return of({2, 2, 2, 2, 2, 2}, {192, 256, 256, 256, 256, 256}, {512, 768, 768, 768, 768, 768},
              {192, 192, 192, 192, 192, 192});
  }
  static ZipformerConfig medium() {
    return of({2, 2, 3, 4, 3, 2}, {192, 256, 384, 512, 384, 256}, {512, 768, 1024, 1536, 1024, 768},
              {192, 192, 256, 256, 256, 192});
  }
  static ZipformerConfig large() {
    return of({2, 2, 4, 5, 4, 2}, {192, 256, 512, 768, 512, 256}, {512, 768, 1536, 2048, 1536, 768},
              {192, 192, 256, 320, 256, 192});
  }
  ZipformerConfig causal() const {
    ZipformerConfig c = *this;
    for (auto& stack : c.stacks) stack.causal = true;
    return c;
  }
  ZipformerConfig with_training(const ZipformerTraining& recipe) const {
    ZipformerConfig c = *this;
    c.training = recipe;
    return c;
  }
  ZipformerConfig with_padding(Padding mode) const {
    ZipformerConfig c = *this;
    c.padding = mode;
    return c;
  }
  /// Channels of the widest stack: the width of the output.
  long width() const {
    long widest = 0;
    for (const auto& stack : stacks) widest = std::max(widest, stack.dim);
    return widest;
  }

 private:
  static ZipformerConfig of(const std::vector<long>& layers, const std::vector<long>& dim,
                            const std::vector<long>& feedforward, const std::vector<long>& unmasked) {
    const std::vector<long> downsample{1, 2, 4, 8, 4, 2}, heads{4, 4, 4, 8, 4, 4}, kernel{31, 31, 15, 15, 15, 31};
    ZipformerConfig c;
    for (size_t i = 0; i < downsample.size(); ++i)
      c.stacks.push_back({.dim = dim[i],
                          .layers = layers[i],
                          .heads = heads[i],
                          .feedforward = feedforward[i],
                          .kernel = kernel[i],
                          .downsample = downsample[i],
                          .unmasked_dim = unmasked[i]});
    return c;
  }
};

}  // namespace phonaut
