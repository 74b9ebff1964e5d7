#pragma once
// Work of a GPU that is repeated without its host code; needs phonaut::cuda (docs/cuda.md).
#include <functional>
#include <memory>

#include "phonaut/core/context.hpp"

namespace phonaut {

/// Everything that some work queues, to be queued again by a single call: the hundreds of small kernels of a forward,
/// or of a forward and backward, then cost the host one launch.
///
///     const auto x = ctx.empty(Shape<3>{8, 400, 80});               // what changes from launch to launch lives in
///     tensors Gradients<Cuda> gradients; Var<Cuda, 0> loss; const auto graph = CudaGraph::capture(ctx, [&] {
///       loss = objective(model(ctx.constant(x)));
///       gradients = ctx.backward(loss);
///     });
///     for (const auto& batch : batches) {
///       refill(ctx, x, batch.values);
///       graph.launch();
///       optimiser.step(ctx.backend(), gradients, rate);             // by itself: its rate comes from the host
///     }
///
/// Whatever comes from the host is that of the capture: shapes, lengths, precision, options. So what must change from
/// step to step is refused, with a StateError: random draws, a schedule's look at the step, numbers copied from the
/// host, an optimiser's step; and reading back, which could not wait for what is not being done.
///
/// What the work takes from the context's pool stays the graph's as long as it lives, results included. What the work
/// reads and does not make (inputs, weights) must live as long and stay where it is. The graph may outlive the context,
/// but not the stream.
class CudaGraph {
 public:
  /// Calls `work` twice: the first time it runs as usual, which makes the memory, chooses algorithms and loads kernels;
  /// the second time nothing runs, and all that it queues becomes the graph. Results hold no numbers before the first
  /// launch. Throws StateError for what cannot be repeated, or inside of another capture; Error if CUDA refuses; and
  /// whatever `work` throws, whose results are then undefined.
  static CudaGraph capture(Context<Cuda>& ctx, const std::function<void()>& work) { return CudaGraph(ctx, work); }

  CudaGraph(CudaGraph&&) noexcept;
  CudaGraph& operator=(CudaGraph&&) noexcept;
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  /// Waits for launches that are queued.
  ~CudaGraph();

  /// Queues the work on the stream that the context had; nobody waits. Throws Error if CUDA refuses, StateError while
  /// the calling thread captures another graph.
  void launch() const;

 private:
  struct Body;
  CudaGraph(Context<Cuda>& ctx, const std::function<void()>& work);

  std::unique_ptr<Body> body_;
};

}  // namespace phonaut
