// What kernels/cuda/native does with the CUDA runtime and cuBLAS, done by the host on the emulator's memory.
#include <cstring>

#include "device_memory.hpp"
#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"
#include "runtime.cuh"

namespace phonaut {

int cuda_devices() noexcept { return 1; }
void select_cuda_device(int index) {
  if (index != 0) throw ConfigError(concat("cuda: device ", index, " was asked for, but there are 1"));
}
void* CudaMemory::allocate(std::size_t bytes) { return emulator::allocate_device(bytes); }
void CudaMemory::release(void* p) noexcept { emulator::release_device(p); }

namespace cuda {

void* take_scratch(const Cuda&, std::size_t bytes) { return emulator::allocate_device(bytes); }
void give_scratch(const Cuda&, void* p) noexcept { emulator::release_device(p); }
void copy_in(const Cuda&, void* device, const void* host, std::size_t bytes) {
  const emulator::DeviceAccess access;
  std::memcpy(device, host, bytes);
}
void copy_out(const Cuda&, void* host, const void* device, std::size_t bytes) {
  const emulator::DeviceAccess access;
  std::memcpy(host, device, bytes);
}
void copy_within(const Cuda&, void* to, const void* from, std::size_t bytes) {
  const emulator::DeviceAccess access;
  std::memmove(to, from, bytes);
}
void wait_for(const Cuda&) {}

void matrix_product(const Cuda&, const kernel::Gemm<float>& g) {
  const emulator::DeviceAccess access;
  for (long batch = 0; batch < g.batch; ++batch)
    for (long i = 0; i < g.m; ++i)
      for (long j = 0; j < g.n; ++j) {
        float total = 0;
        for (long k = 0; k < g.k; ++k)
          total +=
              g.a[batch * g.a_batch + i * g.a_row + k * g.a_col] * g.b[batch * g.b_batch + k * g.b_row + j * g.b_col];
        float& to = g.c[batch * g.c_batch + i * g.c_row + j];
        to = g.add ? to + total : total;
      }
}

}  // namespace cuda
}  // namespace phonaut
