#pragma once
// Split residual vector quantization: a codebook of its own for what a teacher distils, beside a residual quantizer for
// the sound. A. Défossez et al., "Moshi: a speech-text foundation model for real-time dialogue" (the codec Mimi), 2024.
#include <vector>

#include "phonaut/layers/linear.hpp"
#include "phonaut/ops/keep_utterances.hpp"
#include "phonaut/quantizers/rvq.hpp"

namespace phonaut {

/// Two residual quantizers that both see the same input, each between projections of its own without bias; what they
/// return is added. Codes (N, T, semantic + acoustic), semantic ones first.
template <class B>
struct SplitResidualQuantizer {
  struct Config {
    long channels = 0;  ///< of the frames
    long dims = 0;      ///< of the codebooks
    long semantic_levels = 1, acoustic_levels = 7;
    CodebookOptions codebook = {.rule = {.smoothing = EmaRule::Smoothing::clamp}};
    LevelDropout acoustic_dropout = LevelDropout::none;
    double skip_probability = 0;  ///< of an utterance of a step of training to pass unquantized (0.5 in Mimi)
  } config;
  /// One side of the split.
  struct Branch {
    Linear<B> in_proj, out_proj;  ///< channels -> dims -> channels, without bias
    ResidualQuantizer<B> rvq;
    static void visit(auto& self, auto&& f) {
      f("in_proj", self.in_proj);
      f("out_proj", self.out_proj);
      f("rvq", self.rvq);
    }
  };
  Branch semantic, acoustic;

  SplitResidualQuantizer(Context<B>& ctx, Config config_)
      : config(std::move(config_)),
        semantic(branch(ctx, config.semantic_levels, LevelDropout::none, 0x5E3A0000)),
        acoustic(branch(ctx, config.acoustic_levels, config.acoustic_dropout, 0xAC000000)) {}

  /// Quantizes x (N, T, channels). Losses are weighted by the number of levels of each side. Utterances that skip
  /// quantization keep their codes and their share of the losses. Throws ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const {
    check(x);
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x);
    const Quantized<B> s = semantic.rvq(project(frames, semantic)), a = acoustic.rvq(project(frames, acoustic));
    Quantized<B> out;
    out.codes = detail::join_levels(ctx, std::vector{s.codes, a.codes});
    out.loss = mixed(s.loss, a.loss);
    out.commitment = mixed(s.commitment, a.commitment);
    out.codebook = mixed(s.codebook, a.codebook);
    Var<B, 3> y = semantic.out_proj(s.quantized.frames) + acoustic.out_proj(a.quantized.frames);
    if (ctx.training() && config.skip_probability > 0) {
      UtteranceFlags quantized = ctx.empty_lengths(x.batch());
      const Draws draws = ctx.random().take(x.batch());
      for (long n = 0; n < x.batch(); ++n)
        quantized.data()[n] = static_cast<double>(draws.uniform(n)) >= config.skip_probability;
      y = choose_utterances(quantized, y, frames.back(frames.rows).frames);
    }
    out.quantized = x.with(y);
    return out;
  }
  /// Codes (N, T, semantic + acoustic levels); nothing is recorded.
  Codes<B> encode(const Sequence<B>& x) const {
    check(x);
    auto& ctx = x.context();
    const Unrecorded<B> unrecorded(ctx);
    const detail::RowsOf<B> frames(x.with(ctx.detach(x.frames)));
    return detail::join_levels(ctx, std::vector{semantic.rvq.encode(project(frames, semantic)),
                                                acoustic.rvq.encode(project(frames, acoustic))});
  }
  /// Frames (N, T, channels) of codes with all semantic and any number of acoustic levels. Throws ShapeError for
  /// others, and for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    const long first = config.semantic_levels;
    if (codes.extent(2) < first)
      throw ShapeError(
          concat("split_rvq: codes of shape ", text(codes.shape()), " lack some of the ", first, " semantic levels"));
    const auto s = semantic.rvq.decode(ctx, detail::take_levels(ctx, codes, 0, first));
    const auto a = acoustic.rvq.decode(ctx, detail::take_levels(ctx, codes, first, codes.extent(2) - first));
    return semantic.out_proj(s) + acoustic.out_proj(a);
  }
  /// Bits for each frame.
  double bits() const { return semantic.rvq.bits() + acoustic.rvq.bits(); }

  static void visit(auto& self, auto&& f) {
    f("semantic", self.semantic);
    f("acoustic", self.acoustic);
  }

 private:
  Branch branch(Context<B>& ctx, long levels, LevelDropout dropout, std::uint64_t purpose) const {
    if (levels < 1) throw ConfigError(concat("split_rvq: each side needs at least one level, got ", levels));
    return {Linear<B>(ctx, {.in = config.channels, .out = config.dims, .bias = false}),
            Linear<B>(ctx, {.in = config.dims, .out = config.channels, .bias = false}),
            ResidualQuantizer<B>(ctx, {.dims = config.dims,
                                       .levels = levels,
                                       .codebook = config.codebook,
                                       .dropout = dropout,
                                       .purpose = purpose})};
  }
  void check(const Sequence<B>& x) const {
    check_channels("split_rvq", x.frames.shape(), config.channels, "the projections");
  }
  static Sequence<B> project(const detail::RowsOf<B>& frames, const Branch& side) {
    return frames.back(side.in_proj(frames.rows));
  }
  Var<B, 0> mixed(const Var<B, 0>& s, const Var<B, 0>& a) const {
    if (!s || !a) return s ? s : a;
    const double all = static_cast<double>(config.semantic_levels + config.acoustic_levels);
    return typename B::Scalar(static_cast<double>(config.semantic_levels) / all) * s +
           typename B::Scalar(static_cast<double>(config.acoustic_levels) / all) * a;
  }
};

}  // namespace phonaut
