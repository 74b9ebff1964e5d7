#pragma once
// A tile of a matrix product in registers, for kernels that do something with it other than cuBLAS does.
#include "cuda.cuh"

namespace phonaut::cuda {

constexpr int tile_size = 64, tile_depth = 16, tile_each = 4, tile_step = tile_size / tile_each;
constexpr int tile_threads = tile_step * tile_step;

/// Element (i, p) of an operand is data[i · outer + p · inner], for `count` rows i.
struct TileOperand {
  const float* data;
  long count, outer, inner;
};

/// Adds Σ_p a[row + y + 16 i, p] b[column + x + 16 j, p] to sum[i][j], x and y being the thread's place in the block of
/// tile_threads, all of which must come here. Neighbouring threads read neighbouring floats.
__device__ __forceinline__ void add_tile(float (&sum)[tile_each][tile_each], const TileOperand& a, long row,
                                         const TileOperand& b, long column, long depth) {
  PHONAUT_SHARED(float, a_tile, (tile_depth * (tile_size + 1)));  // one float of padding: no two rows share a bank
  PHONAUT_SHARED(float, b_tile, (tile_depth * (tile_size + 1)));
  const int x = static_cast<int>(threadIdx.x) % tile_step, y = static_cast<int>(threadIdx.x) / tile_step;
  const auto load = [&](const TileOperand& from, long first, long p0, float* to) {
    for (int i = static_cast<int>(threadIdx.x); i < tile_size * tile_depth; i += tile_threads) {
      const int r = from.inner == 1 ? i / tile_depth : i % tile_size;
      const int p = from.inner == 1 ? i % tile_depth : i / tile_size;
      const bool there = first + r < from.count && p0 + p < depth;
      to[p * (tile_size + 1) + r] = there ? from.data[(first + r) * from.outer + (p0 + p) * from.inner] : 0.f;
    }
  };
  for (long p0 = 0; p0 < depth; p0 += tile_depth) {
    __syncthreads();  // the last step may still be read
    load(a, row, p0, a_tile);
    load(b, column, p0, b_tile);
    __syncthreads();
    for (int p = 0; p < tile_depth; ++p) {
      float left[tile_each], right[tile_each];
      for (int i = 0; i < tile_each; ++i) {
        left[i] = a_tile[p * (tile_size + 1) + y + i * tile_step];
        right[i] = b_tile[p * (tile_size + 1) + x + i * tile_step];
      }
      for (int i = 0; i < tile_each; ++i)
        for (int j = 0; j < tile_each; ++j) sum[i][j] += left[i] * right[j];
    }
  }
}

}  // namespace phonaut::cuda
