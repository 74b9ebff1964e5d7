#include "phonaut/ops/dropout.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/random_normal.hpp"

namespace phonaut::kernel {

void dropout(const Cuda& cuda, Draws draws, float rate, View<const float, 1> x, float scale, float* y, bool add) {
  const long n = x.size();
  const float* from = x.data;
  // A thread to each block of four draws.
  cuda::for_each(cuda, "dropout", (n + 3) / 4, [=] __device__(long block) {
    const Draws::Block words = draws.block(static_cast<unsigned long long>(block));
    for (long i = 4 * block; i < n && i < 4 * block + 4; ++i) {
      const float u = static_cast<float>(words.word[i % 4] >> 8) * 0x1p-24f;  // as Draws::uniform
      cuda::put(y[i], u < rate ? 0.f : from[i] * scale, add);
    }
  });
}
void random_normal(const Cuda& cuda, Draws draws, long n, float* y) {
  cuda::for_each(cuda, "random_normal", n, [=] __device__(long i) { y[i] = static_cast<float>(draws.normal(i)); });
}

}  // namespace phonaut::kernel
