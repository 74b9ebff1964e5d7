// Memory and copies by the CUDA runtime.
#include "../runtime.cuh"

#include "../capture.cuh"
#include "../plans.cuh"
#include "check.cuh"

namespace phonaut {

int cuda_devices() noexcept {
  int devices = 0;
  return cudaGetDeviceCount(&devices) == cudaSuccess ? devices : 0;
}
void select_cuda_device(int index) {
  if (index < 0 || index >= cuda_devices())
    throw ConfigError(concat("cuda: device ", index, " was asked for, but there are ", cuda_devices()));
  cuda::check(cudaSetDevice(index), "cudaSetDevice");
}
void* CudaMemory::allocate(std::size_t bytes) {
  cuda::refuse_in_capture("memory is asked of the GPU, which the first run did not need");
  void* p = nullptr;
  cuda::check(cudaMalloc(&p, bytes), "cudaMalloc");
  return p;
}
void CudaMemory::release(void* p) noexcept {
  if (!cuda::keep_in_capture(p)) cudaFree(p);  // waits for what may still use it
}

namespace cuda {

namespace {

/// The pool of the current device keeps what is given back: without this, a wait on the stream would return it.
void keep_pool() {
  thread_local int kept = -1;
  const int device = current_device();
  if (kept == device) return;
  cudaMemPool_t pool{};
  check(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
  unsigned long long everything = ~0ull;
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &everything), "cudaMemPoolSetAttribute");
  kept = device;
}

}  // namespace

// On a captured stream both become nodes of the graph, which then has the memory to itself.
void* take_scratch(const Cuda& cuda, std::size_t bytes) {
  check_captured(cuda, "memory of a kernel");
  keep_pool();
  void* p = nullptr;
  check(cudaMallocAsync(&p, bytes, stream_of(cuda)), "cudaMallocAsync");
  return p;
}
void give_scratch(const Cuda& cuda, void* p) noexcept { cudaFreeAsync(p, stream_of(cuda)); }

void copy_out(const Cuda& cuda, void* host, const void* device, std::size_t bytes) {
  refuse_in_capture("numbers are read back, but nothing is computed before a launch");
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_of(cuda)), "a copy from the device");
  wait_for(cuda);
}
void copy_within(const Cuda& cuda, void* to, const void* from, std::size_t bytes) {
  check_captured(cuda, "a copy on the device");
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(cuda)), "a copy on the device");
}
void wait_for_device() { check(cudaDeviceSynchronize(), "waiting for the device"); }
void wait_for(const Cuda& cuda) {
  refuse_in_capture("the stream is waited for, but nothing is queued before a launch");
  check(cudaStreamSynchronize(stream_of(cuda)), "waiting for the stream");
}

}  // namespace cuda
}  // namespace phonaut
