// Matrix products: cuBLASLt where the operands are matrices as it knows them. Rows that overlap, those of convolutions,
// are none; cut into strips as long as the distance of two rows, they are. Own tiles multiply what would be narrow
// strips, and what cuBLASLt has no algorithm for: in single precision, whatever the context asks for.
#include "phonaut/ops/gemm.hpp"

#include "epilogue.cuh"
#include "products_in_tiles.hpp"
#include "strips.hpp"

namespace phonaut::kernel {

namespace {

/// Asks cuBLASLt for the product with what it can add to it, then without. False if it has no algorithm for either.
bool by_cublas(const Cuda& cuda, const Gemm<float>& g) {
  Gemm<float> asked = g;
  if (g.activation != Activation::relu) asked.activation = Activation::none;
  if (cuda::matrix_product(cuda, asked)) {
    if (asked.activation != g.activation) cuda::finish(cuda, g, nullptr, g.activation);
    return true;
  }
  if (!asked.bias && asked.activation == Activation::none) return false;
  asked.bias = nullptr;
  asked.activation = Activation::none;
  if (!cuda::matrix_product(cuda, asked)) return false;
  cuda::finish(cuda, g, g.bias, g.activation);
  return true;
}

void by_cublas_or_tiles(const Cuda& cuda, const Gemm<float>& g) {
  if (!cuda::fits_blas(g) || !by_cublas(cuda, g)) cuda::products_in_tiles(cuda, {.first = g});
}

/// The greatest pieces of m, n and k in which the rows of both operands do not overlap.
struct Strips {
  long m, n, k;
  explicit Strips(const Gemm<float>& g) : m(g.m), n(g.n), k(g.k) {
    if (g.a_col == 1 && g.m > 1) k = std::min(k, g.a_row);
    else if (g.a_row == 1 && g.k > 1) m = std::min(m, g.a_col);
    if (g.b_col == 1 && g.k > 1) n = std::min(n, g.b_row);
    else if (g.b_row == 1 && g.n > 1) k = std::min(k, g.b_col);
  }
  /// Whether they are worth a product each.
  bool wide(const Gemm<float>& g) const {
    const auto fits = [](long piece, long all, long shortest) { return piece >= std::min(all, shortest); };
    using cuda::shortest_of_result, cuda::shortest_of_sum;
    return fits(m, g.m, shortest_of_result) && fits(n, g.n, shortest_of_result) && fits(k, g.k, shortest_of_sum);
  }
};

}  // namespace

void gemm(const Cuda& cuda, const Gemm<float>& g) {
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  const Strips strips(g);
  if (g.k == 0 || !strips.wide(g)) return cuda::products_in_tiles(cuda, {.first = g});
  for (long i = 0; i < g.m; i += strips.m)
    for (long j = 0; j < g.n; j += strips.n)
      for (long p = 0; p < g.k; p += strips.k) {
        const bool last = p + strips.k >= g.k;
        Gemm<float> piece = g;
        piece.m = std::min(strips.m, g.m - i);
        piece.n = std::min(strips.n, g.n - j);
        piece.k = std::min(strips.k, g.k - p);
        piece.a = g.a + i * g.a_row + p * g.a_col;
        piece.b = g.b + p * g.b_row + j * g.b_col;
        piece.c = g.c + i * g.c_row + j;
        piece.add = g.add || p > 0;
        piece.bias = last && g.bias ? g.bias + j : nullptr;
        piece.activation = last ? g.activation : Activation::none;
        by_cublas_or_tiles(cuda, piece);
      }
}

}  // namespace phonaut::kernel
