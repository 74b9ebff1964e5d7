#include "phonaut/ops/reduce.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void row_sum(const Cuda& cuda, float a, View<const float, 2> x, float* y) {
  cuda::for_each_row(cuda, "row_sum", x.shape[0], x.shape[1], [=] __device__(const cuda::Team& team, long r) {
    double total = 0;
    for (long c = team.rank; c < x.shape[1]; c += team.size) total += static_cast<double>(x.row(r)[c]);
    total = team.sum(total);
    if (team.rank == 0) y[r] = static_cast<float>(static_cast<double>(a) * total);
  });
}
void row_spread(const Cuda& cuda, float a, const float* x, Sink<float, 2> y) {
  cuda::for_each_at(cuda, "row_spread", y.shape[0], y.shape[1],
                    [=] __device__(long r, long c) { cuda::put(y.row(r)[c], a * x[r], y.add); });
}

namespace {

/// The larger of two entries, and the first where both are equal.
struct Candidate {
  float value;
  int at;
};
struct Better {
  __device__ __forceinline__ Candidate operator()(Candidate a, Candidate b) const {
    if (a.value < b.value) return b;
    if (b.value < a.value) return a;
    return a.at < b.at ? a : b;
  }
};

}  // namespace

void row_max_forward(const Cuda& cuda, View<const float, 2> x, float* y, std::int32_t* at) {
  cuda::for_each_row(cuda, "row_max", x.shape[0], x.shape[1], [=] __device__(const cuda::Team& team, long r) {
    const float* from = x.row(r);
    Candidate best{from[0], 0};
    for (long c = team.rank; c < x.shape[1]; c += team.size)
      if (best.value < from[c]) best = {from[c], static_cast<int>(c)};
    best = team.reduce(best, Better{});
    if (team.rank == 0) {
      y[r] = best.value;
      at[r] = best.at;
    }
  });
}
void row_max_backward(const Cuda& cuda, const float* dy, const std::int32_t* at, Sink<float, 2> dx) {
  cuda::for_each_at(cuda, "row_max", dx.shape[0], dx.shape[1], [=] __device__(long r, long c) {
    if (c == at[r]) cuda::put(dx.row(r)[c], dy[r], dx.add);
    else if (!dx.add) dx.row(r)[c] = 0;
  });
}

}  // namespace phonaut::kernel
