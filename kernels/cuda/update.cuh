#pragma once
// One optimiser step over all parameters: a launch, by the formula that the CPU kernels use.
#include "cuda.cuh"
#include "phonaut/training/formula/update.hpp"

namespace phonaut::cuda {

template <class Rule>
__global__ void update_kernel(long count, const kernel::Piece<Rule>* pieces) {
  constexpr int states = Rule::states > 0 ? Rule::states : 1;
  for (long k = blockIdx.x; k < count; k += gridDim.x) {
    const kernel::Piece<Rule> piece = pieces[k];
    for (long i = threadIdx.x; i < piece.n; i += blockDim.x) {
      float state[states] = {};
      for (int j = 0; j < Rule::states; ++j) state[j] = piece.state[j][i];
      float value = piece.value[i];
      piece.rule(value, piece.gradient[i], state);
      piece.value[i] = value;
      for (int j = 0; j < Rule::states; ++j) piece.state[j][i] = state[j];
    }
  }
}

template <class Rule>
void update(const Cuda& cuda, View<const kernel::Piece<Rule>, 1> pieces) {
  if (pieces.size() == 0) return;
  refuse_in_capture("an optimiser's step takes its rate from the host, and every launch would repeat that one");
  const Brought<kernel::Piece<Rule>> brought(cuda, pieces.data, pieces.size());
  launch(cuda, "a step of an optimiser", Grid{std::min(pieces.size(), most_blocks), 512}, update_kernel<Rule>,
         pieces.size(), brought.data());
}

}  // namespace phonaut::cuda

#define PHONAUT_UPDATE(Rule)                                                       \
  namespace phonaut::kernel {                                                      \
  void update_pieces(const Cuda& cuda, View<const Piece<Rule<float>>, 1> pieces) { \
    ::phonaut::cuda::update(cuda, pieces);                                         \
  }                                                                                \
  }
