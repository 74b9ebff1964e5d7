#pragma once
// Activation checkpointing: trade a second forward pass for the memory of the first one's intermediate values.
#include "phonaut/core/context.hpp"

namespace phonaut {

/// y = forward(x), keeping only x on the tape; backward runs `forward` again, with the same random draws, and
/// differentiates that. `forward` maps a Var to a Var and must outlive the backward pass, as must what it refers to.
/// Gradients of the parameters that it uses arrive as usual. (Chen et al., "Training deep nets with sublinear memory
/// cost", 2016.)
template <class B, size_t R, class Forward>
auto recompute(const Var<B, R>& x, Forward forward) {
  auto& context = x.context();
  if (!context.recording()) return forward(x);
  const Random before = context.random();
  context.set_recording(false);
  context.note_weights(true);
  auto y = [&] {
    struct Restore {
      Context<B>& context;
      ~Restore() {
        context.set_recording(true);
        context.note_weights(false);
      }
    } restore{context};
    return forward(x);
  }();
  // Parameters inside want gradients even if x does not, so the node is recorded on a leaf of its own.
  const auto anchor = context.anchor();
  return context.record(
      y.tensor(),
      [x, forward = std::move(forward), before](Context<B>& ctx, const auto& dy) {
        const Random after = std::exchange(ctx.random(), before);
        ctx.replay(forward, x, dy);
        ctx.random() = after;
      },
      x, anchor);
}

}  // namespace phonaut
