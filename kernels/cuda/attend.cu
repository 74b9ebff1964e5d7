#include "phonaut/ops/attend.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

void clear_unused_heads(const Cuda& cuda, View<float, 4> weights, long heads) {
  const long unused = (weights.shape[1] - heads) * weights.stride[1];
  cuda::for_each_at(cuda, "attend", weights.shape[0], unused, [=] __device__(long n, long i) {
    weights.data[n * weights.stride[0] + heads * weights.stride[1] + i] = 0;
  });
}

}  // namespace phonaut::kernel
