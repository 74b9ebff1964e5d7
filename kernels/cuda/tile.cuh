#pragma once
// A tile of a matrix product in registers, for products that cuBLASLt is no good for, and kernels that go on with one.
#include "cuda.cuh"

namespace phonaut::cuda {

constexpr int tile_size = 64, tile_depth = 16, tile_each = 4, tile_step = tile_size / tile_each;
constexpr int tile_threads = tile_step * tile_step;

/// How many tiles cover n rows or columns.
inline long tiles(long n, long each = tile_size) { return (n + each - 1) / each; }

/// Element (i, p) of an operand is data[i · outer + p · inner], for `count` rows i.
struct TileOperand {
  const float* data;
  long count, outer, inner;
};

/// Adds Σ_p a[row + y + 16 i, p] b[column + x + 16 j, p] to sum[i][j], x and y being the thread's place in the block of
/// tile_threads, all of which must come here. Neighbouring threads read neighbouring floats. Fewer than tile_each
/// columns for a thread make a narrower tile.
template <int Columns>
__device__ __forceinline__ void add_tile(float (&sum)[tile_each][Columns], const TileOperand& a, long row,
                                         const TileOperand& b, long column, long depth) {
  constexpr int width = tile_step * Columns;
  PHONAUT_SHARED(float, a_tile, (tile_depth * (tile_size + 1)));  // one float of padding: no two rows share a bank
  PHONAUT_SHARED(float, b_tile, (tile_depth * (width + 1)));
  const int x = static_cast<int>(threadIdx.x) % tile_step, y = static_cast<int>(threadIdx.x) / tile_step;
  const auto load = [&](const TileOperand& from, long first, long p0, int rows, float* to) {
    for (int i = static_cast<int>(threadIdx.x); i < rows * tile_depth; i += tile_threads) {
      const int r = from.inner == 1 ? i / tile_depth : i % rows;
      const int p = from.inner == 1 ? i % tile_depth : i / rows;
      const bool there = first + r < from.count && p0 + p < depth;
      to[p * (rows + 1) + r] = there ? from.data[(first + r) * from.outer + (p0 + p) * from.inner] : 0.f;
    }
  };
  for (long p0 = 0; p0 < depth; p0 += tile_depth) {
    __syncthreads();  // the last step may still be read
    load(a, row, p0, tile_size, a_tile);
    load(b, column, p0, width, b_tile);
    __syncthreads();
    for (int p = 0; p < tile_depth; ++p) {
      float left[tile_each], right[Columns];
      for (int i = 0; i < tile_each; ++i) left[i] = a_tile[p * (tile_size + 1) + y + i * tile_step];
      for (int j = 0; j < Columns; ++j) right[j] = b_tile[p * (width + 1) + x + j * tile_step];
      for (int i = 0; i < tile_each; ++i)
        for (int j = 0; j < Columns; ++j) sum[i][j] += left[i] * right[j];
    }
  }
}

}  // namespace phonaut::cuda
