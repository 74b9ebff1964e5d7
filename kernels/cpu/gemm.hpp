#pragma once
// The matrix product for other kernels of the same instruction set.
#include "isa.hpp"
#include "phonaut/ops/gemm.hpp"

#ifndef PHONAUT_ISA
namespace phonaut::kernel {

/// Our kernels (gemm.cpp), for every instruction set. What `gemm` calls unless PHONAUT_GEMM asks for another provider.
void gemm_own(const Cpu& cpu, const Gemm<float>& g);
/// Floats that `pack_slivers` writes for (rows, k) numbers.
long sliver_floats(long rows, long k) noexcept;
/// Packs the (rows, k) numbers at b, which a product takes as columns, for later products (packed_matrix.hpp).
void pack_slivers(const Cpu& cpu, const float* b, long rows, long k, float* to);
/// oneDNN's sgemm. Exists in builds with PHONAUT_ONEDNN.
void gemm_onednn(const Cpu& cpu, const Gemm<float>& g);

}  // namespace phonaut::kernel
#else
namespace phonaut::kernel::PHONAUT_ISA {

/// Called for each block of c that is complete, by the thread that wrote it, while it is still in its cache: matrix q
/// of the batch, rows [row, row + rows), columns [column, column + columns). The blocks cover c once, in no order.
struct Finish {
  void (*call)(const void* state, long q, long row, long rows, long column, long columns) = nullptr;
  const void* state = nullptr;
};

void gemm(const Cpu& cpu, const Gemm<float>& g, const Finish& finish);

/// c = a b + bias, then `finish(q, row, rows, column, columns)` on each block.
template <class F>
PHONAUT_INLINE void gemm_then(const Cpu& cpu, const Gemm<float>& g, const F& finish) {
  gemm(cpu, g,
       Finish{[](const void* state, long q, long row, long rows, long column, long columns) {
                (*static_cast<const F*>(state))(q, row, rows, column, columns);
              },
              &finish});
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#endif
