#pragma once
// Finite scalar quantization: each channel is bounded and rounded to a few levels, and their product is the codebook.
// F. Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", 2024.
#include <cmath>
#include <vector>

#include "phonaut/core/math.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

/// Two incompatible conventions, both common, and checkpoints state neither. Both agree on codes for odd levels up to
/// the width of the bounds.
enum class FsqBound {
  tan,   ///< half = (L - 1)(1 - ε)/2, shift = tan(offset / half): the original notebook, NeMo
  atanh  ///< half = (L - 1)(1 + ε)/2, shift = atanh(offset / half): vector-quantize-pytorch
};

/// Levels of each channel with the constants of its bound: b = tanh(z + shift) half - offset, and the code is
/// round(b) / ⌊L/2⌋. Plain data, passed to kernels by value.
struct FsqLevels {
  static constexpr long most_channels = 32;
  long channels = 0;
  long count[most_channels] = {};
  double half[most_channels] = {}, shift[most_channels] = {}, offset[most_channels] = {};

  FsqLevels() = default;
  /// Throws ConfigError for no or too many channels, a level below 2, or 2 levels with the atanh bound (whose shift
  /// would put z = 0 on the edge), or more than 2^31 codes.
  FsqLevels(const std::vector<long>& levels, FsqBound bound, double epsilon) {
    if (levels.empty() || static_cast<long>(levels.size()) > most_channels)
      throw ConfigError(concat("fsq: needs 1 … ", most_channels, " channels, got ", levels.size()));
    double codes = 1;
    for (const long n : levels) {
      if (n < 2) throw ConfigError(concat("fsq: every channel needs at least 2 levels, got ", n));
      if (n == 2 && bound == FsqBound::atanh)
        throw ConfigError("fsq: 2 levels put 0 on the edge of the atanh bound; use the tan bound or 3 levels");
      const long c = channels++;
      count[c] = n;
      offset[c] = n % 2 == 0 ? 0.5 : 0;
      half[c] = 0.5 * static_cast<double>(n - 1) * (bound == FsqBound::atanh ? 1 + epsilon : 1 - epsilon);
      shift[c] = bound == FsqBound::atanh ? std::atanh(offset[c] / half[c]) : std::tan(offset[c] / half[c]);
      codes *= static_cast<double>(n);
    }
    if (codes > 2147483647.0) throw ConfigError(concat("fsq: ", codes, " codes are more than an index can tell apart"));
  }
  /// Number of different codes.
  long codes() const {
    long n = 1;
    for (long c = 0; c < channels; ++c) n *= count[c];
    return n;
  }
  PHONAUT_HD long width(long c) const { return count[c] / 2; }
};

namespace kernel {

/// b = tanh(z + shift) half - offset.
template <class S>
void fsq_bound_forward(const Reference&, FsqLevels levels, View<const S, 2> z, View<S, 2> b) {
  using math::tanh;
  for (long r = 0; r < z.shape[0]; ++r)
    for (long c = 0; c < z.shape[1]; ++c)
      b.row(r)[c] = tanh(z.row(r)[c] + S(levels.shift[c])) * S(levels.half[c]) - S(levels.offset[c]);
}
/// dz = db half (1 - tanh²).
template <class S>
void fsq_bound_backward(const Reference&, FsqLevels levels, View<const S, 2> db, View<const S, 2> z, Sink<S, 2> dz) {
  using math::tanh;
  for (long r = 0; r < z.shape[0]; ++r)
    for (long c = 0; c < z.shape[1]; ++c) {
      const S t = tanh(z.row(r)[c] + S(levels.shift[c]));
      dz.put(r * z.shape[1] + c, db.row(r)[c] * S(levels.half[c]) * (S(1) - t * t));
    }
}
/// Digits round(b) + ⌊L/2⌋, half to even; value (digit - ⌊L/2⌋) / ⌊L/2⌋; index Σ digit_c Π_{e<c} L_e.
template <class S>
void fsq_round(const Reference&, FsqLevels levels, View<const S, 2> b, View<S, 2> value, std::int32_t* index) {
  for (long r = 0; r < b.shape[0]; ++r) {
    long code = 0, base = 1;
    for (long c = 0; c < levels.channels; ++c) {
      const long width = levels.width(c);
      const double rounded = std::nearbyint(static_cast<double>(b.row(r)[c]));
      long digit = rounded == rounded ? static_cast<long>(rounded) + width : 0;  // NaN becomes the lowest level
      digit = digit < 0 ? 0 : digit >= levels.count[c] ? levels.count[c] - 1 : digit;
      value.row(r)[c] = S(static_cast<double>(digit - width) / static_cast<double>(width));
      code += digit * base;
      base *= levels.count[c];
    }
    index[r] = static_cast<std::int32_t>(code);
  }
}
/// Values of indices; zero for a negative one.
template <class S>
void fsq_values(const Reference&, FsqLevels levels, const std::int32_t* index, View<S, 2> value) {
  for (long r = 0; r < value.shape[0]; ++r) {
    long rest = index[r];
    for (long c = 0; c < levels.channels; ++c) {
      const long width = levels.width(c);
      value.row(r)[c] =
          index[r] < 0 ? S(0) : S(static_cast<double>(rest % levels.count[c] - width) / static_cast<double>(width));
      rest /= levels.count[c];
    }
  }
}
/// dx[r, c] (=, +=) dy[r, c] / ⌊L_c / 2⌋.
template <class S>
void fsq_narrow(const Reference&, FsqLevels levels, View<const S, 2> dy, Sink<S, 2> dx) {
  for (long r = 0; r < dy.shape[0]; ++r)
    for (long c = 0; c < dy.shape[1]; ++c)
      dx.put(r * dy.shape[1] + c, dy.row(r)[c] / S(static_cast<double>(levels.width(c))));
}

}  // namespace kernel

/// The bounded channels of z (rows, channels), before rounding.
template <class B>
Var<B, 2> fsq_bound(const Var<B, 2>& any, const FsqLevels& levels) {
  check_channels("fsq", any.shape(), levels.channels, "the levels");
  const Var<B, 2> z = rowwise(any);
  auto& ctx = z.context();
  auto b = ctx.empty(z.shape());
  kernel::fsq_bound_forward(ctx.backend(), levels, z.in(), b.out());
  return record(
      std::move(b),
      [z, levels](Context<B>& c, const Tensor<B, 2>& db) {
        if (auto dz = c.sink(z)) kernel::fsq_bound_backward(c.backend(), levels, db.in(), z.in(), dz);
      },
      z);
}

/// Codes of bounded channels (rows, channels): values in [-1, 1] and their indices (rows). The gradient takes the
/// rounding for the identity.
template <class B>
std::pair<Var<B, 2>, Tensor<B, 1, std::int32_t>> fsq_round(const Var<B, 2>& any, const FsqLevels& levels) {
  check_channels("fsq", any.shape(), levels.channels, "the levels");
  const Var<B, 2> b = rowwise(any);
  auto& ctx = b.context();
  auto value = ctx.empty(b.shape());
  auto index = ctx.template empty_of<std::int32_t, 1>({b.extent(0)});
  kernel::fsq_round(ctx.backend(), levels, b.in(), value.out(), index.data());
  const Var<B, 2> y = record(
      std::move(value),
      [b, levels](Context<B>& c, const Tensor<B, 2>& dy) {
        if (auto db = c.sink(b)) kernel::fsq_narrow(c.backend(), levels, dy.in(), db);
      },
      b);
  return {y, index};
}

/// Finite scalar quantizer. Its channels may be split in groups with one index each (NanoCodec style).
template <class B>
struct FiniteScalarQuantizer {
  struct Config {
    std::vector<long> levels = {8, 5, 5, 5};  ///< of the channels of one group
    long groups = 1;
    FsqBound bound = FsqBound::atanh;
    double epsilon = 1e-3;
  } config;
  FsqLevels levels;

  FiniteScalarQuantizer() = default;
  FiniteScalarQuantizer(Context<B>&, Config config_)
      : config(std::move(config_)), levels(config.levels, config.bound, config.epsilon) {
    if (config.groups < 1) throw ConfigError(concat("fsq: needs at least one group, got ", config.groups));
  }

  long channels() const { return levels.channels * config.groups; }

  /// Quantizes x (N, T, channels). There is nothing to train and no loss. Throws ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const {
    const detail::RowsOf<B> frames = check(x);
    const auto [value, index] = fsq_round(fsq_bound(by_group(frames.rows), levels), levels);
    Quantized<B> out;
    out.quantized = frames.back(reshape(value, frames.rows.shape()));
    out.codes = codes_of(frames, index);
    return out;
  }
  /// Codes (N, T, groups) alone.
  Codes<B> encode(const Sequence<B>& x) const {
    const detail::RowsOf<B> frames = check(x.with(x.context().detach(x.frames)));
    return codes_of(frames, fsq_round(fsq_bound(by_group(frames.rows), levels), levels).second);
  }
  /// Frames (N, T, channels) of codes (N, T, groups); zero for `no_code`. Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    detail::check_codes("fsq", codes, config.groups, levels.codes());
    auto y = ctx.empty(Shape<3>{codes.extent(0), codes.extent(1), channels()});
    kernel::fsq_values(ctx.backend(), levels, static_cast<const std::int32_t*>(codes.data()),
                       View<typename B::Scalar, 2>(y.data(), {codes.size(), levels.channels}));
    return ctx.constant(std::move(y));
  }
  /// Bits for each frame.
  double bits() const { return static_cast<double>(config.groups) * std::log2(static_cast<double>(levels.codes())); }

  static void visit(auto&, auto&&) {}

 private:
  detail::RowsOf<B> check(const Sequence<B>& x) const {
    check_channels("fsq", x.frames.shape(), channels(), "the levels");
    return detail::RowsOf<B>(x);
  }
  Var<B, 2> by_group(const Var<B, 2>& rows) const {
    return reshape(rows, Shape<2>{rows.extent(0) * config.groups, levels.channels});
  }
  /// Indices (rows · groups) as codes (N, T, groups).
  Codes<B> codes_of(const detail::RowsOf<B>& frames, const Tensor<B, 1, std::int32_t>& index) const {
    const Codes<B> codes = frames.empty_codes(config.groups);
    frames.put_groups(index, codes);
    return codes;
  }
};

}  // namespace phonaut
