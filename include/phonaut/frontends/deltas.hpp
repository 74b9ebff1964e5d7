#pragma once
// Slopes of features over time, as features.
#include "phonaut/ops/time_filter.hpp"

namespace phonaut {

/// Taps of the regression d_t = Σ_j j (c_{t+j} - c_{t-j}) / (2 Σ_j j²), j = 1 … reach.
inline std::vector<double> delta_taps(long reach) {
  if (reach < 1) throw ConfigError(concat("deltas: the window must reach over at least 1 frame, got ", reach));
  double norm = 0;
  for (long j = 1; j <= reach; ++j) norm += 2.0 * static_cast<double>(j * j);
  std::vector<double> taps;
  for (long j = -reach; j <= reach; ++j) taps.push_back(static_cast<double>(j) / norm);
  return taps;
}

/// The regression slope of each channel (torchaudio's compute_deltas, HTK). Frames beyond the ends repeat the edge.
template <class B>
Sequence<B> deltas(const Sequence<B>& x, long reach = 2) {
  return time_filter(x, delta_taps(reach));
}

/// Kaldi's add-deltas: x and its slopes up to `order` side by side, (N, T, (order + 1) C). Each order is one filter
/// over x, the one before it convolved with the regression; near the ends this differs from taking slopes of slopes.
template <class B>
Sequence<B> add_deltas(const Sequence<B>& x, long order = 2, long reach = 2) {
  const std::vector<double> slope = delta_taps(reach);
  std::vector<double> taps{1.0};
  std::vector<Var<B, 3>> parts{x.frames};
  for (long i = 0; i < order; ++i) {
    std::vector<double> next(taps.size() + slope.size() - 1, 0.0);
    for (size_t a = 0; a < taps.size(); ++a)
      for (size_t b = 0; b < slope.size(); ++b) next[a + b] += taps[a] * slope[b];
    taps = std::move(next);
    parts.push_back(time_filter(x, taps).frames);
  }
  return x.with(concatenate(parts, 2));
}

}  // namespace phonaut
