#pragma once

namespace phonaut::cuda {

/// Rows that overlap are cut into strips that do not, of which each is a product (kernels/cuda/gemm.cu). Strips of the
/// sum that are shorter than this are left to own tiles: each strip reads and writes the whole result, 8 bytes for 2
/// operations on every element of its length. On an H100 (60 TFLOP/s in fp32, 3 TB/s) 32 is a third of the peak, which
/// is what tiles of this size are good for. Strips of the result are those of a weight's gradient, small and with a
/// long sum, for which there are few tiles: they may be narrow. Reasoned, not measured.
constexpr long shortest_of_sum = 32, shortest_of_result = 4;

}  // namespace phonaut::cuda
