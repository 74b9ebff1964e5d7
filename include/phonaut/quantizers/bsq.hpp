#pragma once
// Binary spherical quantization: a vector on the unit sphere becomes the nearest corner of the cube inside of it.
// Y. Zhao et al., "Image and Video Tokenization with Binary Spherical Quantization", 2024.
#include <cmath>

#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/centre_columns.hpp"
#include "phonaut/ops/formula/activation.hpp"
#include "phonaut/ops/formula/entropy.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/unit_rows.hpp"
#include "phonaut/quantizers/sign_codes.hpp"

namespace phonaut {

/// The two entropies of soft codes whose bits are independent.
template <class B>
struct BitEntropies {
  Var<B, 2> probability;  ///< of each bit to be 1: sigmoid(logits), (rows, bits)
  Var<B, 0> sample;       ///< mean over rows of Σ_k H(p_k), in nats: how undecided a row is
  Var<B, 0> mean;         ///< Σ_k H(mean over rows of p_k): how evenly codes are used
};
/// Entropies from the logits (rows, bits) of each bit. A sum over bits stands for one over all 2^bits codes: exactly so
/// for a row, whose code probabilities are products, and as an upper bound for their mean. Rows are those of all ranks
/// that train together.
template <class B>
BitEntropies<B> bit_entropies(const Var<B, 2>& logits) {
  BitEntropies<B> e;
  e.probability = map(logits, formula::Sigmoid{});
  const auto rows = static_cast<double>(logits.extent(0));
  e.sample = mean_over_ranks(
      typename B::Scalar(detail::inverse(logits.extent(0))) * sum(map(logits, formula::LogitEntropy{})), rows);
  e.mean = sum(map(mean_over_ranks(column_mean(e.probability), rows), formula::BitEntropy{}));
  return e;
}

/// u = x / |x|; value ± 1/√bits by the sign of u, straight through. p(bit k is 1) = sigmoid(2 τ u_k / √bits); the loss
/// is weight · (sample entropy - γ · entropy of the mean). One code (N, T, 1) for each frame, the first channel its
/// most significant bit.
template <class B>
struct BinarySphericalQuantizer {
  struct Config {
    long bits = 18;
    double inverse_temperature = 100;  ///< τ
    double entropy_weight = 0.1, diversity_gamma = 1;
    double commitment_weight = 0;  ///< of mean (u - sg q)²
  } config;

  /// Throws ConfigError for no bits, or more than a code holds.
  BinarySphericalQuantizer(Context<B>&, Config config_) : config(config_) {
    detail::check_sign_bits("bsq", config.bits);
  }

  /// Quantizes x (N, T, bits). A frame of zeros has the code 0. Throws ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const {
    using S = typename B::Scalar;
    const detail::RowsOf<B> frames = detail::sign_rows("bsq", x, config.bits);
    auto& ctx = x.context();
    const Var<B, 2> u = unit_rows(frames.rows, 1e-12);
    const auto [value, index] = detail::sign_codes(u, magnitude());
    Quantized<B> out;
    out.quantized = frames.back(value);
    out.codes = frames.codes_of(index, 1);
    const BitEntropies<B> e = entropies(u);
    out.commitment = mean_over_ranks(mse_loss(u, ctx.constant(value.tensor())), static_cast<double>(u.extent(0)));
    out.loss = S(config.entropy_weight) * (e.sample - S(config.diversity_gamma) * e.mean);
    if (config.commitment_weight != 0) out.loss = out.loss + S(config.commitment_weight) * out.commitment;
    return out;
  }
  /// Codes (N, T, 1) alone; nothing is recorded.
  Codes<B> encode(const Sequence<B>& x) const { return detail::encode_signs("bsq", x, config.bits); }
  /// Frames (N, T, bits) of codes (N, T, 1); zero for `no_code`. Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    return detail::sign_frames("bsq", ctx, codes, config.bits, magnitude());
  }
  /// Entropies of unit rows (rows, bits) at the temperature.
  BitEntropies<B> entropies(const Var<B, 2>& u) const {
    return bit_entropies(typename B::Scalar(2 * config.inverse_temperature * magnitude()) * u);
  }
  double magnitude() const { return 1 / std::sqrt(static_cast<double>(config.bits)); }
  /// Bits for each frame.
  double bits() const { return static_cast<double>(config.bits); }

  static void visit(auto&, auto&&) {}
};

}  // namespace phonaut
