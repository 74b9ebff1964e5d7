#include "phonaut/losses/contrastive.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

void count_around(const Cuda& cuda, long first, long period, View<std::int32_t, 1> to) {
  cuda::for_each(cuda, "count_around", to.size(),
                 [=] __device__(long i) { to.data[i] = static_cast<std::int32_t>((first + i) % period); });
}
void cpc_choice(const Cuda& cuda, View<const std::int32_t, 2> negatives, long time, long window, long ahead,
                View<std::int32_t, 2> choice) {
  cuda::for_each_at(cuda, "cpc_choice", choice.shape[0], choice.shape[1], [=] __device__(long i, long k) {
    choice.row(i)[k] =
        k > 0 ? negatives.row(i)[k - 1] : static_cast<std::int32_t>(i / window * time + i % window + ahead);
  });
}

}  // namespace phonaut::kernel
