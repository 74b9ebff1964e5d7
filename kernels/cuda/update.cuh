#pragma once
// One optimiser step: a launch per parameter, by the formula that the CPU kernels use.
#include "phonaut/training/formula/update.hpp"

#include "cuda.cuh"

namespace phonaut::cuda {

template <class Rule>
void update(const Cuda& cuda, View<const kernel::Piece<Rule>, 1> pieces) {
  for (long k = 0; k < pieces.size(); ++k) {
    const kernel::Piece<Rule> piece = pieces.data[k];
    for_each(cuda, piece.n, [=] __device__(long i) {
      float state[Rule::states > 0 ? Rule::states : 1] = {};
      for (int j = 0; j < Rule::states; ++j) state[j] = piece.state[j][i];
      float value = piece.value[i];
      piece.rule(value, piece.gradient[i], state);
      piece.value[i] = value;
      for (int j = 0; j < Rule::states; ++j) piece.state[j][i] = state[j];
    });
  }
}

}  // namespace phonaut::cuda

#define PHONAUT_UPDATE(Rule)                                                       \
  namespace phonaut::kernel {                                                      \
  void update_pieces(const Cuda& cuda, View<const Piece<Rule<float>>, 1> pieces) { \
    ::phonaut::cuda::update(cuda, pieces);                                         \
  }                                                                                \
  }
