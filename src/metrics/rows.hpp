#pragma once
// What metrics over rows of numbers refuse.
#include <cmath>
#include <span>

#include "phonaut/core/error.hpp"

namespace phonaut::detail {

/// Throws ShapeError unless `values` are whole rows of `dim`, NumericalError if one of them is NaN or infinite: a
/// comparison with it would be false, and the metric a number that looks like any other.
inline void check_rows(const char* op, std::span<const float> values, long dim, const char* name) {
  if (dim < 1 || values.size() % static_cast<size_t>(dim) != 0)
    throw ShapeError(concat(op, ": ", values.size(), " numbers are no whole ", name, "s of ", dim));
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      throw NumericalError(concat(op, ": ", name, " ", i / static_cast<size_t>(dim), " has ", values[i], " at place ",
                                  i % static_cast<size_t>(dim)));
}

}  // namespace phonaut::detail
