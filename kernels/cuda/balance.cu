#include "phonaut/ops/balance.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

bool balance_coefficients(const Cuda& cuda, const double* mean, const double* variance, long count, long channels,
                          const BalanceOptions& on_host, float* offset, float* slope) {
  const BalanceOptions o = on_host;
  cuda::for_each(cuda, "balance", channels, [=] __device__(long c) {
    const BalanceTerms terms = balance_terms(mean[c], variance[c], count, o);
    offset[c] = static_cast<float>(terms.offset);
    slope[c] = static_cast<float>(terms.slope);
  });
  return true;
}
void balance_backward(const Cuda& cuda, View<const float, 2> dy, View<const float, 2> x, const float* offset,
                      const float* slope, Sink<float, 2> dx) {
  cuda::for_each_at(cuda, "balance", x.shape[0], x.shape[1], [=] __device__(long r, long c) {
    const float g = dy.row(r)[c];
    cuda::put(dx.row(r)[c], g + math::abs(g) * (offset[c] + slope[c] * x.row(r)[c]), dx.add);
  });
}

}  // namespace phonaut::kernel
