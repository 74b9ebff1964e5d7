#pragma once
// Product quantization by a softmax with Gumbel noise: codes are drawn, and all entries of a codebook get a gradient.
// E. Jang et al., "Categorical Reparameterization with Gumbel-Softmax", 2017; A. Baevski et al., "wav2vec 2.0", 2020.
#include <cmath>
#include <limits>
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/layers/linear.hpp"
#include "phonaut/losses/diversity.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/softmax.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

/// A temperature that falls from step to step: τ = max(start · decay^step, least).
struct GumbelTemperature {
  double start = 2, least = 0.5, decay = 0.999995;
  double at(long step) const { return std::max(least, start * std::pow(decay, static_cast<double>(step))); }
};

namespace kernel {

/// code[r] = argmax_v x[r, v], the first of equals; a NaN is never chosen. `onehot` gets 1 there and 0 elsewhere, or is
/// empty.
template <class S>
void choose_largest(const Reference&, View<const S, 2> x, View<S, 2> onehot, std::int32_t* code) {
  for (long r = 0; r < x.shape[0]; ++r) {
    const S* from = x.row(r);
    long best = 0;
    S largest = S(-std::numeric_limits<double>::infinity());
    for (long v = 0; v < x.shape[1]; ++v)
      if (from[v] > largest) best = v, largest = from[v];
    code[r] = static_cast<std::int32_t>(best);
    if (!onehot) continue;
    for (long v = 0; v < x.shape[1]; ++v) onehot.row(r)[v] = S(v == best ? 1 : 0);
  }
}

void choose_largest(const Cuda& cuda, View<const float, 2> x, View<float, 2> onehot, std::int32_t* code);

}  // namespace kernel

/// -log(-log u) for u uniform in (0, 1), which Gumbel's distribution is: a constant tensor.
template <class B, size_t R>
Tensor<B, R> gumbel_noise(Context<B>& ctx, const Shape<R>& shape, const Draws& draws) {
  auto noise = ctx.empty(shape);
  // A draw has 24 bits: half a step away from 0 and from 1 both logarithms are finite, in float as well.
  detail::fill_from_host(ctx, noise, [&](typename B::Scalar* to) {
    for (long i = 0; i < noise.size(); ++i)
      to[i] = typename B::Scalar(-std::log(-std::log(static_cast<double>(draws.uniform(i)) + 0x1p-25)));
  });
  return noise;
}

/// What gumbel_choice makes of logits.
template <class B>
struct GumbelChoice {
  Var<B, 3> soft;                   ///< softmax((logits + noise) / τ), (rows, G, V)
  Var<B, 3> weights;                ///< what multiplies the codebook: soft, or one-hot in value with soft's gradient
  Tensor<B, 1, std::int32_t> code;  ///< argmax, (rows · G)
};
/// Weights of the entries for logits (rows, G, V). `noise` has their shape, or is empty. Throws ConfigError unless τ is
/// positive, ShapeError if the noise does not fit.
template <class B>
GumbelChoice<B> gumbel_choice(const Var<B, 3>& logits, const Tensor<B, 3>& noise, double temperature, bool hard) {
  if (!(temperature > 0)) throw ConfigError(concat("gumbel: the temperature must be positive, got ", temperature));
  auto& ctx = logits.context();
  if (noise) check_same_shape("gumbel", "the logits", logits.shape(), "the noise", noise.shape());
  const Var<B, 3> noisy = noise ? logits + ctx.constant(noise) : logits;
  GumbelChoice<B> choice;
  choice.soft = softmax(typename B::Scalar(1 / temperature) * noisy);
  const auto flat = as_rows(choice.soft.in());
  choice.code = ctx.template empty_of<std::int32_t, 1>({flat.shape[0]});
  const Tensor<B, 3> onehot = hard ? ctx.empty(logits.shape()) : Tensor<B, 3>();
  kernel::choose_largest(ctx.backend(), flat, hard ? as_rows(onehot.out()) : View<typename B::Scalar, 2>(),
                         choice.code.data());
  choice.weights = hard ? straight_through(choice.soft, onehot) : choice.soft;
  return choice;
}

/// Σ_v weights[r, g, v] codebook[g, v] for each group: weights (rows, G, V), codebook (G, V, D) -> (rows, G · D). One
/// times an entry is that entry to the last bit.
template <class B>
Var<B, 2> mix_entries(const Var<B, 3>& weights, Weight<B, 3> codebook) {
  const long rows = weights.extent(0), groups = weights.extent(1), entries = weights.extent(2);
  if (codebook.extent(0) != groups || codebook.extent(1) != entries)
    throw ShapeError(
        concat("gumbel: weights ", text(weights.shape()), " do not fit the codebook ", text(codebook.shape())));
  const Var<B, 3> books = permute(weights.context().lift(codebook), {0, 2, 1});  // (G, D, V)
  const FullPrecision full(weights.context());
  std::vector<Var<B, 2>> parts;
  for (long g = 0; g < groups; ++g)
    parts.push_back(linear(reshape(slice(weights, 1, g, g + 1), Shape<2>{rows, entries}),
                           reshape(slice(books, 0, g, g + 1), Shape<2>{books.extent(1), entries})));
  return concatenate(parts, 1);
}

/// What the quantizer of wav2vec 2.0 makes of a batch.
template <class B>
struct GumbelQuantized : Quantized<B> {
  Var<B, 0> perplexity;  ///< Σ over groups of exp(entropy of the mean softmax of the logits), in G … G V
};

/// G codebooks of V entries each: logits of every entry are a linear map of the frame. In training an entry is drawn by
/// Gumbel noise, at a temperature that falls with the context's step; in inference the largest logit wins. Codes
/// (N, T, groups). The loss is the diversity of wav2vec 2.0, (G V - perplexity) / (G V), over the real frames: pass
/// those that count.
template <class B>
struct GumbelQuantizer {
  struct Config {
    long channels = 0;  ///< of the frames
    long dims = 256;    ///< of what comes out, in equal parts by the groups
    long groups = 2, entries = 320;
    bool hard = true;  ///< one entry in the forward pass; else a soft mixture in training
    GumbelTemperature temperature = {};
    double diversity_weight = 0.1;
  } config;
  Linear<B> to_logits;   ///< channels -> groups · entries; weights start from N(0, 1), as in wav2vec 2.0
  Param<B, 3> codebook;  ///< (groups, entries, dims / groups), from U(0, 1)

  /// Throws ConfigError unless the dimensions can be shared out to the groups.
  GumbelQuantizer(Context<B>& ctx, Config config_)
      : config(config_), to_logits(ctx, {.in = config.channels, .out = config.groups * config.entries}) {
    if (config.groups < 1 || config.dims < 1 || config.dims % config.groups != 0)
      throw ConfigError(
          concat("gumbel: ", config.dims, " dimensions cannot be cut into ", config.groups, " equal groups"));
    using S = typename B::Scalar;
    assign(ctx.backend(), to_logits.weight.tensor(), draw<S>(ctx, to_logits.weight.size(), Init::normal(1)));
    assign(ctx.backend(), to_logits.bias.tensor(), std::vector<S>(static_cast<size_t>(to_logits.bias.size()), S(0)));
    codebook = make_param(ctx, Shape<3>{config.groups, config.entries, config.dims / config.groups}, Init::uniform(1));
    auto entries = values_of(ctx, codebook.tensor());
    for (S& v : entries) v = S(0.5) * (v + S(1));
    assign(ctx.backend(), codebook.tensor(), entries);
  }

  /// Quantizes x (N, T, channels) to (N, T, dims). Throws ShapeError for other channels.
  GumbelQuantized<B> operator()(const Sequence<B>& x) const {
    check(x);
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x);
    const Var<B, 3> logits = logits_of(frames.rows);
    const bool training = ctx.training();
    Tensor<B, 3> noise;
    if (training) noise = gumbel_noise(ctx, logits.shape(), ctx.random().take(logits.size()));
    const auto choice = gumbel_choice(logits, noise, config.temperature.at(ctx.step()), config.hard || !training);
    GumbelQuantized<B> out;
    out.quantized = frames.back(mix_entries(choice.weights, codebook));
    out.codes = frames.codes_of(choice.code, config.groups);
    out.perplexity = soft_perplexity(logits);
    out.loss =
        typename B::Scalar(config.diversity_weight) * diversity_loss(out.perplexity, config.groups, config.entries);
    return out;
  }
  /// Codes (N, T, groups) without noise; nothing is recorded.
  Codes<B> encode(const Sequence<B>& x) const {
    check(x);
    auto& ctx = x.context();
    const Unrecorded<B> unrecorded(ctx);
    const detail::RowsOf<B> frames(x.with(ctx.detach(x.frames)));
    const Var<B, 3> logits = logits_of(frames.rows);
    const auto code = ctx.template empty_of<std::int32_t, 1>({logits.extent(0) * config.groups});
    kernel::choose_largest(ctx.backend(), as_rows(logits.in()), View<typename B::Scalar, 2>(), code.data());
    return frames.codes_of(code, config.groups);
  }
  /// Frames (N, T, dims) of codes (N, T, groups); zero for `no_code`. Throws ShapeError for codes out of range or
  /// another number of groups.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    detail::check_codes("gumbel", codes, config.groups, config.entries);
    if (codes.extent(2) != config.groups)
      throw ShapeError(
          concat("gumbel: codes of shape ", text(codes.shape()), " lack some of the ", config.groups, " groups"));
    const long each = config.dims / config.groups;
    return detail::entries_side_by_side(ctx, codes, each, [&](long g) {
      return View<const typename B::Scalar, 2>(codebook.in().data + g * config.entries * each, {config.entries, each});
    });
  }
  /// Bits for each frame.
  double bits() const { return static_cast<double>(config.groups) * std::log2(static_cast<double>(config.entries)); }

  static void visit(auto& self, auto&& f) {
    f("to_logits", self.to_logits);
    f("codebook", self.codebook);
  }

 private:
  void check(const Sequence<B>& x) const {
    check_channels("gumbel", x.frames.shape(), config.channels, "the map to logits");
  }
  Var<B, 3> logits_of(const Var<B, 2>& rows) const {
    return reshape(to_logits(rows), Shape<3>{rows.extent(0), config.groups, config.entries});
  }
};

}  // namespace phonaut
