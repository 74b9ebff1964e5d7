#pragma once
// Residual vector quantization with factorised codebooks: each level searches by cosine in a few dimensions of its own.
// R. Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN" (the Descript audio codec, DAC), 2023.
#include <vector>

#include "phonaut/layers/embedding.hpp"
#include "phonaut/layers/weight_norm_linear.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/ops/formula/elementary.hpp"
#include "phonaut/ops/keep_utterances.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/ops/nearest_code.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/ops/unit_rows.hpp"
#include "phonaut/quantizers/codes.hpp"
#include "phonaut/quantizers/level_dropout.hpp"

namespace phonaut {

/// A codebook of few dimensions between a projection into them and one back.
template <class B>
struct FactorisedLevel {
  WeightNormLinear<B> in_proj, out_proj;
  Embedding<B> codebook;  ///< (entries, code dims); trained by gradient

  FactorisedLevel(Context<B>& ctx, long dims, long entries, long code_dims)
      : in_proj(ctx, {.in = dims, .out = code_dims}),
        out_proj(ctx, {.in = code_dims, .out = dims}),
        codebook(ctx, {.entries = entries, .dim = code_dims}) {}

  /// The entry of the most similar direction, for rows (rows, code dims).
  Tensor<B, 1, std::int32_t> search(const Var<B, 2>& latent) const {
    auto& ctx = latent.context();
    return nearest_code(ctx, unit_rows(ctx.detach(latent), 1e-12).tensor(),
                        unit_rows(ctx.constant(codebook.weight.tensor()), 1e-12).tensor());
  }

  static void visit(auto& self, auto&& f) {
    f("in_proj", self.in_proj);
    f("out_proj", self.out_proj);
    f("codebook", self.codebook);
  }
};

/// What a factorised quantizer makes of a batch: also the projections that were quantized, as latents of a language
/// model or for inspection.
template <class B>
struct FactorisedQuantized : Quantized<B> {
  Sequence<B> latents;  ///< (N, T, levels · code dims)
};

/// Level i projects the residual to a few dimensions, finds the entry of the nearest direction, and projects that entry
/// back, as it is and not at unit length: z_e = W_in r_i, code = argmin |z_e/|z_e| - c/|c||, q_i = W_out c. The
/// residual of the next level is r_i - q_i with q_i's straight-through gradient, as published.
template <class B>
struct FactorisedResidualQuantizer {
  struct Config {
    long dims = 0;
    long levels = 9;
    long entries = 1024, code_dims = 8;
    double commitment_weight = 0.25, codebook_weight = 1;
    LevelDropout dropout = LevelDropout::per_item;
    double dropout_probability = 0.5;
  } config;
  std::vector<FactorisedLevel<B>> quantizers;

  FactorisedResidualQuantizer() = default;
  FactorisedResidualQuantizer(Context<B>& ctx, Config config_) : config(std::move(config_)) {
    if (config.levels < 1) throw ConfigError(concat("factorised_rvq: needs at least one level, got ", config.levels));
    for (long i = 0; i < config.levels; ++i)
      quantizers.emplace_back(ctx, config.dims, config.entries, config.code_dims);
  }

  /// Quantizes x (N, T, dims). Losses are sums over levels of means over utterances of means over their frames; an
  /// utterance that dropped a level counts as 0 there. Throws ShapeError for other channels.
  FactorisedQuantized<B> operator()(const Sequence<B>& x) const {
    auto& ctx = x.context();
    return run(x, ctx.training()
                      ? draw_depths(ctx, config.dropout, config.dropout_probability, config.levels, x.batch())
                      : std::vector<long>());
  }
  /// The same with a given number of levels for each utterance. Levels beyond it give no code, add nothing to the value
  /// and have no loss of that utterance; the residual goes through all levels.
  FactorisedQuantized<B> operator()(const Sequence<B>& x, const std::vector<long>& depths) const {
    detail::check_depths("factorised_rvq", depths, x.batch());
    return run(x, depths);
  }
  /// Codes (N, T, depth) of the first `depth` levels (0: all); nothing is recorded.
  Codes<B> encode(const Sequence<B>& x, long depth = 0) const {
    check(x);
    const long used = detail::levels_used("factorised_rvq", depth, config.levels);
    auto& ctx = x.context();
    const Unrecorded<B> unrecorded(ctx);
    const detail::RowsOf<B> frames(x.with(ctx.detach(x.frames)));
    const Codes<B> codes = frames.empty_codes(used);
    Var<B, 2> residual = frames.rows;
    for (long i = 0; i < used; ++i) {
      const auto& level = quantizers[static_cast<size_t>(i)];
      const auto code = level.search(level.in_proj(residual));
      frames.put(code, i, codes);
      if (i + 1 < used) residual = residual - level.out_proj(embedding(ctx, code, level.codebook.weight));
    }
    return codes;
  }
  /// Frames (N, T, dims) of codes (N, T, any number of levels); `no_code` adds nothing. Gradients reach codebooks and
  /// projections. Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    detail::check_codes("factorised_rvq", codes, config.levels, config.entries);
    const auto host = host_codes(ctx, codes);
    const long levels = codes.extent(2);
    Var<B, 3> total = ctx.constant(ctx.zeros(Shape<3>{codes.extent(0), codes.extent(1), config.dims}));
    for (long i = 0; i < levels; ++i) {
      std::vector<std::int32_t> chosen;
      const auto rows = detail::rows_where(ctx, codes.extent(0), codes.extent(1), nullptr, [&](long n, long t) {
        return host[static_cast<size_t>((n * codes.extent(1) + t) * levels + i)] != no_code;
      });
      for (size_t at = static_cast<size_t>(i); at < host.size(); at += static_cast<size_t>(levels))
        if (host[at] != no_code) chosen.push_back(host[at]);
      const auto ids = ctx.template empty_of<std::int32_t, 1>({static_cast<long>(chosen.size())});
      detail::fill_from_host(ctx, ids, [&](std::int32_t* to) { std::copy(chosen.begin(), chosen.end(), to); });
      const auto& level = quantizers[static_cast<size_t>(i)];
      const Var<B, 2> value = level.out_proj(embedding(ctx, ids, level.codebook.weight));
      total = total + put_rows(value, rows, codes.extent(0), codes.extent(1));
    }
    return total;
  }
  /// Bits for each frame with `depth` levels (0: all).
  double bits(long depth = 0) const {
    return static_cast<double>(depth > 0 ? depth : config.levels) * std::log2(static_cast<double>(config.entries));
  }

  static void visit(auto& self, auto&& f) { f("quantizers", self.quantizers); }

 private:
  void check(const Sequence<B>& x) const {
    check_channels("factorised_rvq", x.frames.shape(), config.dims, "the projections");
  }

  FactorisedQuantized<B> run(const Sequence<B>& x, const std::vector<long>& depths) const {
    using S = typename B::Scalar;
    check(x);
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x);
    FactorisedQuantized<B> out;
    out.codes = frames.empty_codes(config.levels);
    std::vector<Var<B, 2>> latents;
    Var<B, 2> residual = frames.rows;
    Var<B, 3> total;
    for (long i = 0; i < config.levels; ++i) {
      const auto& level = quantizers[static_cast<size_t>(i)];
      const Var<B, 2> latent = level.in_proj(residual);
      const auto code = level.search(latent);
      const Var<B, 2> entry = embedding(ctx, code, level.codebook.weight);
      const Var<B, 2> value = level.out_proj(straight_through(latent, entry.tensor()));
      const UtteranceFlags kept = keeps(ctx, depths, i);
      const auto [weights, masked] = row_weights(ctx, x, kept, code);
      frames.put(masked, i, out.codes);
      const auto distance = [weights = weights](const Var<B, 2>& difference) {
        return sum(weights * mean_last(map(difference, formula::Square{})));
      };
      detail::add_share(out.commitment, distance(latent - ctx.detach(entry)));
      detail::add_share(out.codebook, distance(entry - ctx.detach(latent)));
      const Var<B, 3> part = keep_utterances(frames.back(value).frames, kept);
      total = total ? total + part : part;
      latents.push_back(latent);
      if (i + 1 < config.levels) residual = residual - value;
    }
    double utterances = 0;
    for (long n = 0; n < x.batch(); ++n) utterances += x.length(n) > 0;
    out.commitment = mean_over_ranks(out.commitment, utterances);
    out.codebook = mean_over_ranks(out.codebook, utterances);
    out.loss = S(config.commitment_weight) * out.commitment + S(config.codebook_weight) * out.codebook;
    out.quantized = x.with(total);
    out.latents = frames.back(concatenate(latents, 1));
    return out;
  }
  /// Which utterances use level i; empty: all.
  static UtteranceFlags keeps(Context<B>& ctx, const std::vector<long>& depths, long i) {
    if (depths.empty()) return {};
    UtteranceFlags kept = ctx.empty_lengths(static_cast<long>(depths.size()));
    for (size_t n = 0; n < depths.size(); ++n) kept.data()[n] = depths[n] > i;
    return kept;
  }
  /// What each real frame counts in a mean over utterances of means over frames; 0 where the level was dropped. With
  /// the codes, `no_code` where it was.
  static std::pair<Var<B, 1>, Tensor<B, 1, std::int32_t>> row_weights(Context<B>& ctx, const Sequence<B>& x,
                                                                      const UtteranceFlags& kept,
                                                                      const Tensor<B, 1, std::int32_t>& code) {
    using S = typename B::Scalar;
    long utterances = 0, row = 0;
    for (long n = 0; n < x.batch(); ++n) utterances += x.length(n) > 0;
    std::vector<std::int32_t> dropped;
    const Tensor<B, 1> weights = ctx.empty(Shape<1>{code.size()});
    const auto weigh = [&](S* to) {
      for (long n = 0; n < x.batch(); ++n)
        for (long t = 0; t < x.length(n); ++t, ++row) {
          const bool used = !kept || kept.data()[n] != 0;
          if (!used) dropped.push_back(static_cast<std::int32_t>(row));
          to[row] = used ? S(1.0 / static_cast<double>(utterances * x.length(n))) : S(0);
        }
    };
    detail::fill_from_host(ctx, weights, weigh,
                           kept ? detail::HostNumbers::of_this_call : detail::HostNumbers::of_shapes);
    if (!kept) return {ctx.constant(weights), code};
    const auto column = [](const auto& t) { return View<std::int32_t, 2>(t.data(), {t.size(), 1}); };
    const auto masked = ctx.template empty_of<std::int32_t, 1>({code.size()}),
               rows = ctx.template empty_of<std::int32_t, 1>({static_cast<long>(dropped.size())});
    detail::fill_from_host(ctx, rows, [&](std::int32_t* to) { std::copy(dropped.begin(), dropped.end(), to); });
    kernel::take_level(ctx.backend(), View<const std::int32_t, 2>(column(code)), 0, masked.data());
    kernel::put_level(ctx.backend(), static_cast<const std::int32_t*>(nullptr),
                      static_cast<const std::int32_t*>(rows.data()), rows.size(), 0, column(masked));
    return {ctx.constant(weights), masked};
  }
};

}  // namespace phonaut
