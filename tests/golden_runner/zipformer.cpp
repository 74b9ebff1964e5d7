// Handlers of the Zipformer's modules. Files use the reference's treatment of padding.
#include "golden.hpp"
#include "phonaut/encoders/zipformer/downsample.hpp"
#include "phonaut/encoders/zipformer/layer.hpp"
#include "phonaut/frontends/conv2d_subsampling.hpp"
#include "phonaut/ops/compact_positions.hpp"
#include "phonaut/ops/weighted_downsample.hpp"
#include "zipformer_streaming.hpp"
#include "zipformer_support.hpp"

namespace phonaut::golden {
namespace {

const Register bias_norm_op("zipformer.bias_norm", [](auto& g) {
  const auto x = g.input("x", "TNC");
  g.output("y", bias_norm(x, g.weight("bias", rank<1>), g.weight("log_scale", rank<0>)), "TNC");
});

/// Values and slopes on a regular range, and on arguments where a careless exponential overflows.
template <class F>
void swoosh(auto& g, const F& f) {
  for (const std::string tail : {"", "_extreme"}) {
    const auto x = g.input("x" + tail, rank<1>);
    g.output("y" + tail, map(x, f));
    std::vector<double> slopes;
    for (auto v : values_of(x)) slopes.push_back(static_cast<double>(f.slope(v)));
    g.output("deriv" + tail, slopes);
  }
}
const Register swoosh_l_op("zipformer.swoosh_l", [](auto& g) { swoosh(g, formula::SwooshL{}); });
const Register swoosh_r_op("zipformer.swoosh_r", [](auto& g) { swoosh(g, formula::SwooshR{}); });

const Register compact_rel_pos_op("zipformer.compact_rel_pos", [](auto& g) {
  long i = 0;
  for (const JsonValue& sizes : g.config.json().at("cases").items()) {
    const auto at = [&](size_t k) { return static_cast<long>(sizes.items().at(k).integer()); };
    const auto table = compact_positions(g.context(), at(1), at(2), at(0));
    const auto batched = reshape(table, Shape<3>{1, table.extent(0), table.extent(1)});
    // The reference builds its table in float32; the same tolerance holds for what it prints then.
    for (const std::string kind : {"pos_emb.", "pos_emb_f32ref."}) g.output(kind + std::to_string(i), batched, "NTC");
    ++i;
  }
});

/// The table of positions that a file gives: (1, 2T - 1, P) -> (2T - 1, P).
template <class B>
Var<B, 2> positions_of(Golden<B>& g) {
  const Var<B, 3> table = g.input("pos_emb", "NTC");
  return reshape(table, Shape<2>{table.extent(1), table.extent(2)});
}

const Register attn_weights_op("zipformer.attn_weights", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  const auto& c = g.config;
  const auto chunks = chunks_of(g);
  zipformer::AttentionWeights<B> layer(g.context(), {.dim = c.integer("D"),
                                                     .heads = c.integer("H"),
                                                     .query_head = c.integer("q"),
                                                     .pos_head = c.integer("p"),
                                                     .pos_dim = c.integer("P"),
                                                     .padding = Padding::reference});
  g.load(layer);
  if (is_streaming(g)) return streaming_attn_weights(g, layer, positions_of(g));
  const auto lengths = lengths_from_mask(g);
  const auto x = g.sequence("x", "TNC", lengths);
  const auto weights = layer(x, positions_of(g), chunks);
  if (g.has("output.dead_rows")) {
    const auto dead = g.integers("output.dead_rows");
    const long rows = static_cast<long>(dead.size()), keys = weights.extent(3);
    // Which rows have no allowed key follows from lengths and chunks.
    std::vector<long> found;
    const kernel::AttentionSpan span{x.length_data(), std::max(0L, chunks.frames), chunks.left_chunks, true};
    for (long n = 0; n < x.batch(); ++n)
      for (long t = 0; t < x.time(); ++t) found.push_back(span.keys_of(n, t, x.time(), keys).empty());
    g.output("dead_rows", found);
    g.output("attn_weights", weights, "HNTS", [=](long i) { return !dead[static_cast<size_t>(i / keys % rows)]; });
  } else {
    g.output("attn_weights", weights, "HNTS");
  }
});

const Register self_attention_op("zipformer.self_attention", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  zipformer::SelfAttention<B> layer(
      g.context(), {.dim = g.config.integer("D"), .heads = g.config.integer("H"), .value_head = g.config.integer("v")});
  g.load(layer);
  if (is_streaming(g)) return streaming_self_attention(g, layer);
  g.output("y", layer(g.sequence("x", "TNC"), g.input("attn_weights", "HNTS")), "TNC");
});

const Register nonlin_attention_op("zipformer.nonlin_attention", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  zipformer::NonlinAttention<B> layer(g.context(), {.dim = g.config.integer("D")});
  g.load(layer);
  if (is_streaming(g)) return streaming_nonlin_attention(g, layer);
  g.output("y", layer(g.sequence("x", "TNC"), g.input("attn_weights", "HNTS")), "TNC");
});

const Register feedforward_op("zipformer.feedforward", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  zipformer::FeedForward<B> layer(g.context(), {.dim = g.config.integer("D"), .hidden = g.config.integer("F")});
  g.load(layer);
  g.output("y", layer(g.sequence("x", "TNC")), "TNC");
});

const Register chunk_conv_op("zipformer.chunk_conv", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  zipformer::ChunkCausalConv<B> layer(g.context(), {.dim = g.config.integer("C"), .taps = g.config.integer("K")});
  g.load(layer);
  if (is_streaming(g)) return streaming_chunk_conv(g, layer);
  g.output("y", layer(g.sequence("x", "NCT"), g.config.integer("chunk")), "NCT");
});

const Register conv_module_op("zipformer.conv_module", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  zipformer::Convolution<B> layer(g.context(), {.dim = g.config.integer("D"),
                                                .taps = g.config.integer("K"),
                                                .causal = g.has("weight.depthwise_conv.causal_conv.weight"),
                                                .padding = Padding::reference});
  g.load(layer);
  if (is_streaming(g)) return streaming_conv_module(g, layer);
  const auto y = layer(g.sequence("x", "TNC", lengths_from_mask(g)), g.config.integer("chunk", -1));
  g.output("y", y.frames, "TNC");  // rows past a length count here
});

const Register bypass_op("zipformer.bypass", [](auto& g) {
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  typename zipformer::Bypass<B>::Config config{.dim = g.config.integer("C")};
  if (in_training(g)) {
    config.recipe = zipformer::share(training_of(g, {{"bypass_skip", {"u"}}}), Padding::reference);
    config.skip = g.config.number("skip_rate");
    config.least = g.config.number("scale_min");
    config.most = g.config.number("scale_max");
  }
  zipformer::Bypass<B> layer(g.context(), config);
  g.load(layer);
  g.output("y", layer(g.input("src_orig", "TNC"), g.input("src", "TNC")), "TNC");
});

const Register downsample_op("zipformer.downsample", [](auto& g) {
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  zipformer::Downsample<B> layer(g.context(), {.factor = g.config.integer("ds"), .padding = Padding::reference});
  g.load(layer);
  g.output("y", layer(g.sequence("x", "TNC")), "TNC");
});

const Register upsample_op("zipformer.upsample", [](auto& g) {
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  // The stack repeats frames inside of its bypass: y = a + (b - a) · scale with a = 0 and scale = 1 is repetition
  // alone.
  const auto x = g.input("x", "TNC");
  const long factor = g.config.integer("ds");
  const Var<B, 3> nothing =
      g.context().constant(g.context().zeros(Shape<3>{x.extent(0), factor * x.extent(1), x.extent(2)}));
  const Var<B, 1> whole = g.context().constant(g.context().full(Shape<1>{x.extent(2)}, typename B::Scalar(1)));
  g.output("y", bypass(nothing, x, whole, factor), "TNC");
});

const Register convnext_op("zipformer.convnext", [](auto& g) {
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  typename ConvNext<B>::Config config{.channels = g.config.integer("C")};
  if (in_training(g)) {
    ZipformerTraining training = training_of(g, {{"layer_drop", {"u"}}});
    training.stem_skip = g.config.number("layerdrop");
    config.recipe = zipformer::share(training, Padding::reference);
  }
  ConvNext<B> layer(g.context(), config);
  g.load(layer);
  g.output("y", layer(g.input("x", "NCTF")), "NCTF");
});

const Register conv2d_subsampling_op("zipformer.conv2d_subsampling", [](auto& g) {
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  const auto& c = g.config;
  ZipformerTraining training = ZipformerTraining::off();
  if (in_training(g)) {
    training = training_of(g, {{"layer_drop", {"u_layerdrop"}}, {"dropout", {"u_dropout"}}});
    training.stem_skip = c.number("layerdrop");
    training.dropout = c.number("dropout");
  }
  Conv2dSubsampling<B> layer(g.context(), {.features = c.integer("idim"),
                                           .out = c.integer("odim"),
                                           .channels = {c.integer("c1"), c.integer("c2"), c.integer("c3")},
                                           .padding = Padding::reference,
                                           .training = training});
  g.load(layer);
  if (is_streaming(g)) return streaming_conv2d_subsampling(g, layer);
  const auto y = layer(g.sequence("x", "NTC", g.integers("input.x_lens")));
  g.output("y", y.frames, "NTC");  // rows past a length count here
  g.output("y_lens", y.lengths);
});

const Register encoder_layer_op("zipformer.encoder_layer", [](auto& g) {
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  const auto& c = g.config;
  ZipformerTraining training = ZipformerTraining::off();
  if (in_training(g)) {
    training = training_of(g, {{"dropout", {"u_ff1_dropout", "u_ff2_dropout", "u_ff3_dropout"}},
                               {"attention_skip", {"u_attention_skip"}},
                               {"conv_skip", {"u_conv1_skip", "u_conv2_skip"}},
                               {"feed_forward2_skip", {"u_ff2_skip"}},
                               {"feed_forward3_skip", {"u_ff3_skip"}},
                               {"bypass_skip", {"u_bypass_skip"}}});
    training.dropout = c.number("dropout");
    training.attention_skip = training.conv_skip = training.feed_forward2_skip = training.feed_forward3_skip =
        c.number("skip");
    // Only their words tell such files from the others.
    if (g.file().note().find("replaced by the uniform distribution") != std::string::npos) training.even_attention = 1;
  }
  ZipformerLayer<B> layer(g.context(), {.dim = c.integer("D"),
                                        .heads = c.integer("H"),
                                        .feedforward = c.integer("F"),
                                        .kernel = c.integer("K"),
                                        .query_head = c.integer("q"),
                                        .value_head = c.integer("v"),
                                        .pos_head = c.integer("p"),
                                        .pos_dim = c.integer("P"),
                                        .causal = g.has("weight.conv_module1.depthwise_conv.causal_conv.weight"),
                                        .padding = Padding::reference,
                                        .training = training,
                                        .skip = training.on ? c.number("skip") : 0});
  g.load(layer);
  if (is_streaming(g)) return streaming_encoder_layer(g, layer, positions_of(g));
  g.no_other_gradients();
  const auto x = g.sequence("src", "TNC", lengths_from_mask(g));
  const auto positions = positions_of(g);
  const auto chunks = chunks_of(g);
  g.output("y", layer(x, positions, chunks), "TNC");
  if (g.has("mid.self_attn_weights")) {
    const auto weights = layer.self_attn_weights(x, positions, chunks);
    g.mid("feed_forward1", layer.feed_forward1(x), "TNC");
    const auto real = [&, lengths = x.lengths](long i) {  // (H, N, T, S)
      const long row = i / x.time(), t = row % x.time(), n = row / x.time() % x.batch();
      return !lengths || t < lengths.data()[n];
    };
    g.mid("self_attn_weights", weights, "HNTS", real);
  }
});

}  // namespace
}  // namespace phonaut::golden
