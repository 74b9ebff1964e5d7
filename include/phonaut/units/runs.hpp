#pragma once
// Units that last: each once, with its duration.
#include <span>
#include <vector>

namespace phonaut {

/// Units without repetitions, and how many frames each lasts.
struct UnitRuns {
  std::vector<long> units, durations;
};

/// Joins equal neighbours: 3 3 3 1 2 2 -> 3 1 2, lasting 3 1 2.
UnitRuns joined_runs(std::span<const long> units);
/// The opposite: every unit as often as it lasts. Throws ShapeError if there are not as many durations as units, or one
/// of them is negative.
std::vector<long> spread_runs(const UnitRuns& runs);

}  // namespace phonaut
