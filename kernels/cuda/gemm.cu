// Matrix products: cuBLASLt where the operands are matrices as it knows them, own tiles for the rest, which are above
// all the overlapping rows of strided convolutions. Tiles are in single precision whatever the context asks for.
#include "phonaut/ops/gemm.hpp"

#include "tile.cuh"

namespace phonaut::kernel {

namespace {

__global__ void __launch_bounds__(cuda::tile_threads) tile_kernel(Gemm<float> g, long column_tiles) {
  const long row = blockIdx.x / column_tiles * cuda::tile_size, column = blockIdx.x % column_tiles * cuda::tile_size;
  const long x = threadIdx.x % cuda::tile_step, y = threadIdx.x / cuda::tile_step;
  for (long q = blockIdx.y; q < g.batch; q += gridDim.y) {
    float sum[cuda::tile_each][cuda::tile_each] = {};
    cuda::add_tile(sum, {g.a + q * g.a_batch, g.m, g.a_row, g.a_col}, row, {g.b + q * g.b_batch, g.n, g.b_col, g.b_row},
                   column, g.k);
    for (int i = 0; i < cuda::tile_each; ++i)
      for (int j = 0; j < cuda::tile_each; ++j) {
        const long r = row + y + i * cuda::tile_step, c = column + x + j * cuda::tile_step;
        if (r >= g.m || c >= g.n) continue;
        float& to = g.c[q * g.c_batch + r * g.c_row + c];
        const float value = sum[i][j] + (g.bias ? g.bias[c] : 0.f);
        to = g.add ? to + value : value;
      }
  }
}

}  // namespace

void gemm(const Cuda& cuda, const Gemm<float>& product) {
  const Gemm<float> g = product;
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  if (g.k > 0 && cuda::fits_blas(g)) {
    if (cuda::matrix_product(cuda, g)) return;
    Gemm<float> plain = g;
    plain.bias = nullptr;
    if (g.bias && cuda::matrix_product(cuda, plain)) {
      cuda::for_each_at(cuda, "the bias of a matrix product", g.batch * g.m, g.n, [=] __device__(long r, long c) {
        g.c[r / g.m * g.c_batch + r % g.m * g.c_row + c] += g.bias[c];
      });
      return;
    }
  }
  const auto tiles = [](long n) { return (n + cuda::tile_size - 1) / cuda::tile_size; };
  cuda::launch(cuda, "a matrix product in tiles",
               cuda::Grid{tiles(g.m) * tiles(g.n), cuda::tile_threads, std::min(g.batch, 65535L)}, tile_kernel, g,
               tiles(g.n));
}

}  // namespace phonaut::kernel
