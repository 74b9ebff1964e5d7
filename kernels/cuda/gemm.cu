// Matrix products: cuBLAS where the operands are matrices as it knows them, own tiles for the rest, which are above all
// the overlapping rows of strided convolutions.
#include "phonaut/ops/gemm.hpp"

#include "cuda.cuh"

namespace phonaut::kernel {

namespace {

constexpr int kTile = 64, kDepth = 16, kEach = 4, kTileThreads = (kTile / kEach) * (kTile / kEach);

/// One tile of c per block; each thread keeps 4 × 4 of its elements, 16 rows and columns apart, so that neighbouring
/// threads read neighbouring floats. Of the padding in `a` and `b`, one float, comes that no two rows share a bank.
__global__ void __launch_bounds__(kTileThreads) tile_kernel(Gemm<float> g, long column_tiles) {
  PHONAUT_SHARED(float, a_tile, kDepth*(kTile + 1));
  PHONAUT_SHARED(float, b_tile, kDepth*(kTile + 1));
  const long row = blockIdx.x / column_tiles * kTile, column = blockIdx.x % column_tiles * kTile;
  const int x = static_cast<int>(threadIdx.x) % (kTile / kEach), y = static_cast<int>(threadIdx.x) / (kTile / kEach);
  for (long q = blockIdx.y; q < g.batch; q += gridDim.y) {
    const float *a = g.a + q * g.a_batch, *b = g.b + q * g.b_batch;
    float sum[kEach][kEach] = {};
    for (long depth = 0; depth < g.k; depth += kDepth) {
      for (int i = static_cast<int>(threadIdx.x); i < kTile * kDepth; i += kTileThreads) {
        // Neighbouring threads walk along the axis that is contiguous.
        const int ar = g.a_col == 1 ? i / kDepth : i % kTile, ap = g.a_col == 1 ? i % kDepth : i / kTile;
        const int bc = g.b_col == 1 ? i % kTile : i / kDepth, bp = g.b_col == 1 ? i / kTile : i % kDepth;
        a_tile[ap * (kTile + 1) + ar] =
            row + ar < g.m && depth + ap < g.k ? a[(row + ar) * g.a_row + (depth + ap) * g.a_col] : 0.f;
        b_tile[bp * (kTile + 1) + bc] =
            column + bc < g.n && depth + bp < g.k ? b[(depth + bp) * g.b_row + (column + bc) * g.b_col] : 0.f;
      }
      __syncthreads();
      for (int p = 0; p < kDepth; ++p) {
        float left[kEach], right[kEach];
        for (int i = 0; i < kEach; ++i) {
          left[i] = a_tile[p * (kTile + 1) + y + i * (kTile / kEach)];
          right[i] = b_tile[p * (kTile + 1) + x + i * (kTile / kEach)];
        }
        for (int i = 0; i < kEach; ++i)
          for (int j = 0; j < kEach; ++j) sum[i][j] += left[i] * right[j];
      }
      __syncthreads();
    }
    for (int i = 0; i < kEach; ++i)
      for (int j = 0; j < kEach; ++j) {
        const long r = row + y + i * (kTile / kEach), c = column + x + j * (kTile / kEach);
        if (r >= g.m || c >= g.n) continue;
        float& to = g.c[q * g.c_batch + r * g.c_row + c];
        const float value = sum[i][j] + (g.bias ? g.bias[c] : 0.f);
        to = g.add ? to + value : value;
      }
  }
}

}  // namespace

void gemm(const Cuda& cuda, const Gemm<float>& g) {
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  if (g.k > 0 && cuda::fits_blas(g)) {
    Gemm<float> product = g;
    if (g.bias) {
      cuda::for_each_at(cuda, "the bias of a matrix product", g.batch * g.m, g.n, [=] __device__(long r, long c) {
        float& to = g.c[r / g.m * g.c_batch + r % g.m * g.c_row + c];
        to = g.add ? to + g.bias[c] : g.bias[c];
      });
      product.bias = nullptr;
      product.add = true;
    }
    cuda::matrix_product(cuda, product);
    return;
  }
  const long row_tiles = (g.m + kTile - 1) / kTile, column_tiles = (g.n + kTile - 1) / kTile;
  cuda::launch(cuda, "a matrix product in tiles",
               cuda::Grid{row_tiles * column_tiles, kTileThreads, std::min(g.batch, 65535L)}, tile_kernel, g,
               column_tiles);
}

}  // namespace phonaut::kernel
