#pragma once
// A table of relative positions that is finest near zero and has a bound. Yao et al., "Zipformer", 2023
// (CompactRelPositionalEncoding).
#include <cmath>

#include "phonaut/core/context.hpp"

namespace phonaut {

namespace kernel {

/// Row j belongs to the offset o = key position - query position = j - zero. The offset is compressed by a logarithm,
/// z = √C sign(o) ln(1 + |o| / √C), turned into an angle a = atan(2π z / C) in (-π/2, π/2), and
/// y[j, 2k] = cos((k + 1) a), y[j, 2k + 1] = sin((k + 1) a); the last channel is 1.
/// Computed in double, whatever the number type: the angles of distant offsets differ little.
template <class S>
void compact_positions(const Reference&, long zero, View<S, 2> y) {
  const long width = y.shape[1];
  const double root = std::sqrt(static_cast<double>(width));
  const double per_turn = 6.283185307179586476925 / static_cast<double>(width);
  for (long j = 0; j < y.shape[0]; ++j) {
    const double offset = static_cast<double>(j - zero);
    const double z = std::copysign(root * std::log1p(std::fabs(offset) / root), offset);
    const double angle = std::atan(per_turn * z), cosine = std::cos(angle), sine = std::sin(angle);
    // Harmonics by rotation: its error grows with their number, a few dozen, in units of 1e-16.
    double c = cosine, s = sine;
    for (long k = 0; k + 1 < width; k += 2) {
      y(j, k) = S(c);
      y(j, k + 1) = S(s);
      const double next = c * cosine - s * sine;
      s = s * cosine + c * sine;
      c = next;
    }
    if (width > 0) y(j, width - 1) = S(1.0);
  }
}

void compact_positions(const Cuda& cuda, long zero, View<float, 2> y);

}  // namespace kernel

/// Positions of `time` frames that look at themselves and at `left` frames before them: (2·time - 1 + left, width).
/// The row of offset o = key position - query position is o + time - 1 + left. Throws ConfigError for an odd width.
template <class B>
Var<B, 2> compact_positions(Context<B>& ctx, long time, long left, long width) {
  if (width < 2 || width % 2 != 0)
    throw ConfigError(concat("compact_positions: the width must be even and positive, got ", width));
  auto y = ctx.empty(Shape<2>{time > 0 ? 2 * time - 1 + left : 0, width});
  if (y.size() > 0) kernel::compact_positions(ctx.backend(), time - 1 + left, y.out());
  return ctx.constant(std::move(y));
}

}  // namespace phonaut
