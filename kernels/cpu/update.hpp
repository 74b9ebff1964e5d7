#pragma once
// One optimiser step over many parameters: every piece of the list is one unit of work for a thread.
#include "phonaut/training/formula/update.hpp"

#include "elementwise.hpp"
#include "simd_math.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

template <class Rule>
PHONAUT_INLINE void run_piece(const Piece<Rule>& piece) {
  const Rule rule = piece.rule;
  const auto run = [&](long i, auto... n) PHONAUT_FORCE_INLINE {
    Vec state[Rule::states > 0 ? Rule::states : 1];
    for (int j = 0; j < Rule::states; ++j) state[j] = Vec::load(piece.state[j] + i, n...);
    Vec value = Vec::load(piece.value + i, n...);
    rule(value, Vec::load(piece.gradient + i, n...), state);
    value.store(piece.value + i, n...);
    for (int j = 0; j < Rule::states; ++j) state[j].store(piece.state[j] + i, n...);
  };
  long i = 0;
  for (; i + Vec::lanes <= piece.n; i += Vec::lanes) run(i);
  if (i < piece.n) run(i, piece.n - i);
}

}  // namespace phonaut::kernel::PHONAUT_ISA

#define PHONAUT_UPDATE(Rule)                                                              \
  namespace phonaut::kernel::PHONAUT_ISA {                                                \
  void update_pieces(const Cpu& cpu, View<const Piece<Rule<float>>, 1> pieces) {          \
    parallel_for(cpu.threads, pieces.size(), [&](long k) { run_piece(pieces.data[k]); }); \
  }                                                                                       \
  }

#else

/// The Cpu kernel of a rule whose header says PHONAUT_UPDATE_KERNELS(Rule).
#define PHONAUT_UPDATE(Rule) \
  PHONAUT_DISPATCH(update_pieces, (const Cpu& cpu, View<const Piece<Rule<float>>, 1> pieces), (cpu, pieces))

#endif
