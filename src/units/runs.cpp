#include "phonaut/units/runs.hpp"

#include "phonaut/core/error.hpp"

namespace phonaut {

UnitRuns joined_runs(std::span<const long> units) {
  UnitRuns runs;
  for (const long unit : units) {
    if (runs.units.empty() || runs.units.back() != unit) {
      runs.units.push_back(unit);
      runs.durations.push_back(0);
    }
    ++runs.durations.back();
  }
  return runs;
}

std::vector<long> spread_runs(const UnitRuns& runs) {
  if (runs.units.size() != runs.durations.size())
    throw ShapeError(
        concat("spread_runs: there are ", runs.units.size(), " units, but ", runs.durations.size(), " durations"));
  std::vector<long> units;
  for (size_t i = 0; i < runs.units.size(); ++i) {
    if (runs.durations[i] < 0)
      throw ShapeError(concat("spread_runs: unit ", i, " lasts ", runs.durations[i], " frames"));
    units.insert(units.end(), static_cast<size_t>(runs.durations[i]), runs.units[i]);
  }
  return units;
}

}  // namespace phonaut
