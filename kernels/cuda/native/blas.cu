// Matrix products by cuBLAS, which counts columns first: the row-major c = a b is asked for as cᵀ = bᵀ aᵀ.
#include "../runtime.cuh"

#include <algorithm>

#include "check.cuh"

namespace phonaut::cuda {

namespace {

/// One handle per host thread; making one is slow, and a handle serves one thread at a time.
cublasHandle_t handle_for(const Cuda& cuda) {
  struct Owner {
    cublasHandle_t handle = nullptr;
    ~Owner() {
      if (handle) cublasDestroy(handle);
    }
  };
  thread_local Owner owner;
  if (!owner.handle) {
    check(cublasCreate(&owner.handle), "cublasCreate");
    check(cublasSetMathMode(owner.handle, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
  }
  check(cublasSetStream(owner.handle, stream_of(cuda)), "cublasSetStream");
  return owner.handle;
}

/// A row-major operand as cuBLAS sees it: a matrix whose rows are contiguous is, column-major, its own transpose.
struct Operand {
  cublasOperation_t operation;
  int lead;
  Operand(long rows, long columns, long row, long column) {
    const bool plain = column == 1 && (row >= columns || rows == 1);
    operation = plain ? CUBLAS_OP_N : CUBLAS_OP_T;
    // Of a single row or column the stride says nothing, and may be less than cuBLAS accepts.
    lead = static_cast<int>(plain ? std::max(row, columns) : std::max(column, rows));
  }
};

}  // namespace

void matrix_product(const Cuda& cuda, const kernel::Gemm<float>& g) {
  const Operand a(g.m, g.k, g.a_row, g.a_col), b(g.k, g.n, g.b_row, g.b_col);
  const float alpha = 1, beta = g.add ? 1.f : 0.f;
  check(cublasSgemmStridedBatched(handle_for(cuda), b.operation, a.operation, static_cast<int>(g.n),
                                  static_cast<int>(g.m), static_cast<int>(g.k), &alpha, g.b, b.lead, g.b_batch, g.a,
                                  a.lead, g.a_batch, &beta, g.c, static_cast<int>(std::max(g.c_row, g.n)), g.c_batch,
                                  static_cast<int>(g.batch)),
        "a matrix product");
}

}  // namespace phonaut::cuda
