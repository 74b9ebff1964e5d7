#pragma once
// What the handlers of quantizers share: plain tensors, codes in the order of files, ties that float may break.
#include <string>
#include <vector>

#include "golden.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut::golden {

template <class B, size_t R>
Tensor<B, R> tensor(Golden<B>& g, const std::string& key) {
  Shape<R> shape{};
  const std::vector<long> in_file = g.shape(key);
  if (in_file.size() != R) throw ShapeError(concat(key, " has rank ", in_file.size(), ", not ", R));
  std::copy(in_file.begin(), in_file.end(), shape.begin());
  return input(g.context(), shape, g.values(key)).tensor();
}
template <class B, size_t R>
std::vector<double> numbers(Context<B>& ctx, const Tensor<B, R>& t) {
  const auto values = values_of(ctx, t);
  return {values.begin(), values.end()};
}
template <class B>
std::vector<long> numbers(Context<B>& ctx, const Tensor<B, 1, std::int32_t>& t) {
  const auto values = host_codes(ctx, t);
  return {values.begin(), values.end()};
}

/// Compares indices where the file's margin between the nearest and the next entry is wide enough for float, and the
/// margin itself, which is informative, to 1e-4. `margin` empty: no margin in the file.
template <class B>
void output_indices(Golden<B>& g, const std::string& name, std::vector<long> got, const std::string& margin) {
  if (g.has("output." + margin)) {
    const auto gap = g.values("output." + margin);
    const auto want = g.integers("output." + name);
    for (size_t i = 0; i < got.size() && i < gap.size(); ++i)
      if (gap[i] <= 1e-5) got[i] = want[i];
    g.excuse("output." + margin, "says how close the runner-up was");
  }
  g.output(name, got);
}

/// Codes (N, T, Q) in the order (Q, N, T).
template <class B>
std::vector<long> level_by_level(Context<B>& ctx, const Codes<B>& codes) {
  std::vector<long> out;
  const auto host = host_codes(ctx, codes);
  for (long q = 0; q < codes.extent(2); ++q)
    for (long i = 0; i < codes.extent(0) * codes.extent(1); ++i)
      out.push_back(host[static_cast<size_t>(i * codes.extent(2) + q)]);
  return out;
}

}  // namespace phonaut::golden
