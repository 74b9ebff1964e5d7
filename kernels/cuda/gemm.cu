// Matrix products: cuBLASLt where the operands are matrices as it knows them, own tiles for the rest, which are above
// all the overlapping rows of strided convolutions. Tiles are in single precision whatever the context asks for.
#include "phonaut/ops/gemm.hpp"

#include "tile.cuh"

namespace phonaut::kernel {

namespace {

/// No activation.
struct Same {
  template <class S>
  PHONAUT_HD PHONAUT_INLINE S value(S x) const {
    return x;
  }
};
/// Calls run(formula) with that of `activation`, or with Same.
template <class Run>
void with_any(Activation activation, const Run& run) {
  if (activation == Activation::none) run(Same{});
  else with_formula(activation, run);
}

template <class F>
__global__ void __launch_bounds__(cuda::tile_threads) tile_kernel(Gemm<float> g, long column_tiles, F f) {
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
        to = f.value(g.add ? to + value : value);
      }
  }
}

template <class F>
void in_tiles(const Cuda& cuda, const Gemm<float>& g, F f) {
  const auto tiles = [](long n) { return (n + cuda::tile_size - 1) / cuda::tile_size; };
  cuda::launch(cuda, "a matrix product in tiles",
               cuda::Grid{tiles(g.m) * tiles(g.n), cuda::tile_threads, std::min(g.batch, 65535L)}, tile_kernel<F>, g,
               tiles(g.n), f);
}

/// c = f(c + bias), where the product itself did not do that.
template <class F>
void finish(const Cuda& cuda, const Gemm<float>& product, const float* bias, F f) {
  const Gemm<float> g = product;
  cuda::for_each_at(cuda, "the end of a matrix product", g.batch * g.m, g.n, [=] __device__(long r, long c) {
    float& to = g.c[r / g.m * g.c_batch + r % g.m * g.c_row + c];
    to = f.value(to + (bias ? bias[c] : 0.f));
  });
}

/// Asks cuBLASLt for the product with what it can add to it, then without. False if it has no algorithm for either.
bool by_cublas(const Cuda& cuda, const Gemm<float>& g) {
  Gemm<float> asked = g;
  if (g.activation != Activation::relu) asked.activation = Activation::none;
  if (cuda::matrix_product(cuda, asked)) {
    if (asked.activation != g.activation) with_any(g.activation, [&](auto f) { finish(cuda, g, nullptr, f); });
    return true;
  }
  if (!asked.bias && asked.activation == Activation::none) return false;
  asked.bias = nullptr;
  asked.activation = Activation::none;
  if (!cuda::matrix_product(cuda, asked)) return false;
  with_any(g.activation, [&](auto f) { finish(cuda, g, g.bias, f); });
  return true;
}

}  // namespace

void gemm(const Cuda& cuda, const Gemm<float>& g) {
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  if (g.k > 0 && cuda::fits_blas(g) && by_cublas(cuda, g)) return;
  with_any(g.activation, [&](auto f) { in_tiles(cuda, g, f); });
}

}  // namespace phonaut::kernel
