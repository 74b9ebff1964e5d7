#include "phonaut/training/formula/product_sum.hpp"

#include "reduce.cuh"

namespace phonaut::kernel {

void product_sums(const Cuda& cuda, View<const StretchPair<float>, 1> pairs, ProductSums* totals) {
  const cuda::Brought<StretchPair<float>> brought(cuda, pairs.data, pairs.size());
  const StretchPair<float>* all = brought.data();
  // In the order of `square_sums`.
  cuda::for_each_row(cuda, "a sum of products", pairs.size(), 0, [=] __device__(const cuda::Team& team, long k) {
    cuda::Sums<3> sums{};
    for (long i = team.rank; i < all[k].n; i += team.size) {
      const auto x = static_cast<double>(all[k].x[i]), z = static_cast<double>(all[k].z[i]);
      sums = sums + cuda::Sums<3>{{x * x, x * z, z * z}};
    }
    sums = team.sum(sums);
    if (team.rank == 0) totals[k] = {sums.of[0], sums.of[1], sums.of[2]};
  });
}

}  // namespace phonaut::kernel
