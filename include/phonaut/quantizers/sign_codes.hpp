#pragma once
// Codes of one bit for each channel: its sign. The vocabulary that lookup-free and binary spherical quantizers share.
#include <cstdint>

#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

/// Channels whose signs fit a code.
constexpr long most_sign_bits = 30;

namespace kernel {

/// value[r, c] = x[r, c] > 0 ? magnitude : -magnitude (0 and NaN go to minus; none where `value` is empty); index: the
/// first channel is the most significant bit.
template <class S>
void sign_round(const Reference&, S magnitude, View<const S, 2> x, View<S, 2> value, std::int32_t* index) {
  for (long r = 0; r < x.shape[0]; ++r) {
    std::int32_t code = 0;
    for (long c = 0; c < x.shape[1]; ++c) {
      const bool up = x.row(r)[c] > S(0);
      if (value) value.row(r)[c] = up ? magnitude : -magnitude;
      code = 2 * code + up;
    }
    index[r] = code;
  }
}
/// Values of indices; zero for a negative one.
template <class S>
void sign_values(const Reference&, S magnitude, const std::int32_t* index, View<S, 2> value) {
  const long bits = value.shape[1];
  for (long r = 0; r < value.shape[0]; ++r)
    for (long c = 0; c < bits; ++c)
      value.row(r)[c] = index[r] < 0 ? S(0) : index[r] >> (bits - 1 - c) & 1 ? magnitude : -magnitude;
}

void sign_round(const Cpu& cpu, float magnitude, View<const float, 2> x, View<float, 2> value, std::int32_t* index);
void sign_round(const Cuda& cuda, float magnitude, View<const float, 2> x, View<float, 2> value, std::int32_t* index);
void sign_values(const Cuda& cuda, float magnitude, const std::int32_t* index, View<float, 2> value);

}  // namespace kernel

namespace detail {

inline void check_sign_bits(const char* op, long bits) {
  if (bits < 1 || bits > most_sign_bits)
    throw ConfigError(concat(op, ": 1 … ", most_sign_bits, " bits make a code, got ", bits));
}
/// ± magnitude by the sign of x (rows, bits), with x's gradient straight through; and the indices.
template <class B>
std::pair<Var<B, 2>, Tensor<B, 1, std::int32_t>> sign_codes(const Var<B, 2>& any, double magnitude) {
  const Var<B, 2> x = rowwise(any);
  auto& ctx = x.context();
  const Tensor<B, 2> value = ctx.empty(x.shape());
  const auto index = ctx.template empty_of<std::int32_t, 1>({x.extent(0)});
  kernel::sign_round(ctx.backend(), typename B::Scalar(magnitude), x.in(), value.out(), index.data());
  return {straight_through(x, value), index};
}
/// The real frames of x (N, T, bits) as rows. Throws ShapeError for other channels.
template <class B>
RowsOf<B> sign_rows(const char* op, const Sequence<B>& x, long bits) {
  check_channels(op, x.frames.shape(), bits, "the bits");
  return RowsOf<B>(x);
}
/// Codes (N, T, 1) of x (N, T, bits); nothing is recorded. Throws as sign_rows.
template <class B>
Codes<B> encode_signs(const char* op, const Sequence<B>& x, long bits) {
  const RowsOf<B> frames = sign_rows(op, x.with(x.context().detach(x.frames)), bits);
  auto& ctx = x.context();
  const auto index = ctx.template empty_of<std::int32_t, 1>({frames.rows.extent(0)});
  kernel::sign_round(ctx.backend(), typename B::Scalar(1), rowwise(frames.rows).in(), View<typename B::Scalar, 2>(),
                     index.data());
  return frames.codes_of(index, 1);
}
/// Frames (N, T, bits) of codes (N, T, 1).
template <class B>
Var<B, 3> sign_frames(const char* op, Context<B>& ctx, const Codes<B>& codes, long bits, double magnitude) {
  check_codes(op, codes, 1, 1L << bits);
  auto y = ctx.empty(Shape<3>{codes.extent(0), codes.extent(1), bits});
  kernel::sign_values(ctx.backend(), typename B::Scalar(magnitude), static_cast<const std::int32_t*>(codes.data()),
                      as_rows(y.out()));
  return ctx.constant(std::move(y));
}

}  // namespace detail

}  // namespace phonaut
