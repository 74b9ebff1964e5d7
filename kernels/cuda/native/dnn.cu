// Convolutions by cuDNN, where the build has it.
#include "../runtime.cuh"
#ifdef PHONAUT_CUDNN
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <memory>

#include "../cuda.cuh"
#include "../plans.cuh"
#include "dnn_plan.hpp"
#endif

namespace phonaut::cuda {

#ifndef PHONAUT_CUDNN

bool convolve(const Cuda&, const Convolution&, float*, float*, float*) { return false; }

#else

namespace dnn {

namespace {

/// Bytes that a convolution may ask for.
constexpr std::int64_t most_workspace = std::int64_t{256} << 20;
/// Plans that a thread remembers, at least.
constexpr std::size_t remembered = 128;

/// The handle of a GPU; none where cuDNN cannot be begun there, or is an older one at run time.
class Handle {
 public:
  Handle() {
    if (cudnnGetVersion() < 90800 || cudnnCreate(&handle_) != CUDNN_STATUS_SUCCESS) handle_ = nullptr;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (handle_) cudnnDestroy(handle_);
  }
  cudnnHandle_t get() const { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

/// A plan with the handle that it was made by: a graph may keep it for longer than the thread that captured it lives.
struct Executable {
  std::shared_ptr<const Handle> handle;
  std::unique_ptr<Plan> plan;  ///< null where there is none, or cuDNN has refused to execute it
};

/// One for each host thread and device: making one is slow, and so is planning.
struct Library {
  std::shared_ptr<const Handle> handle = std::make_shared<Handle>();
  Plans<Problem, Executable> plans{remembered};
};

Library& library() {
  thread_local std::map<int, Library> libraries;
  return libraries[current_device()];
}

/// Bytes that all frames of a tensor are aligned to, up to 16: more does not help.
int alignment(const float* data, long batch, long batch_stride, long frame_stride) {
  const auto address = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(data));
  const auto strides = static_cast<std::uint64_t>(frame_stride | (batch > 1 ? batch_stride : 0));
  return 1 << std::min(std::countr_zero(address | strides * sizeof(float)), 4);
}

void execute(const Cuda& cuda, cudnnHandle_t handle, const Plan& plan, float* x, float* w, float* y) {
  const Scratch<char> workspace(cuda, static_cast<long>(plan.workspace));
  const std::array<std::int64_t, 3> numbers{1, 2, 3};
  const std::array<void*, 3> tensors{x, w, y};
  void* const room = workspace.data();
  Descriptor given(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  given.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, numbers.data())
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, tensors.data())
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &room)
      .finalize();
  check(cudnnSetStream(handle, stream_of(cuda)), "cudnnSetStream");
  check(cudnnBackendExecute(handle, plan.plan.get(), given.get()), "a convolution");
}

}  // namespace

}  // namespace dnn

bool convolve(const Cuda& cuda, const Convolution& c, float* x, float* w, float* y) {
  check_captured(cuda, "a convolution");
  dnn::Library& library = dnn::library();
  if (!library.handle->get()) return false;
  dnn::Problem problem;
  problem.convolution = c;
  problem.precision = cuda.precision;
  problem.x_aligned = dnn::alignment(x, c.batch, c.x_batch, c.x_frame);
  problem.w_aligned = dnn::alignment(w, c.out, c.taps * c.in, c.in);
  problem.y_aligned = dnn::alignment(y, c.batch, c.y_batch, c.y_frame);
  const std::shared_ptr<dnn::Executable> chosen =
      library.plans.get(problem, "a convolution wants a plan, which the first run did not make", [&] {
        return std::make_shared<dnn::Executable>(dnn::Executable{
            library.handle, dnn::plan({.handle = library.handle->get()}, problem, dnn::most_workspace)});
      });
  if (!chosen->plan) return false;
  try {
    dnn::execute(cuda, library.handle->get(), *chosen->plan, x, w, y);
  } catch (const dnn::Unsupported&) {
    refuse_in_capture("cuDNN refuses to execute what it has planned");
    chosen->plan.reset();  // from now on, products
    return false;
  }
  return true;
}

#endif

}  // namespace phonaut::cuda
