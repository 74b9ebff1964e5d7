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
  /// On Cuda, factors are rounded to TensorFloat-32 (10 binary digits behind the first, exponents of a float); sums
  /// stay in single precision. Elsewhere the same as fp32.
  tf32,
  /// Both factors are rounded to bfloat16 (to nearest, ties to even; a NaN stays one, subnormal numbers count as zero),
  /// the products of these are exact and added up in single precision. docs/precision.md has errors and speed.
  bf16,
  /// Weights that the context knows as bytes (PackedWeights with Precision::int8) are multiplied as such, with the
  /// other side scaled to bytes row by row; sums are exact integers. All other products are those of fp32. For
  /// inference on Cpu; elsewhere the same as fp32.
  int8
};

const char* name_of(Precision precision) noexcept;
/// "fp32", "tf32", "bf16" or "int8". Throws ConfigError for other names.
Precision precision_named(const char* name);
/// What multiplies bfloat16, slowest first. All give the same sums up to their order.
enum class Bf16Unit {
  none,    ///< the kernels of fp32, on rounded floats: not faster than fp32
  avx512,  ///< AVX512-BF16: pairs, in registers of AVX-512
  amx      ///< AMX: tiles of pairs
};

const char* name_of(Bf16Unit unit) noexcept;
/// Whether this processor and operating system have the unit and this build has kernels for it. The first question for
/// AMX asks Linux to let this process use its registers.
bool can_run(Bf16Unit unit) noexcept;
/// The fastest unit that can run.
Bf16Unit best_bf16_unit() noexcept;

/// Whether this processor multiplies bytes by AVX512-VNNI and this build has kernels for it.
bool has_vnni() noexcept;

/// OMP_NUM_THREADS where set, else the number of processors this process may use.
int default_threads() noexcept;

class PackedWeights;  // core/packed_weights.hpp

/// SIMD kernels, chosen at run time by `isa`, on `threads` threads.
struct Cpu : Reference {
  using Scalar = float;
  using Memory = HostMemory;
  int threads = default_threads();
  Isa isa = best_isa();
  Precision precision = Precision::fp32;
  /// What multiplies in bf16, with `isa` avx512; weaker sets have none.
  Bf16Unit bf16_unit = best_bf16_unit();
  /// Whether products of bytes (Precision::int8) use VNNI, with `isa` avx512. The sums are the same without.
  bool vnni = has_vnni();
  /// Weights that products in bf16 or int8 find rounded already; none if null.
  const PackedWeights* packed = nullptr;
};

/// Memory of the GPU that the calling thread has selected.
struct CudaMemory {
  static void* allocate(std::size_t bytes);
  static void release(void* p) noexcept;
};
/// GPUs that can be used; needs phonaut::cuda.
int cuda_devices() noexcept;
inline bool cuda_available() noexcept { return cuda_devices() > 0; }
/// From now on, the calling thread's contexts and parameters are made on that GPU. Throws ConfigError if there is none
/// of that number.
void select_cuda_device(int index);
/// NVIDIA GPUs. Kernels run on `stream` (a cudaStream_t; null is the default stream; core/cuda_stream.hpp makes
/// others).
struct Cuda {
  using Scalar = float;
  using Memory = CudaMemory;
  void* stream = nullptr;
  Precision precision = Precision::fp32;
};

}  // namespace phonaut
