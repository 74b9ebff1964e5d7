#pragma once
// Two sequences of different speed laid over each other. H. Sakoe and S. Chiba, "Dynamic programming algorithm
// optimization for spoken word recognition", 1978.
#include <span>

namespace phonaut {

/// The least mean cost of a path through costs (rows, columns) that aligns both from begin to end, moving on by a frame
/// in one of them or in both: the sum along the cheapest path divided by its steps. Throws ShapeError for a matrix
/// without elements or of another size.
double aligned_distance(std::span<const double> costs, long rows, long columns);

}  // namespace phonaut
