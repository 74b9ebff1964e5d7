#pragma once
#include <vector>

#include "phonaut/core/backend.hpp"

namespace phonaut::testing {

/// The instruction sets to test: all that run here; those up to PHONAUT_ISA, where it is set, so that a run under an
/// emulated processor stays within it.
inline std::vector<Isa> isas() {
  std::vector<Isa> all;
  const Isa best = best_isa();
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (can_run(isa) && isa <= best) all.push_back(isa);
  return all;
}

/// The units for bf16 to test on an instruction set: all that run here.
inline std::vector<Bf16Unit> bf16_units(Isa isa) {
  std::vector<Bf16Unit> all;
  for (Bf16Unit unit : {Bf16Unit::none, Bf16Unit::avx512, Bf16Unit::amx})
    if (unit == Bf16Unit::none || (isa == Isa::avx512 && can_run(unit))) all.push_back(unit);
  return all;
}

}  // namespace phonaut::testing
