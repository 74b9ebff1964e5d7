#pragma once
// How elementwise optimisers meet the kernels: a rule for one element, and a list of the stretches to apply it to.
// Light on purpose: the per-instruction-set kernel files include it.
#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

namespace phonaut {
namespace kernel {

/// A stretch of one parameter with what belongs to it. A rule is a struct with `states`, the number of tensors that it
/// keeps beside each parameter, and a call (value, gradient, states) that is a template over the number type.
template <class Rule>
struct Piece {
  using S = typename Rule::Scalar;
  S* value = nullptr;
  const S* gradient = nullptr;
  S* state[Rule::states > 0 ? Rule::states : 1] = {};
  long n = 0;
  Rule rule;
};

/// Elements per piece: large against the cost of handing one to a thread, small enough that a few large parameters
/// still spread over all threads.
constexpr long elements_per_piece = 1 << 16;

/// Applies each piece's rule to its elements, in one pass over memory. The pieces lie on the host on every backend.
template <class Rule>
void update_pieces(const Reference&, View<const Piece<Rule>, 1> pieces) {
  using S = typename Rule::Scalar;
  for (long k = 0; k < pieces.size(); ++k) {
    const Piece<Rule>& piece = pieces.data[k];
    for (long i = 0; i < piece.n; ++i) {
      S state[Rule::states > 0 ? Rule::states : 1] = {};
      for (int j = 0; j < Rule::states; ++j) state[j] = piece.state[j][i];
      piece.rule(piece.value[i], piece.gradient[i], state);
      for (int j = 0; j < Rule::states; ++j) piece.state[j][i] = state[j];
    }
  }
}

}  // namespace kernel
}  // namespace phonaut

/// Behind a rule template, inside namespace phonaut::kernel: it has kernels of its own on Cpu and Cuda.
#define PHONAUT_UPDATE_KERNELS(Rule)                                            \
  void update_pieces(const Cpu& cpu, View<const Piece<Rule<float>>, 1> pieces); \
  void update_pieces(const Cuda& cuda, View<const Piece<Rule<float>>, 1> pieces);
