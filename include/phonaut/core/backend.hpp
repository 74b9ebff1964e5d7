#pragma once
// Backends. A kernel is a free function whose first argument is the backend; overload resolution prefers the one
// written for it and falls back from Cpu to Reference. Cuda has no base: a missing kernel does not compile.
#include <cstddef>

namespace phonaut {

/// Ordinary memory, aligned to a cache line.
struct HostMemory {
  static void* allocate(std::size_t bytes);
  static void release(void* p) noexcept;
};

/// The formula in plain scalar code: documentation, oracle and fallback.
struct Reference {
  using Scalar = float;
  using Memory = HostMemory;
};

/// The reference formulas over another number type: double, or dual numbers for exact derivatives.
template <class S>
struct ReferenceOf : Reference {
  using Scalar = S;
};
using Reference64 = ReferenceOf<double>;

/// Instruction sets that the CPU kernels are compiled for, weakest first.
enum class Isa { baseline, avx2, avx512 };

const char* name_of(Isa isa) noexcept;
/// Whether this build has kernels for `isa`, and this processor and operating system run them.
bool can_run(Isa isa) noexcept;
/// The best set that this processor and operating system run, or what PHONAUT_ISA asks for
/// (`baseline`, `avx2`, `avx512`). Throws ConfigError if that is unknown or cannot run here.
Isa best_isa();

/// What matrix products, and convolutions that are products, compute with. Tensors are floats either way.
enum class Precision {
  fp32,  ///< single precision throughout
  /// Both factors are rounded to bfloat16 (to nearest, ties to even; a NaN stays one, subnormal numbers count as zero),
  /// the products of these are exact and added up in single precision. docs/precision.md has errors and speed.
  bf16
};

const char* name_of(Precision precision) noexcept;
/// "fp32" or "bf16". Throws ConfigError for other names.
Precision precision_named(const char* name);
/// Whether this processor multiplies pairs of bfloat16 (AVX512-BF16) and this build has kernels that do.
bool can_multiply_bf16() noexcept;

/// OMP_NUM_THREADS where set, else the number of processors this process may use.
int default_threads() noexcept;

/// SIMD kernels, chosen at run time by `isa`, on `threads` threads.
struct Cpu : Reference {
  using Scalar = float;
  using Memory = HostMemory;
  int threads = default_threads();
  Isa isa = best_isa();
  Precision precision = Precision::fp32;
  /// With AVX-512: use the instructions of AVX512-BF16. Without them rounded floats are multiplied, which gives the
  /// same sums up to their order and is not faster than fp32.
  bool bf16_instructions = can_multiply_bf16();
};

/// NVIDIA GPUs. Kernels run on `stream` (a cudaStream_t; null is the default stream).
struct CudaMemory {
  static void* allocate(std::size_t bytes);
  static void release(void* p) noexcept;
};
/// Whether a GPU can be used; needs phonaut::cuda.
bool cuda_available() noexcept;
struct Cuda {
  using Scalar = float;
  using Memory = CudaMemory;
  void* stream = nullptr;
};

}  // namespace phonaut
