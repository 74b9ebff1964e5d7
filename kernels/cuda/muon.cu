#include "phonaut/training/muon.hpp"

#include "cuda.cuh"

namespace phonaut::kernel {

void inverse_norm(const Cuda& cuda, const double* square, double least, float* y) {
  cuda::for_each(cuda, "inverse_norm", 1, [=] __device__(long) {
    const double norm = math::sqrt(*square);
    *y = static_cast<float>(1 / (norm > least ? norm : least));
  });
}

}  // namespace phonaut::kernel
