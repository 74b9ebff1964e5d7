#pragma once
// Lookup-free quantization: the signs of a few channels are the code. L. Yu et al., "Language Model Beats Diffusion:
// Tokenizer is Key to Visual Generation" (MAGVIT-v2), 2024.
#include <cmath>

#include "phonaut/core/math.hpp"
#include "phonaut/ops/wide.hpp"
#include "phonaut/quantizers/bsq.hpp"

namespace phonaut {

namespace kernel {

/// Soft codes of a row x of `bits` channels: p = softmax over all 2^bits corners c of 2 τ <x, c>, c_k = ± magnitude.
struct CornerSoftmax {
  double inverse_temperature = 100, magnitude = 1;
  double clamp = 1e-5;  ///< entropies take log max(p, clamp)
  double gain() const { return 2 * inverse_temperature * magnitude; }
};

/// p (2^bits), the first channel most significant: channels are independent, so it grows by doubling.
template <class S>
PHONAUT_HD PHONAUT_INLINE void corner_probabilities(const CornerSoftmax& o, const S* x, long bits, Wide<S>* p) {
  using math::sigmoid;
  using W = Wide<S>;
  p[0] = W(1);
  for (long k = 0, n = 1; k < bits; ++k, n *= 2) {
    const W logit = W(2 * o.gain()) * W(x[k]);
    const W up = sigmoid(logit), down = sigmoid(-logit);
    for (long j = n - 1; j >= 0; --j) {
      p[2 * j + 1] = p[j] * up;
      p[2 * j] = p[j] * down;
    }
  }
}
/// `share` times the sums over rows of p (2^bits), and of -Σ p log max(p, clamp), which comes last. `scratch` has
/// 2^bits numbers: no matrix of rows by codes is made.
template <class S>
void corner_sums(const Reference&, CornerSoftmax o, double share, View<const S, 2> x, Wide<S>* scratch, Wide<S>* sums) {
  using math::log;
  using math::max;
  using W = Wide<S>;
  const long bits = x.shape[1], codes = 1L << bits;
  std::fill_n(sums, codes, W(0));
  W sample = 0;
  for (long r = 0; r < x.shape[0]; ++r) {
    corner_probabilities(o, x.row(r), bits, scratch);
    for (long j = 0; j < codes; ++j) {
      sums[j] += scratch[j];
      sample -= scratch[j] * log(max(scratch[j], W(o.clamp)));
    }
  }
  for (long j = 0; j < codes; ++j) sums[j] = sums[j] * W(share);
  sums[codes] = sample * W(share);
}
/// From such sums over a batch, with its mean of p: y[0] = the mean of each row's entropy, y[1] that of the mean of p.
template <class S>
void corner_entropies_forward(const Reference&, CornerSoftmax o, View<const Wide<S>, 1> sums, S* y) {
  using math::log;
  using math::max;
  using W = Wide<S>;
  const long codes = sums.size() - 1;
  W mean = 0;
  for (long j = 0; j < codes; ++j) mean -= sums.data[j] * log(max(sums.data[j], W(o.clamp)));
  y[0] = S(sums.data[codes]);
  y[1] = S(mean);
}
/// With g_c = dloss/dp_c, the softmax gives t_c = p_c (g_c - <p, g>), and dx_k = gain Σ_c ± t_c, its sign bit k of c:
/// summed by folding the codes together, one channel after the other, from the least significant.
template <class S>
void corner_entropies_backward(const Reference&, CornerSoftmax o, double of_a_row, const S* dy, View<const S, 2> x,
                               Wide<S>* scratch, const Wide<S>* average, Sink<S, 2> dx) {
  using math::log;
  using math::max;
  using W = Wide<S>;
  const long bits = x.shape[1], codes = 1L << bits, rows = x.shape[0];
  const W floor = W(o.clamp), share = W(of_a_row);
  const auto slope = [&](W p) { return -(log(max(p, floor)) + (p < floor ? W(0) : W(1))); };
  for (long r = 0; r < rows; ++r) {
    corner_probabilities(o, x.row(r), bits, scratch);
    const auto g = [&](long j) { return share * (W(dy[0]) * slope(scratch[j]) + W(dy[1]) * slope(average[j])); };
    W along = 0;
    for (long j = 0; j < codes; ++j) along += scratch[j] * g(j);
    for (long j = 0; j < codes; ++j) scratch[j] = scratch[j] * (g(j) - along);
    for (long k = bits - 1, n = codes / 2; k >= 0; --k, n /= 2) {
      W total = 0;
      for (long j = 0; j < n; ++j) {
        total += scratch[2 * j + 1] - scratch[2 * j];
        scratch[j] = scratch[2 * j + 1] + scratch[2 * j];
      }
      dx.put(r * bits + k, S(W(o.gain()) * total));
    }
  }
}

void corner_sums(const Cuda& cuda, CornerSoftmax o, double share, View<const float, 2> x, double* scratch,
                 double* sums);
void corner_entropies_forward(const Cuda& cuda, CornerSoftmax o, View<const double, 1> sums, float* y);
void corner_entropies_backward(const Cuda& cuda, CornerSoftmax o, double share, const float* dy, View<const float, 2> x,
                               double* scratch, const double* average, Sink<float, 2> dx);

}  // namespace kernel

/// Entropies in nats of the soft codes of x (rows, bits): (2), the mean over rows of each row's, and that of the mean
/// over rows; in training, over those of all ranks. Time is rows · 2^bits, memory 2^bits.
template <class B>
Var<B, 1> corner_entropies(const Var<B, 2>& any, const kernel::CornerSoftmax& options) {
  using W = kernel::Wide<typename B::Scalar>;
  const Var<B, 2> x = rowwise(any);
  auto& ctx = x.context();
  const long codes = 1L << x.extent(1);
  const double rows = ctx.batch_ranks().all_reduce(static_cast<double>(x.extent(0))), share = rows > 0 ? 1 / rows : 0;
  const auto scratch = ctx.template empty_of<W, 1>({codes}), sums = ctx.template empty_of<W, 1>({codes + 1});
  kernel::corner_sums(ctx.backend(), options, share, x.in(), scratch.data(), sums.data());
  detail::all_reduce(ctx, sums.data(), sums.size());
  auto y = ctx.empty(Shape<1>{2});
  kernel::corner_entropies_forward(ctx.backend(), options, sums.in(), y.data());
  return record(
      std::move(y),
      [x, sums, share, options](Context<B>& c, const Tensor<B, 1>& dy) {
        auto dx = c.sink(x);
        if (!dx) return;
        const auto room = c.template empty_of<W, 1>({sums.size() - 1});
        kernel::corner_entropies_backward(c.backend(), options, share,
                                          static_cast<const typename B::Scalar*>(dy.data()), x.in(), room.data(),
                                          static_cast<const W*>(sums.data()), dx);
      },
      x);
}

/// Value ± scale by the sign of each channel (0 goes to minus), straight through; `spherical`: x is brought to unit
/// length first, and values are ± 1/√bits. One code (N, T, 1) for each frame, the first channel its most significant
/// bit.
template <class B>
struct LookupFreeQuantizer {
  struct Config {
    long bits = 10;
    bool spherical = false;
    double scale = 1;
    double inverse_temperature = 100;
    double entropy_weight = 0.1, diversity_gamma = 1, commitment_weight = 0.25;
    double log_clamp = 1e-5;
    /// The entropies are sums over all 2^bits codes, as published, or sums over bits (see bit_entropies), whose cost
    /// does not grow with the number of codes.
    enum class Entropy { all_codes, by_bit } entropy = Entropy::all_codes;
  } config;
  /// Above, a sum over all codes costs more than most models.
  static constexpr long most_summed_bits = 16;

  /// Throws ConfigError for no bits or more than a code holds, or than can be summed over.
  LookupFreeQuantizer(Context<B>&, Config config_) : config(config_) {
    detail::check_sign_bits("lfq", config.bits);
    if (config.entropy == Config::Entropy::all_codes && config.entropy_weight != 0 && config.bits > most_summed_bits)
      throw ConfigError(concat("lfq: entropies over all codes of ", config.bits, " bits cost too much above ",
                               most_summed_bits, "; choose Entropy::by_bit"));
  }

  struct Entropies {
    Var<B, 0> sample, mean;
  };
  /// Quantizes x (N, T, bits). Throws ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const {
    using S = typename B::Scalar;
    const detail::RowsOf<B> frames = detail::sign_rows("lfq", x, config.bits);
    auto& ctx = x.context();
    const Var<B, 2> u = prepared(frames.rows);
    const auto [value, index] = detail::sign_codes(u, magnitude());
    Quantized<B> out;
    out.quantized = frames.back(value);
    out.codes = frames.codes_of(index, 1);
    out.commitment = mean_over_ranks(mse_loss(u, ctx.constant(value.tensor())), static_cast<double>(u.extent(0)));
    out.loss = S(config.commitment_weight) * out.commitment;
    if (config.entropy_weight != 0) {
      const Entropies e = entropies(u);
      out.loss = out.loss + S(config.entropy_weight) * (e.sample - S(config.diversity_gamma) * e.mean);
    }
    return out;
  }
  /// Codes (N, T, 1) alone; nothing is recorded.
  Codes<B> encode(const Sequence<B>& x) const { return detail::encode_signs("lfq", x, config.bits); }
  /// Frames (N, T, bits) of codes (N, T, 1); zero for `no_code`. Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    return detail::sign_frames("lfq", ctx, codes, config.bits, magnitude());
  }
  /// Rows as they are compared with the codes: at unit length if spherical.
  Var<B, 2> prepared(const Var<B, 2>& rows) const { return config.spherical ? unit_rows(rows, 1e-12) : rows; }
  /// Entropies of prepared rows (rows, bits).
  Entropies entropies(const Var<B, 2>& u) const {
    if (config.entropy == Config::Entropy::by_bit) {
      const auto e = bit_entropies(typename B::Scalar(4 * config.inverse_temperature * magnitude()) * u);
      return {e.sample, e.mean};
    }
    const Var<B, 1> both =
        corner_entropies(u, kernel::CornerSoftmax{config.inverse_temperature, magnitude(), config.log_clamp});
    return {reshape(slice(both, 0, 0, 1), Shape<0>{}), reshape(slice(both, 0, 1, 2), Shape<0>{})};
  }
  double magnitude() const { return config.spherical ? 1 / std::sqrt(static_cast<double>(config.bits)) : config.scale; }
  /// Bits for each frame.
  double bits() const { return static_cast<double>(config.bits); }

  static void visit(auto&, auto&&) {}
};

}  // namespace phonaut
