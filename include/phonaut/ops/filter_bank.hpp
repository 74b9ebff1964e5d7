#pragma once
// Filters that are not trained, over a waveform: what resampling, constant-Q transforms and cochleagrams stand on.
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/core/waveform.hpp"
#include "phonaut/ops/conv1d.hpp"
#include "phonaut/ops/mask_samples.hpp"

namespace phonaut {

/// `filters` rows of as many taps each, in memory that belongs to no context: (filters, taps, 1). Throws ShapeError if
/// the values do not fill whole rows.
template <class B>
Tensor<B, 3> make_filter_bank(Context<B>& ctx, long filters, const std::vector<double>& values) {
  using S = typename B::Scalar;
  const long taps = filters > 0 ? static_cast<long>(values.size()) / filters : 0;
  auto bank = Tensor<B, 3>::persistent(Shape<3>{filters, taps, 1});
  std::vector<S> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), [](double v) { return static_cast<S>(v); });
  assign(ctx.backend(), bank, rounded);
  return bank;
}

/// Each utterance of x correlated with every filter: (N, samples) -> (N, grid.frames_out(samples), filters). Around an
/// utterance there are zeros; frames behind its end are zero. Throws ShapeError or ConfigError for parts that do not
/// fit.
template <class B>
Sequence<B> filter_bank(const Waveform<B>& x, const Tensor<B, 3>& filters, const ConvGrid& grid) {
  check_lengths("filter_bank", x);
  const FullPrecision full(x.context());
  return mask_frames(conv1d<B>(as_column(x), x.context().constant(filters), {}, grid));
}

}  // namespace phonaut
