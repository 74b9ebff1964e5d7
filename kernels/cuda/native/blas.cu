// Matrix products by cuBLASLt, which counts columns first: the row-major c = a b is asked for as cᵀ = bᵀ aᵀ. A bias
// over our columns is then one over its rows, which is what its epilogue adds.
#include <algorithm>
#include <bit>
#include <compare>
#include <cstdint>
#include <map>
#include <string>

#include "../cuda.cuh"
#include "../recent.cuh"

namespace phonaut::cuda {

namespace {

/// Bytes that an algorithm may ask for.
constexpr std::uint64_t most_workspace = std::uint64_t{32} << 20;
/// Algorithms that a thread remembers, at least.
constexpr std::size_t remembered = 512;

/// A row-major operand as cuBLASLt sees it: a matrix whose rows are contiguous is, column-major, its own transpose.
struct Operand {
  bool turned = false;
  long lead = 0, batch = 0;
  int aligned = 0;  ///< bytes that all its addresses are multiples of, up to 256
  auto operator<=>(const Operand&) const = default;
};

int alignment(const float* data, long batch_stride, long batch) {
  const auto address = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(data));
  const std::uint64_t stride = batch > 1 ? static_cast<std::uint64_t>(batch_stride) * sizeof(float) : 0;
  return 1 << std::min(std::countr_zero(address | stride), 8);
}

Operand operand(const kernel::Gemm<float>& g, const float* data, long rows, long columns, long row, long column,
                long batch_stride) {
  const bool plain = column == 1 && (row >= columns || rows == 1);
  // Of a single row or column the stride says nothing, and may be less than cuBLASLt accepts.
  return {!plain, plain ? std::max(row, columns) : std::max(column, rows), batch_stride,
          alignment(data, batch_stride, g.batch)};
}

/// All that the choice of an algorithm depends on.
struct Problem {
  long m = 0, n = 0, k = 0, batch = 1;
  Operand a, b, c;
  bool bias = false, relu = false;
  Precision precision = Precision::fp32;
  auto operator<=>(const Problem&) const = default;
};

Problem problem_of(const Cuda& cuda, const kernel::Gemm<float>& g) {
  Problem p;
  p.m = g.m;
  p.n = g.n;
  p.k = g.k;
  p.batch = g.batch;
  p.a = operand(g, g.a, g.m, g.k, g.a_row, g.a_col, g.a_batch);
  p.b = operand(g, g.b, g.k, g.n, g.b_row, g.b_col, g.b_batch);
  p.c = operand(g, g.c, g.m, g.n, g.c_row, 1, g.c_batch);
  p.bias = g.bias != nullptr;
  p.relu = g.activation == kernel::Activation::relu;
  if (p.bias) p.c.aligned = std::min(p.c.aligned, alignment(g.bias, 0, 1));
  p.precision = cuda.precision;
  return p;
}

cublasComputeType_t compute_type(Precision precision) {
  switch (precision) {
    case Precision::tf32:
      return CUBLAS_COMPUTE_32F_FAST_TF32;
    case Precision::bf16:
      return CUBLAS_COMPUTE_32F_FAST_16BF;
    case Precision::fp32:
    case Precision::int8:
      break;
  }
  return CUBLAS_COMPUTE_32F_PEDANTIC;
}

cublasLtEpilogue_t epilogue(const Problem& p) {
  if (p.relu) return p.bias ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_RELU;
  return p.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

/// A product as cuBLASLt wants to be asked for it. The first factor there is b, the second a.
struct Plan {
  bool possible = false;
  cublasLtMatmulDescOpaque_t operation{};
  cublasLtMatrixLayoutOpaque_t b{}, a{}, c{};
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace = 0;
};

template <class T>
void set(cublasLtMatmulDescOpaque_t& operation, cublasLtMatmulDescAttributes_t which, const T& value) {
  check(cublasLtMatmulDescSetAttribute(&operation, which, &value, sizeof value), "a description of a product");
}
template <class T>
void set(cublasLtMatmulPreferenceOpaque_t& preference, cublasLtMatmulPreferenceAttributes_t which, const T& value) {
  check(cublasLtMatmulPreferenceSetAttribute(&preference, which, &value, sizeof value), "a preference for products");
}

/// rows × columns are those of the row-major matrix.
cublasLtMatrixLayoutOpaque_t layout(const Operand& x, long rows, long columns, long batch) {
  cublasLtMatrixLayoutOpaque_t made{};
  check(cublasLtMatrixLayoutInit(&made, CUDA_R_32F, static_cast<std::uint64_t>(x.turned ? rows : columns),
                                 static_cast<std::uint64_t>(x.turned ? columns : rows), x.lead),
        "a layout of a matrix");
  const auto count = static_cast<std::int32_t>(batch);
  const std::int64_t stride = x.batch;
  check(cublasLtMatrixLayoutSetAttribute(&made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
        "a layout of a matrix");
  check(cublasLtMatrixLayoutSetAttribute(&made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
        "a layout of a matrix");
  return made;
}

Plan plan(cublasLtHandle_t handle, const Problem& p, const float* bias) {
  Plan made;
  check(cublasLtMatmulDescInit(&made.operation, compute_type(p.precision), CUDA_R_32F), "a description of a product");
  const auto turn = [](const Operand& x) { return x.turned ? CUBLAS_OP_T : CUBLAS_OP_N; };
  set(made.operation, CUBLASLT_MATMUL_DESC_TRANSA, turn(p.b));
  set(made.operation, CUBLASLT_MATMUL_DESC_TRANSB, turn(p.a));
  set(made.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue(p));
  if (p.bias) set(made.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);  // for its alignment
  made.b = layout(p.b, p.k, p.n, p.batch);
  made.a = layout(p.a, p.m, p.k, p.batch);
  made.c = layout(p.c, p.m, p.n, p.batch);

  cublasLtMatmulPreferenceOpaque_t preference{};
  check(cublasLtMatmulPreferenceInit(&preference), "a preference for products");
  set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, most_workspace);
  // Parts of a sum are added in one order, by a kernel of their own, and in single precision: two calls, the same bits.
  set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(p.b.aligned));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(p.a.aligned));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(p.c.aligned));
  set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(p.c.aligned));

  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(handle, &made.operation, &made.b, &made.a, &made.c,
                                                               &made.c, &preference, 1, &best, &found);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED) return made;
  check(status, "the choice of an algorithm for a product");
  if (found == 0 || best.state != CUBLAS_STATUS_SUCCESS) return made;
  made.possible = true;
  made.algorithm = best.algo;
  made.workspace = best.workspaceSize;
  return made;
}

/// One for each host thread and device: making one is slow, and so is the choice of an algorithm.
struct Library {
  cublasLtHandle_t handle = nullptr;
  Recent<Problem, Plan> plans{remembered};

  Library() { check(cublasLtCreate(&handle), "cublasLtCreate"); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() { cublasLtDestroy(handle); }
};

Library& library() {
  thread_local std::map<int, Library> libraries;
  return libraries[current_device()];
}

std::string text(const Cuda& cuda, const kernel::Gemm<float>& g) {
  return concat("a matrix product (", g.batch, ", ", g.m, ", ", g.k, ") (", g.batch, ", ", g.k, ", ", g.n, ") in ",
                name_of(cuda.precision));
}

}  // namespace

bool matrix_product(const Cuda& cuda, const kernel::Gemm<float>& g) {
  check_captured(cuda, "a matrix product");
  Library& lt = library();
  const Problem problem = problem_of(cuda, g);
  Plan& chosen = lt.plans.get(problem, [&] { return plan(lt.handle, problem, g.bias); });
  if (!chosen.possible) return false;
  if (g.bias) set(chosen.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, g.bias);
  // Of the stream, so that neither another stream nor a graph that is repeated can be using it.
  const Scratch<char> workspace(cuda, static_cast<long>(chosen.workspace));
  const float alpha = 1, beta = g.add ? 1.f : 0.f;
  const cublasStatus_t status =
      cublasLtMatmul(lt.handle, &chosen.operation, &alpha, g.b, &chosen.b, g.a, &chosen.a, &beta, g.c, &chosen.c, g.c,
                     &chosen.c, &chosen.algorithm, workspace.data(), chosen.workspace, stream_of(cuda));
  if (status != CUBLAS_STATUS_SUCCESS) check(status, text(cuda, g).c_str());
  return true;
}

}  // namespace phonaut::cuda
