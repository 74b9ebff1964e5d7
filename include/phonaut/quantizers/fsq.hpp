#pragma once
// Finite scalar quantization: each channel is bounded and rounded to a few levels, and their product is the codebook.
// F. Mentzer et al., "Finite Scalar Quantization: VQ-VAE Made Simple", 2024.
#include <cmath>
#include <vector>

#include "phonaut/core/math.hpp"
#include "phonaut/ops/formula/fsq.hpp"
#include "phonaut/ops/shape.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

/// Two incompatible conventions, both common, and checkpoints state neither. Both agree on codes for odd levels up to
/// the width of the bounds.
enum class FsqBound {
  tan,   ///< half = (L - 1)(1 - ε)/2, shift = tan(offset / half): the original notebook, NeMo
  atanh  ///< half = (L - 1)(1 + ε)/2, shift = atanh(offset / half): vector-quantize-pytorch
};

/// The levels of a quantizer, checked.
struct FsqLevels : FsqGrid {
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
    find_edges();
  }
  /// Number of different codes.
  long codes() const {
    long n = 1;
    for (long c = 0; c < channels; ++c) n *= count[c];
    return n;
  }

 private:
  /// Level k begins at b = k - ⌊L/2⌋ - 1/2.
  void find_edges() {
    long at = 0;
    for (long c = 0; c < channels; ++c)
      for (long k = 1; k < count[c]; ++k) {
        if (at == most_edges) return;
        const double height = (static_cast<double>(k - width(c)) - 0.5 + offset[c]) / half[c];
        edge[at++] = static_cast<float>(std::atanh(std::fmax(-1, std::fmin(1, height))) - shift[c]);
      }
    has_edges = true;
  }
};

namespace kernel {

/// b = tanh(z + shift) half - offset.
template <class S>
void fsq_bound_forward(const Reference&, const FsqGrid& levels, View<const S, 2> z, View<S, 2> b) {
  using math::tanh;
  for (long r = 0; r < z.shape[0]; ++r)
    for (long c = 0; c < z.shape[1]; ++c)
      b.row(r)[c] = tanh(z.row(r)[c] + S(levels.shift[c])) * S(levels.half[c]) - S(levels.offset[c]);
}
/// dz = db half (1 - tanh²), divided by ⌊L/2⌋ where db is the gradient of `fsq_codes`.
template <class S>
void fsq_bound_backward(const Reference&, const FsqGrid& levels, bool of_codes, View<const S, 2> db, View<const S, 2> z,
                        Sink<S, 2> dz) {
  using math::tanh;
  for (long r = 0; r < z.shape[0]; ++r)
    for (long c = 0; c < z.shape[1]; ++c) {
      const S t = tanh(z.row(r)[c] + S(levels.shift[c]));
      const S scale = S(levels.half[c] / (of_codes ? static_cast<double>(levels.width(c)) : 1));
      dz.put(r * z.shape[1] + c, db.row(r)[c] * scale * (S(1) - t * t));
    }
}
/// Levels of tanh(z + shift) half - offset: value (level - ⌊L/2⌋) / ⌊L/2⌋ (none where `value` is empty), index
/// Σ level_c Π_{e<c} L_e.
template <class S>
void fsq_codes(const Reference&, const FsqGrid& levels, View<const S, 2> z, View<S, 2> value, std::int32_t* index) {
  using math::tanh;
  for (long r = 0; r < z.shape[0]; ++r) {
    long code = 0, base = 1;
    for (long c = 0; c < levels.channels; ++c) {
      const S bounded = tanh(z.row(r)[c] + S(levels.shift[c])) * S(levels.half[c]) - S(levels.offset[c]);
      const long level = levels.level(c, static_cast<double>(bounded)), width = levels.width(c);
      if (value) value.row(r)[c] = S(static_cast<double>(level - width) / static_cast<double>(width));
      code += level * base;
      base *= levels.count[c];
    }
    index[r] = static_cast<std::int32_t>(code);
  }
}
/// Values of indices; zero for a negative one.
template <class S>
void fsq_values(const Reference&, const FsqGrid& levels, const std::int32_t* index, View<S, 2> value) {
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

void fsq_bound_forward(const Cpu& cpu, const FsqGrid& levels, View<const float, 2> z, View<float, 2> b);
void fsq_bound_backward(const Cpu& cpu, const FsqGrid& levels, bool of_codes, View<const float, 2> db,
                        View<const float, 2> z, Sink<float, 2> dz);
void fsq_codes(const Cpu& cpu, const FsqGrid& levels, View<const float, 2> z, View<float, 2> value,
               std::int32_t* index);
void fsq_bound_forward(const Cuda& cuda, const FsqGrid& levels, View<const float, 2> z, View<float, 2> b);
void fsq_bound_backward(const Cuda& cuda, const FsqGrid& levels, bool of_codes, View<const float, 2> db,
                        View<const float, 2> z, Sink<float, 2> dz);
void fsq_codes(const Cuda& cuda, const FsqGrid& levels, View<const float, 2> z, View<float, 2> value,
               std::int32_t* index);
void fsq_values(const Cuda& cuda, const FsqGrid& levels, const std::int32_t* index, View<float, 2> value);

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
        if (auto dz = c.sink(z)) kernel::fsq_bound_backward(c.backend(), levels, false, db.in(), z.in(), dz);
      },
      z);
}

/// Codes of z (rows, channels): values in [-1, 1] and their indices (rows). The gradient is that of the bounded
/// channels: it takes the rounding for the identity.
template <class B>
std::pair<Var<B, 2>, Tensor<B, 1, std::int32_t>> fsq_codes(const Var<B, 2>& any, const FsqLevels& levels) {
  check_channels("fsq", any.shape(), levels.channels, "the levels");
  const Var<B, 2> z = rowwise(any);
  auto& ctx = z.context();
  auto value = ctx.empty(z.shape());
  auto index = ctx.template empty_of<std::int32_t, 1>({z.extent(0)});
  kernel::fsq_codes(ctx.backend(), levels, z.in(), value.out(), index.data());
  const Var<B, 2> y = record(
      std::move(value),
      [z, levels](Context<B>& c, const Tensor<B, 2>& dy) {
        if (auto dz = c.sink(z)) kernel::fsq_bound_backward(c.backend(), levels, true, dy.in(), z.in(), dz);
      },
      z);
  return {y, index};
}
/// The indices (rows) alone.
template <class B>
Tensor<B, 1, std::int32_t> fsq_indices(const Var<B, 2>& any, const FsqLevels& levels) {
  check_channels("fsq", any.shape(), levels.channels, "the levels");
  const Var<B, 2> z = rowwise(any);
  auto& ctx = z.context();
  auto index = ctx.template empty_of<std::int32_t, 1>({z.extent(0)});
  kernel::fsq_codes(ctx.backend(), levels, z.in(), View<typename B::Scalar, 2>(), index.data());
  return index;
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
    const auto [value, index] = fsq_codes(by_group(frames.rows), levels);
    Quantized<B> out;
    out.quantized = frames.back(reshape(value, frames.rows.shape()));
    out.codes = frames.codes_of(index, config.groups);
    return out;
  }
  /// Codes (N, T, groups) alone.
  Codes<B> encode(const Sequence<B>& x) const {
    const detail::RowsOf<B> frames = check(x.with(x.context().detach(x.frames)));
    return frames.codes_of(fsq_indices(by_group(frames.rows), levels), config.groups);
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
};

}  // namespace phonaut
