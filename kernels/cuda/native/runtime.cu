// Memory and copies by the CUDA runtime.
#include "../runtime.cuh"

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
  void* p = nullptr;
  cuda::check(cudaMalloc(&p, bytes), "cudaMalloc");
  return p;
}
void CudaMemory::release(void* p) noexcept { cudaFree(p); }

namespace cuda {

namespace {

/// The pool of the current device keeps what is given back: without this, a wait on the stream would return it.
void keep_pool() {
  thread_local int kept = -1;
  int device = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  if (kept == device) return;
  cudaMemPool_t pool{};
  check(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
  unsigned long long everything = ~0ull;
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &everything), "cudaMemPoolSetAttribute");
  kept = device;
}

}  // namespace

void* take_scratch(const Cuda& cuda, std::size_t bytes) {
  keep_pool();
  void* p = nullptr;
  check(cudaMallocAsync(&p, bytes, stream_of(cuda)), "cudaMallocAsync");
  return p;
}
void give_scratch(const Cuda& cuda, void* p) noexcept { cudaFreeAsync(p, stream_of(cuda)); }

void copy_in(const Cuda& cuda, void* device, const void* host, std::size_t bytes) {
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_of(cuda)), "a copy to the device");
  wait_for(cuda);
}
void copy_out(const Cuda& cuda, void* host, const void* device, std::size_t bytes) {
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_of(cuda)), "a copy from the device");
  wait_for(cuda);
}
void copy_within(const Cuda& cuda, void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(cuda)), "a copy on the device");
}
void wait_for(const Cuda& cuda) { check(cudaStreamSynchronize(stream_of(cuda)), "waiting for the stream"); }

}  // namespace cuda
}  // namespace phonaut
