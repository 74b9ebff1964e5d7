#pragma once
// A signal through a fixed impulse response of any length.
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/ops/conv1d.hpp"
#include "phonaut/ops/mask_samples.hpp"

namespace phonaut {

/// The causal convolution y_t = Σ_i h_i x_{t-i}, as long as x: zeros stand in front of an utterance and behind its end.
/// A block of outputs is one row of a matrix product, so that long responses run at its speed. Gradient to x. Throws
/// ConfigError for an empty h.
template <class B>
Waveform<B> convolve(const Waveform<B>& x, const std::vector<double>& h) {
  if (h.empty()) throw ConfigError("convolve: the impulse response has no samples");
  check_lengths("convolve", x);
  constexpr long block = 32;
  const long taps = static_cast<long>(h.size()), width = taps + block - 1;
  // Row j holds the response backwards, so that it ends at sample j of the block.
  std::vector<double> rows(static_cast<size_t>(block * width));
  for (long j = 0; j < block; ++j)
    for (long i = 0; i < taps; ++i) rows[static_cast<size_t>(j * width + j + taps - 1 - i)] = h[static_cast<size_t>(i)];
  const auto weight = input(x.context(), Shape<3>{block, width, 1}, rows);
  const Var<B, 3> blocks = conv1d(as_column(x), weight, Weight<B, 1>{},
                                  {.taps = width, .stride = block, .before = taps - 1, .after = block - 1})
                               .frames;
  const Var<B, 2> row = reshape(blocks, Shape<2>{x.batch(), blocks.extent(1) * block});
  return mask_samples(x.with(slice(row, 1, 0, x.time())));
}

}  // namespace phonaut
