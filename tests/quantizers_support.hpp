#pragma once
// What the tests of quantizers share: batches whose padding is NaN, the state of a quantizer, and what must hold for
// all.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/quantizers/codes.hpp"
#include "phonaut/testing/gradient_check.hpp"

namespace phonaut::testing {

template <class B>
Sequence<B> frames(Context<B>& ctx, const Shape<3>& shape, std::uint64_t seed, const std::vector<long>& lengths = {}) {
  auto values = normal(shape, seed).data;
  if (!lengths.empty())
    for (long n = 0; n < shape[0]; ++n)
      for (long i = lengths[static_cast<size_t>(n)] * shape[2]; i < shape[1] * shape[2]; ++i)
        values[static_cast<size_t>(n * shape[1] * shape[2] + i)] = std::numeric_limits<double>::quiet_NaN();
  Sequence<B> x{ctx.variable(input(ctx, shape, values).tensor()), {}, 50};
  if (!lengths.empty()) x.lengths = lengths_of(ctx, lengths);
  return x;
}

template <class B, class Quantizer>
std::map<std::string, std::vector<double>> state_of(Context<B>& ctx, const Quantizer& q) {
  std::map<std::string, std::vector<double>> state;
  for_each_weight(q, [&](const std::string& name, const auto& w) {
    if constexpr (std::is_same_v<std::remove_cvref_t<decltype(*w.tensor().data())>, typename B::Scalar>) {
      const auto values = values_of(ctx, w.tensor());
      state[name] = {values.begin(), values.end()};
    }
  });
  return state;
}

/// What must hold for all of them. `settled`: quantizing a quantized frame changes nothing (scalar quantizers bound
/// their input first, so that theirs moves).
template <class Quantizer>
void check_laws(Context<Cpu>& ctx, const Quantizer& quantizer, long channels, bool settled) {
  const std::vector<long> lengths{5, 0, 3};
  const auto x = frames(ctx, {3, 5, channels}, 4, lengths);
  const auto y = quantizer(x);
  const auto codes = host_codes(ctx, y.codes), encoded = host_codes(ctx, quantizer.encode(x));
  CHECK(codes == encoded);
  const long levels = y.codes.extent(2), width = y.quantized.channels();
  const auto values = values_of(y.quantized.frames);
  for (long n = 0; n < 3; ++n)
    for (long t = 0; t < 5; ++t) {
      const bool real = t < lengths[static_cast<size_t>(n)];
      for (long q = 0; q < levels; ++q) CHECK((codes[static_cast<size_t>((n * 5 + t) * levels + q)] >= 0) == real);
      if (!real)
        for (long c = 0; c < width; ++c) CHECK(values[static_cast<size_t>((n * 5 + t) * width + c)] == 0);
    }
  // What the call returns is what the decoder makes of the codes, to the last bit.
  CHECK(values_of(quantizer.decode(ctx, y.codes)) == values);
  if (settled) CHECK(host_codes(ctx, quantizer.encode(x.with(quantizer.decode(ctx, y.codes)))) == codes);
  // An utterance alone has the codes it has in the batch.
  for (const long n : {0L, 2L}) {
    const long length = lengths[static_cast<size_t>(n)];
    const auto alone = slice(slice(x.frames, 0, n, n + 1), 1, 0, length);
    const auto own = host_codes(ctx, quantizer.encode(Sequence<Cpu>{packed(alone), {}, 50}));
    CHECK(own == std::vector<std::int32_t>(codes.begin() + n * 5 * levels, codes.begin() + (n * 5 + length) * levels));
  }
  CHECK_THROWS_AS(quantizer(frames(ctx, {1, 2, channels + 1}, 1)), ShapeError);
  auto wrong = ctx.empty_of<std::int32_t, 3>({1, 1, levels});
  std::fill_n(wrong.data(), levels, 1 << 20);
  CHECK_THROWS_AS(quantizer.decode(ctx, wrong), ShapeError);
  std::fill_n(wrong.data(), levels, -2);
  CHECK_THROWS_AS(quantizer.decode(ctx, wrong), ShapeError);
}

}  // namespace phonaut::testing
