// What a captured graph holds and refuses; the runtime records and repeats it.
#include "phonaut/core/cuda_graph.hpp"

#include <new>
#include <utility>

#include "capture.cuh"
#include "runtime.cuh"

namespace phonaut {

namespace cuda {

namespace {
thread_local Capture* captured = nullptr;
}  // namespace

Capture* current_capture() noexcept { return captured; }

bool keep_in_capture(void* p) noexcept {
  if (!captured || !p) return false;
  try {
    captured->kept->push_back({p, CudaMemory::release});
  } catch (const std::bad_alloc&) {
    // Without room to note it down it stays for ever, rather than go while the graph uses it.
  }
  return true;
}

void refuse_in_capture(const char* why) {
  if (captured) throw StateError(concat("cuda graph: ", why, "; do it outside of what is captured"));
}
void copy_in(const Cuda& cuda, void* device, const void* host, std::size_t bytes) {
  refuse_in_capture("numbers of the host are copied in, and every launch would repeat these");
  bring_in(cuda, device, host, bytes);
}
void check_captured(const Cuda& cuda, const char* what) {
  if (captured && cuda.stream != captured->stream)
    throw StateError(concat("cuda graph: ", what,
                            " is queued on another stream than the one that is captured; take the backend from the "
                            "context when it is needed, and keep no copy of it"));
}

}  // namespace cuda

struct CudaGraph::Body {
  explicit Body(const Cuda& cuda_) : cuda(cuda_), pool(Pool<CudaMemory>::create()) {}
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;
  ~Body() {
    if (graph) cuda::destroy_graph(cuda, graph);
    for (const cuda::Kept& each : kept) each.release(each.memory);
    pool->retire();
  }

  Cuda cuda;
  Pool<CudaMemory>* pool;
  std::vector<cuda::Kept> kept;
  void* graph = nullptr;
};

CudaGraph::CudaGraph(Context<Cuda>& ctx, const std::function<void()>& work) {
  cuda::refuse_in_capture("another capture would begin inside of this one");
  auto body = std::make_unique<Body>(ctx.backend_);

  /// The context works in the graph's memory and, once told, on the captured stream.
  struct Inside {
    Context<Cuda>& ctx;
    Pool<CudaMemory>* const pool;
    void* const stream;
    cuda::Capture capture;

    Inside(Context<Cuda>& ctx_, Body& body_)
        : ctx(ctx_),
          pool(std::exchange(ctx_.pool_, body_.pool)),
          stream(ctx_.backend_.stream),
          capture{nullptr, &body_.kept} {}
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside() {
      if (capture.stream) cuda::abandon_capture(finish());
      ctx.pool_ = pool;
    }
    void begin() {
      capture.stream = cuda::begin_capture();
      ctx.backend_.stream = capture.stream;
      ctx.captured_ = true;
      cuda::captured = &capture;
    }
    void* finish() {
      cuda::captured = nullptr;
      ctx.captured_ = false;
      ctx.backend_.stream = stream;
      return std::exchange(capture.stream, nullptr);
    }
  } inside(ctx, *body);

  const auto run = [&] {
    const std::uint64_t before = ctx.random_.used;
    work();
    if (const std::uint64_t drawn = ctx.random_.used - before; drawn > 0)
      throw StateError(concat("cuda graph: the work draws random numbers (", 4 * drawn,
                              " this time), which every launch would repeat; draw them outside of what is captured"));
  };
  run();
  body->pool->restock();
  inside.begin();
  run();
  body->graph = cuda::end_capture(inside.finish());
  body_ = std::move(body);
}
CudaGraph::CudaGraph(CudaGraph&&) noexcept = default;
CudaGraph& CudaGraph::operator=(CudaGraph&&) noexcept = default;
CudaGraph::~CudaGraph() = default;

void CudaGraph::launch() const {
  cuda::refuse_in_capture("another graph is launched");
  cuda::launch_graph(body_->cuda, body_->graph);
}

}  // namespace phonaut
