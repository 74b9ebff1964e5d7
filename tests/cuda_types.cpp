// The backend abstraction is honest: the same op and layer code instantiates, links and (where a GPU is) runs on Cuda.
#include "catch.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/formula/activation.hpp"
#include "phonaut/ops/formula/swoosh.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/testing/gradient_check.hpp"
#include "phonaut/training/gradient_reducer.hpp"

using namespace phonaut;

static_assert(std::is_same_v<Tensor<Cuda, 2>::Memory, CudaMemory>);
static_assert(!std::is_base_of_v<Reference, Cuda>, "a missing CUDA kernel must not fall back to host code");
static_assert(
    std::is_same_v<decltype(linear(std::declval<Var<Cuda, 3>>(), std::declval<Param<Cuda, 2>>())), Var<Cuda, 3>>);
static_assert(std::is_same_v<decltype(sum(std::declval<Var<Cuda, 2>>())), Var<Cuda, 0>>);

#ifdef PHONAUT_HAS_CUDA
template class phonaut::GradientReducer<Cuda>;  // sums over ranks compile for a GPU, with NCCL and without

TEST_CASE("the same code runs on Cuda, or says why not", "[cuda]") {
  using phonaut::testing::compare;
  using phonaut::testing::normal;
  Context<Cuda> ctx;
  if (!cuda_available()) {
    CHECK_THROWS_AS(ctx.zeros(Shape<1>{4}), Error);
    WARN("no GPU here: the CUDA kernels were compiled and linked, not run");
    return;
  }
  const auto x = normal(Shape<3>{2, 5, 7}, 1), z = normal(Shape<3>{2, 5, 7}, 2);
  const auto w = normal(Shape<2>{3, 7}, 3);
  const auto b = normal(Shape<1>{3}, 4);
  // A few float roundings; sums of seven products.
  const auto close = [](const phonaut::testing::Comparison& c) { return c.value < 1e-6 && c.worst_gradient() < 4e-6; };
  CHECK(close(compare(
      Cuda{}, [](const auto& p, const auto& q) { return p * q - 2 * p; }, std::tuple{x, z})));
  CHECK(close(compare(
      Cuda{}, [](const auto& p, const auto& q, const auto& r) { return linear(p, q, r); }, std::tuple{x, w, b})));
  CHECK(close(compare(
      Cuda{},
      [](const auto& p) {
        return permute(slice(p, 1, 1, 4), {2, 0, 1});
      },
      std::tuple{x})));
  CHECK(close(compare(
      Cuda{}, [](const auto& p) { return mean(pad(p, 1, 1, 2)); }, std::tuple{x})));
}
#endif
