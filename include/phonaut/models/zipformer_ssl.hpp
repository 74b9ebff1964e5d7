#pragma once
// Zipformer without labels: hidden spans of speech are predicted as clusters, as HuBERT does. Y. Yang et al., "k2SSL: A
// faster and better framework for self-supervised speech representation learning", 2024, and its icefall recipes.
#include <algorithm>
#include <string>
#include <vector>

#include "phonaut/encoders/zipformer/zipformer.hpp"
#include "phonaut/frontends/span_masks.hpp"
#include "phonaut/frontends/wav2vec2_stem.hpp"
#include "phonaut/layers/linear.hpp"
#include "phonaut/losses/masked_cross_entropy.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/ops/replace_frames.hpp"

namespace phonaut {

/// The axes of a weight in an icefall checkpoint, where they differ from ours: convolutions have their taps last.
///
///   load("ssl.safetensors", model, {.axes = icefall_ssl_axes});
///
/// scripts/icefall_to_safetensors makes that file.
inline std::vector<int> icefall_ssl_axes(const std::string& name) {
  const bool convolution = name.starts_with("feature_extractor.conv_layers.") && name.ends_with(".0.weight");
  return convolution ? std::vector<int>{0, 2, 1} : std::vector<int>{};
}

/// Waveform stem, layer norm, projection, hidden frames replaced by a learned vector, Zipformer at the stem's rate,
/// classes of frames:
///
/// ```
/// const Sequence<B> features = model.feature_extractor(waveform);
/// const std::vector<char> marks = draw_span_masks(features);
/// const Sequence<B> logits = model.predict(features, marks);
/// trainer.step(model.loss(features, logits, labels, marks));
/// ```
/// Weights carry the names of icefall's SSL checkpoints.
///
/// Batches: with Padding::reference the encoder is told of no padding, as in the recipe: padded frames are attended to
/// and convolved. With Padding::masked an utterance gives the same numbers alone and in any batch.
template <class B>
struct ZipformerSsl {
  /// The encoder of the recipe: Zipformer-M that keeps the rate of its input.
  static ZipformerConfig published_encoder() {
    ZipformerConfig c = ZipformerConfig::medium();
    c.output_downsample = 1;
    c.training.even_attention = 0;  // the recipe asks for its rate in a way that always gives 0
    return c;
  }
  struct Config {
    typename Wav2vec2Stem<B>::Config stem = {};  ///< its padding is that of the encoder
    ZipformerConfig encoder = published_encoder();
    long classes = 504;          ///< clusters, and the four special symbols of a dictionary
    double temperature = 0.1;    ///< logits are divided by it
    double stem_penalty = 10;    ///< weight of the mean square of what the stem puts out
    double unmasked_weight = 0;  ///< of frames that are not hidden
  };
  Config config;
  Wav2vec2Stem<B> feature_extractor;
  LayerNorm<B> layer_norm;
  Linear<B> post_extract_proj;
  Param<B, 1> mask_emb;  ///< (dim of the first stack), from U(0, 1)
  Zipformer<B> encoder;
  Linear<B> final_proj;

  /// Throws ConfigError for sizes that cannot be, an encoder that changes the rate, or a temperature that is not
  /// positive.
  ZipformerSsl(Context<B>& ctx, const Config& c)
      : config(checked(c)),
        feature_extractor(ctx, config.stem),
        layer_norm(ctx, {.dim = feature_extractor.channels()}),
        post_extract_proj(ctx, {.in = feature_extractor.channels(), .out = c.encoder.stacks.front().dim}),
        mask_emb(make_param(ctx, Shape<1>{c.encoder.stacks.front().dim}, Init::constant(0))),
        encoder(ctx, c.encoder),
        final_proj(ctx, {.in = c.encoder.width(), .out = c.classes}) {
    const Draws draws = ctx.random().take(mask_emb.size());
    std::vector<typename B::Scalar> start;
    for (long i = 0; i < mask_emb.size(); ++i) start.push_back(typename B::Scalar(draws.uniform(i)));
    assign(ctx.backend(), mask_emb.tensor(), start);
  }

  /// What the encoder makes of a waveform (N, samples) with nothing hidden: (N, T, width) at the stem's rate.
  Sequence<B> operator()(const Waveform<B>& x) const { return encoded(embedded(feature_extractor(x))); }
  /// What the picked layers and stacks make of it; see Zipformer::encode.
  std::vector<Sequence<B>> encode(const Waveform<B>& x, const std::vector<ZipformerPick>& picks) const {
    const Sequence<B> in = embedded(feature_extractor(x));
    if (!leaks(in)) return encoder.encode(in, picks);
    auto found = encoder.encode({in.frames, {}, in.rate}, picks);
    for (size_t i = 0; i < picks.size(); ++i) {
      const bool inner = picks[i].stack >= 0 && picks[i].layer >= 0;
      const long factor = inner ? config.encoder.stacks[static_cast<size_t>(picks[i].stack)].downsample : 1;
      found[i].lengths = map_lengths(in, [=](long n) { return (n + factor - 1) / factor; });
    }
    return found;
  }
  /// Logits (N, T, classes) for all frames of the stem's output, with those that `marks` (N · T, nonzero: hidden)
  /// chooses replaced by the mask embedding. Throws ShapeError for another number of marks.
  template <class Flags>
  Sequence<B> predict(const Sequence<B>& features, const Flags& marks) const {
    Sequence<B> x = embedded(features);
    x.frames = replace_frames(x.frames, marks, mask_emb);
    const Sequence<B> y = final_proj(encoded(x));
    return y.with(typename B::Scalar(1 / config.temperature) * y.frames);
  }
  /// Σ over the hidden frames of their cross-entropy, plus stem_penalty times their number times the mean square of the
  /// stem's output. A sum, as published: trainers divide by the number of hidden frames. Arguments as those of
  /// `predict` and `masked_cross_entropy`, and its errors.
  template <class Values, class Flags>
  Var<B, 0> loss(const Sequence<B>& features, const Sequence<B>& logits, const Values& labels,
                 const Flags& marks) const {
    using S = typename B::Scalar;
    const Var<B, 0> of_labels =
        masked_cross_entropy(logits, labels, marks, {.masked_weight = 1, .unmasked_weight = config.unmasked_weight});
    if (config.stem_penalty == 0) return of_labels;
    // The recipe's mean includes the padding.
    const bool exact = config.encoder.padding == Padding::masked;
    const Var<B, 2> rows = valid_frames(exact ? features : Sequence<B>{features.frames, {}, features.rate});
    return of_labels + S(config.stem_penalty * static_cast<double>(count_marks(logits, marks))) * mean(rows * rows);
  }
  /// Hidden frames that count: what trainers divide the loss by.
  template <class Flags>
  static long count_marks(const Sequence<B>& x, const Flags& marks) {
    long count = 0;
    for (long n = 0; n < x.batch(); ++n)
      for (long t = 0; t < x.length(n); ++t) count += std::data(marks)[n * x.time() + t] != 0;
    return count;
  }

  static void visit(auto& self, auto&& f) {
    f("feature_extractor", self.feature_extractor);
    f("layer_norm", self.layer_norm);
    f("post_extract_proj", self.post_extract_proj);
    f("mask_emb", self.mask_emb);
    f("encoder", self.encoder);
    f("final_proj", self.final_proj);
  }

 private:
  static Config checked(Config c) {
    if (c.encoder.stacks.empty()) throw ConfigError("zipformer_ssl: an encoder needs at least one stack");
    if (c.encoder.output_downsample != 1)
      throw ConfigError(concat("zipformer_ssl: every frame of the stem is predicted, but the encoder leaves one of ",
                               c.encoder.output_downsample));
    if (c.classes < 1 || !(c.temperature > 0))
      throw ConfigError(concat("zipformer_ssl: ", c.classes, " classes and a temperature of ", c.temperature,
                               " must both be positive"));
    c.stem.padding = c.encoder.padding;
    return c;
  }
  Sequence<B> embedded(const Sequence<B>& features) const { return post_extract_proj(layer_norm(features)); }
  /// Whether the encoder is kept from knowing the padding.
  bool leaks(const Sequence<B>& x) const { return config.encoder.padding == Padding::reference && x.padded(); }
  Sequence<B> encoded(const Sequence<B>& x) const {
    if (!leaks(x)) return encoder(x);
    Sequence<B> y = encoder({x.frames, {}, x.rate});
    y.lengths = x.lengths;
    return y;
  }
};

}  // namespace phonaut
