#pragma once
// The words that kernels are written in. nvcc knows them; under PHONAUT_EMULATE_GPU the same sources are plain C++, run
// by the grid emulator of the tests.
#if defined(PHONAUT_EMULATE_GPU)
#include "emulator.hpp"
/// `T name[count]`, shared by the threads of a block.
#define PHONAUT_SHARED(T, name, count)                                         \
  static thread_local ::phonaut::emulator::Shared<T, (count)> name##_of_block; \
  T* const name = name##_of_block.of_block()
/// The shared memory that the launch asked for, as `T*`.
#define PHONAUT_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::phonaut::emulator::detail::dynamic_shared())
#else
#include <cuda_runtime.h>
#define PHONAUT_SHARED(T, name, count) __shared__ T name[count]
#define PHONAUT_DYNAMIC_SHARED(T, name)            \
  extern __shared__ float4 phonaut_shared_bytes[]; \
  T* const name = reinterpret_cast<T*>(phonaut_shared_bytes)
#endif
