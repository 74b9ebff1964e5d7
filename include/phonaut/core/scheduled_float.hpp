#pragma once
// Numbers that change while a model is trained: rates of dropout, limits, probabilities.
#include <array>
#include <cstddef>
#include <initializer_list>

#include "phonaut/core/error.hpp"

namespace phonaut {

/// A number that follows straight lines between points (batch, value), and keeps its first and last value outside of
/// them. Outside of training it has a value of its own. A plain number turns into one that never changes.
///
///   ScheduledFloat dropout{{0, 0.3}, {20000, 0.1}};   // 0.3 -> 0.1 over 20000 batches; 0 when not training
class ScheduledFloat {
 public:
  struct Point {
    double batch = 0, value = 0;
  };

  constexpr ScheduledFloat(double value)  // NOLINT(google-explicit-constructor): a number is the simplest schedule
      : points_{Point{0, value}}, count_(1), at_rest_(value) {}
  /// Throws ConfigError for no points, more than four, or batches that do not rise.
  constexpr ScheduledFloat(std::initializer_list<Point> points, double at_rest = 0) : at_rest_(at_rest) {
    if (points.size() == 0 || points.size() > points_.size())
      throw ConfigError(concat("schedule: 1 to ", points_.size(), " points are needed, got ", points.size()));
    for (const Point& point : points) {
      if (count_ > 0 && !(points_[count_ - 1].batch < point.batch))
        throw ConfigError(
            concat("schedule: the point at batch ", point.batch, " is not behind that at ", points_[count_ - 1].batch));
      points_[count_++] = point;
    }
  }

  /// The value in training, after so many batches.
  constexpr double at(double batch) const {
    if (batch <= points_[0].batch) return points_[0].value;
    for (std::size_t i = 1; i < count_; ++i)
      if (batch < points_[i].batch) {
        const Point &a = points_[i - 1], &b = points_[i];
        return a.value + (b.value - a.value) * (batch - a.batch) / (b.batch - a.batch);
      }
    return points_[count_ - 1].value;
  }
  /// The value outside of training.
  constexpr double at_rest() const { return at_rest_; }

 private:
  std::array<Point, 4> points_{};
  std::size_t count_ = 0;
  double at_rest_ = 0;
};

}  // namespace phonaut
