#pragma once
#include <vector>

#include "phonaut/encoders/zipformer/config.hpp"

namespace phonaut {

/// Stacks at several rates, one after the other (Zipformer2). Yao et al., "Zipformer: a faster and better encoder for
/// automatic speech recognition", 2023, https://arxiv.org/abs/2310.11230.
///
/// A stack reads as many channels of its predecessor as it has, or all of them with zeros behind; the output takes each
/// channel from the last stack that has it, and halves the rate.
template <class B>
struct Zipformer {
  using Config = ZipformerConfig;
  Config config;
  std::vector<ZipformerStack<B>> encoders;
  zipformer::Downsample<B> downsample_output;

  /// Throws ConfigError without stacks, or for sizes that cannot be.
  Zipformer(Context<B>& ctx, const Config& c)
      : config(c), downsample_output(ctx, {.factor = c.output_downsample, .padding = c.padding}) {
    if (c.stacks.empty()) throw ConfigError("zipformer: an encoder needs at least one stack");
    for (ZipformerStackConfig stack : c.stacks) {
      stack.padding = c.padding;
      encoders.emplace_back(ctx, stack);
    }
  }

  /// (N, T, dim of the first stack) -> (N, ceil(T / 2), widest dim). Chunks count frames of x. Throws ConfigError for
  /// chunks that a stack cannot work with.
  Sequence<B> operator()(const Sequence<B>& x, const Chunking& chunking = {}) const {
    return downsample_output(concatenated(stack_outputs(x, chunking)));
  }
  /// What every stack puts out, at the rate of x.
  std::vector<Sequence<B>> stack_outputs(const Sequence<B>& in, const Chunking& chunking = {}) const {
    const zipformer::Chunks chunks(chunking);
    std::vector<Sequence<B>> outputs;
    Sequence<B> x = in;
    for (const auto& stack : encoders) {
      const long width = x.channels(), dim = stack.config.dim;
      if (outputs.empty()) check_channels("zipformer", x.frames.shape(), dim, "its first stack");
      else if (dim < width) x = x.with(slice(x.frames, 2, 0, dim));
      else if (dim > width) x = x.with(pad(x.frames, 2, 0, dim - width));
      x = stack.run(x, chunks);
      outputs.push_back(x);
    }
    return outputs;
  }
  /// Each channel from the last stack that has it.
  static Sequence<B> concatenated(const std::vector<Sequence<B>>& outputs) {
    std::vector<Var<B, 3>> pieces{outputs.back().frames};
    long width = outputs.back().channels();
    for (size_t i = outputs.size() - 1; i-- > 0;)
      if (const long dim = outputs[i].channels(); dim > width) {
        pieces.push_back(slice(outputs[i].frames, 2, width, dim));
        width = dim;
      }
    return pieces.size() == 1 ? outputs.back() : outputs.back().with(concatenate(pieces, 2));
  }
  static void visit(auto& self, auto&& f) {
    f("encoders", self.encoders);
    f("downsample_output", self.downsample_output);
  }
};

}  // namespace phonaut
