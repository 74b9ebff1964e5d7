#pragma once
// What kernels need of a GPU besides its threads: memory, copies, matrix products. native/ asks CUDA for it, the tests'
// emulator does it on the host.
#include <cstddef>

#include "phonaut/core/backend.hpp"
#include "phonaut/ops/gemm.hpp"

namespace phonaut::cuda {

/// Memory for what is queued on the stream from now on, until it is given back. Nobody waits for either.
void* take_scratch(const Cuda& cuda, std::size_t bytes);
void give_scratch(const Cuda& cuda, void* p) noexcept;

/// Copies to and from the host; they return when the host memory may be changed or read.
void copy_in(const Cuda& cuda, void* device, const void* host, std::size_t bytes);
void copy_out(const Cuda& cuda, void* host, const void* device, std::size_t bytes);
/// From device to device, on the stream.
void copy_within(const Cuda& cuda, void* to, const void* from, std::size_t bytes);
void wait_for(const Cuda& cuda);

/// c (= or +=) a b by cuBLAS, without the bias. Needs m, n, k and batch above 0, and what `fits_blas` says.
void matrix_product(const Cuda& cuda, const kernel::Gemm<float>& g);

/// What cuBLAS takes: of each operand one stride is 1 and the other no less than the extent along the first, and
/// extents and strides are ints. Rows that overlap are none of that.
inline bool fits_blas(const kernel::Gemm<float>& g) {
  constexpr long most = 0x7fffffffL;
  const auto operand = [](long rows, long columns, long row, long column) {
    return row <= most && column <= most &&
           ((column == 1 && (row >= columns || rows == 1)) || (row == 1 && (column >= rows || columns == 1)));
  };
  return g.m <= most && g.n <= most && g.k <= most && g.batch <= most && g.c_row <= most &&
         (g.c_row >= g.n || g.m == 1) && operand(g.m, g.k, g.a_row, g.a_col) && operand(g.k, g.n, g.b_row, g.b_col);
}

}  // namespace phonaut::cuda
