#pragma once
// What kernels need of a GPU besides its threads: memory, copies, graphs, Fourier transforms, matrix products,
// convolutions. native/ asks CUDA for it, the tests' emulator does it on the host.
#include <cstddef>

#include "convolution.hpp"
#include "phonaut/core/backend.hpp"
#include "phonaut/ops/gemm.hpp"

namespace phonaut::cuda {

/// Memory for what is queued on the stream from now on, until it is given back. Nobody waits for either.
void* take_scratch(const Cuda& cuda, std::size_t bytes);
void give_scratch(const Cuda& cuda, void* p) noexcept;

/// From the host, whose memory may change at once: the copy is queued, and waits for the host only where much is under
/// way already. `bring_in` is for what a captured graph may repeat, such as the tables of a plan; `copy_in` refuses
/// then.
void bring_in(const Cuda& cuda, void* device, const void* host, std::size_t bytes);
void copy_in(const Cuda& cuda, void* device, const void* host, std::size_t bytes);
/// To the host; returns when its memory may be read.
void copy_out(const Cuda& cuda, void* host, const void* device, std::size_t bytes);
/// From device to device, on the stream.
void copy_within(const Cuda& cuda, void* to, const void* from, std::size_t bytes);
void wait_for(const Cuda& cuda);

/// A graph that can be launched, from what is queued on a stream of its own between `begin_capture`, which returns that
/// stream, and `end_capture`. `abandon_capture` forgets it.
void* begin_capture();
void* end_capture(void* stream);
void abandon_capture(void* stream) noexcept;
void launch_graph(const Cuda& cuda, void* graph);
void destroy_graph(const Cuda& cuda, void* graph) noexcept;  ///< when all its launches on that stream are done

/// Real Fourier transforms by cuFFT, in place, of `count` > 0 rows of 2 (n / 2 + 1) floats, one behind the other from
/// an address that 8 divides. A row begins with n samples, or is their spectrum: n / 2 + 1 complex numbers, from
/// frequency 0 on. Neither way scales. The imaginary parts at 0 and, where n is even, at Nyquist must be 0 on the way
/// back. Every n and count has a plan, which takes longer to make than to use: captured work takes those that are
/// there, and throws StateError where one is missing.
void transform_rows(const Cuda& cuda, float* rows, long n, long count);
void transform_rows_back(const Cuda& cuda, float* rows, long n, long count);

/// c = f((c +) a b + bias) by cuBLASLt, in the precision that `cuda` asks for; f is nothing or ReLU. Needs m, n, k and
/// batch above 0, and what `fits_blas` says. False, and nothing is queued, where cuBLASLt has no algorithm for it.
bool matrix_product(const Cuda& cuda, const kernel::Gemm<float>& g);

/// What cuBLASLt takes: of each operand one stride is 1 and the other no less than the extent along the first, and
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

/// A convolution by cuDNN, in TensorFloat-32 where `cuda` asks for less than fp32. Needs frames, channels, taps and
/// batch above 0. Of x, w and y those that the pass reads are left as they are. False, and nothing is queued, where
/// cuDNN is not there or has no engine for it that gives the same bits every time.
bool convolve(const Cuda& cuda, const Convolution& c, float* x, float* w, float* y);

}  // namespace phonaut::cuda
