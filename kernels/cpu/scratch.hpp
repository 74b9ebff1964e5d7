#pragma once
// Working memory of kernels.
#include <cstddef>

namespace phonaut::kernel {

/// Whose memory: a kernel that calls another one must not lend it the same.
enum class Scratch { gemm, kernel };

/// At least `floats` floats, aligned to 64 bytes, of the calling thread; valid until it asks again with the same owner.
/// Grows and is kept, so that a second call of the same size allocates nothing. Ask before starting threads: it can
/// throw std::bad_alloc.
float* scratch(Scratch owner, long floats);

}  // namespace phonaut::kernel
