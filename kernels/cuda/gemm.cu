// Matrix products by cuBLAS. cuBLAS counts columns first, so the row-major product c = a b is asked for as cᵀ = bᵀ aᵀ.
#include "phonaut/ops/gemm.hpp"

#include "cuda.cuh"

namespace phonaut::kernel {

namespace {

/// One handle per host thread; making one is slow, and a handle serves one thread at a time.
cublasHandle_t handle_for(const Cuda& backend) {
  struct Owner {
    cublasHandle_t handle = nullptr;
    ~Owner() {
      if (handle) cublasDestroy(handle);
    }
  };
  thread_local Owner owner;
  if (!owner.handle) {
    cuda::check(cublasCreate(&owner.handle), "cublasCreate");
    cuda::check(cublasSetMathMode(owner.handle, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
  }
  cuda::check(cublasSetStream(owner.handle, cuda::stream_of(backend)), "cublasSetStream");
  return owner.handle;
}

}  // namespace

void gemm(const Cuda& backend, const Gemm<float>& g) {
  if (g.m == 0 || g.n == 0 || g.batch == 0) return;
  float beta = g.add ? 1.f : 0.f;
  if (g.bias) {
    const float* bias = g.bias;
    float* c = g.c;
    const long n = g.n, m = g.m, c_row = g.c_row, c_batch = g.c_batch;
    const bool add = g.add;
    cuda::for_each(backend, g.batch * m * n, [=] __device__(long i) {
      float& to = c[i / (m * n) * c_batch + i / n % m * c_row + i % n];
      to = add ? to + bias[i % n] : bias[i % n];
    });
    beta = 1.f;
  }
  if (g.k == 0 && !g.bias && !g.add) {
    float* c = g.c;
    const long n = g.n, m = g.m, c_row = g.c_row, c_batch = g.c_batch;
    cuda::for_each(backend, g.batch * m * n,
                   [=] __device__(long i) { c[i / (m * n) * c_batch + i / n % m * c_row + i % n] = 0; });
  }
  if (g.k == 0) return;
  const float alpha = 1.f;
  // A matrix whose rows are contiguous is, column-major, its own transpose; hence N where col stride is 1.
  const bool a_plain = g.a_col == 1, b_plain = g.b_col == 1;
  const auto lead = [](long row, long col, bool plain, long least) {
    const long stride = plain ? row : col;
    return static_cast<int>(stride > least ? stride : least);
  };
  cuda::check(cublasSgemmStridedBatched(handle_for(backend), b_plain ? CUBLAS_OP_N : CUBLAS_OP_T,
                                        a_plain ? CUBLAS_OP_N : CUBLAS_OP_T, static_cast<int>(g.n),
                                        static_cast<int>(g.m), static_cast<int>(g.k), &alpha, g.b,
                                        lead(g.b_row, g.b_col, b_plain, b_plain ? g.n : g.k), g.b_batch, g.a,
                                        lead(g.a_row, g.a_col, a_plain, a_plain ? g.k : g.m), g.a_batch, &beta, g.c,
                                        static_cast<int>(g.c_row), g.c_batch, static_cast<int>(g.batch)),
              "a matrix product");
}

}  // namespace phonaut::kernel
