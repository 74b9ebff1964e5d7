#include "phonaut/metrics/time_alignment.hpp"

#include <limits>
#include <utility>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut {

double aligned_distance(std::span<const double> costs, long rows, long columns) {
  if (rows < 1 || columns < 1 || static_cast<long>(costs.size()) != rows * columns)
    throw ShapeError(concat("aligned_distance: ", costs.size(), " costs are no matrix of ", rows, " x ", columns));
  struct Path {
    double cost = std::numeric_limits<double>::infinity();
    long steps = 0;
  };
  // Of equally cheap ways the diagonal is taken, then the one that moves on in the rows.
  std::vector<Path> before(static_cast<size_t>(columns)), now(static_cast<size_t>(columns));
  for (long i = 0; i < rows; ++i) {
    for (long j = 0; j < columns; ++j) {
      const auto at = static_cast<size_t>(j);
      Path best;
      if (i == 0 && j == 0) best = {0, 0};
      if (i > 0 && j > 0) best = before[at - 1];
      if (i > 0 && before[at].cost < best.cost) best = before[at];
      if (j > 0 && now[at - 1].cost < best.cost) best = now[at - 1];
      now[at] = {best.cost + costs[static_cast<size_t>(i * columns + j)], best.steps + 1};
    }
    std::swap(before, now);
  }
  return before.back().cost / static_cast<double>(before.back().steps);
}

}  // namespace phonaut
