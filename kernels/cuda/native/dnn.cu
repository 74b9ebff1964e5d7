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

void check(cudnnStatus_t status, const char* what) {
  if (status != CUDNN_STATUS_SUCCESS) throw Error(concat("cuda: ", what, " failed: ", cudnnGetErrorString(status)));
}

/// One for each host thread and device: making one is slow, and so is planning.
struct Library {
  cudnnHandle_t handle = nullptr;
  Descriptor device = selected_device();
  Plans<Problem, Plan> plans{remembered};

  Library() { check(cudnnCreate(&handle), "cudnnCreate"); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() { cudnnDestroy(handle); }
};

Library& library() {
  thread_local std::map<int, Library> libraries;
  return libraries[current_device()];
}

/// Bytes that all rows of it are aligned to, up to 16: more does not help.
int alignment(const float* data, long frame) {
  const auto address = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(data));
  return 1 << std::min(std::countr_zero(address | static_cast<std::uint64_t>(frame) * sizeof(float)), 4);
}

/// Needs the plan, its workspace and its tensors until the GPU is done, as any queued work does.
void execute(const Cuda& cuda, cudnnHandle_t handle, const Plan& plan, float* x, float* w, float* y) {
  const Scratch<char> workspace(cuda, static_cast<long>(plan.workspace));
  const std::array<std::int64_t, 3> numbers{1, 2, 3};
  const std::array<void*, 3> tensors{x, w, y};
  void* const room = workspace.data();
  Descriptor given(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  given.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, numbers.data())
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, tensors.data())
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &room)
      .must_finalize();
  check(cudnnSetStream(handle, stream_of(cuda)), "cudnnSetStream");
  check(cudnnBackendExecute(handle, plan.plan.get(), given.get()), "a convolution");
}

}  // namespace

Descriptor selected_device() {
  Descriptor made(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  const std::int32_t device = current_device();
  made.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &device).must_finalize();
  return made;
}

}  // namespace dnn

bool convolve(const Cuda& cuda, const Convolution& c, float* x, float* w, float* y) {
  check_captured(cuda, "a convolution");
  dnn::Library& library = dnn::library();
  dnn::Problem problem;
  problem.convolution = c;
  problem.precision = cuda.precision;
  problem.x_aligned = dnn::alignment(x, c.x_frame);
  problem.w_aligned = dnn::alignment(w, c.in);
  problem.y_aligned = dnn::alignment(y, c.y_frame);
  const std::shared_ptr<dnn::Plan> plan =
      library.plans.get(problem, "a convolution wants a plan, which the first run did not make",
                        [&] { return dnn::plan(library.device, problem, dnn::most_workspace); });
  if (!plan) return false;
  dnn::execute(cuda, library.handle, *plan, x, w, y);
  return true;
}

#endif

}  // namespace phonaut::cuda
