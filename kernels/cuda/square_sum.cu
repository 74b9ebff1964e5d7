#include "phonaut/training/formula/square_sum.hpp"

#include "reduce.cuh"

namespace phonaut::kernel {

void square_sums(const Cuda& cuda, View<const Stretch<float>, 1> stretches, double* totals) {
  const cuda::Brought<Stretch<float>> brought(cuda, stretches.data, stretches.size());
  const Stretch<float>* all = brought.data();
  // A warp to each, whatever its length: lane i adds up elements i mod 32, and the exchange folds in halves, which is
  // the order that the header promises.
  cuda::for_each_row(cuda, "a sum of squares", stretches.size(), 0, [=] __device__(const cuda::Team& team, long k) {
    double total = 0;
    for (long i = team.rank; i < all[k].n; i += team.size) {
      const auto x = static_cast<double>(all[k].data[i]);
      total += x * x;
    }
    total = team.sum(total);
    if (team.rank == 0) totals[k] = total;
  });
}

}  // namespace phonaut::kernel
