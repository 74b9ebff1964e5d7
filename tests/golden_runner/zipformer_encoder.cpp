// Handlers of whole Zipformers, with and without their stem, from stored weights and from weights by formula.
#include <cmath>
#include <map>

#include "golden.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "zipformer_streaming.hpp"
#include "zipformer_support.hpp"

namespace phonaut::golden {
namespace {

/// A configuration of the reference: lists with one entry per stack, or one entry for all of them.
ZipformerConfig config_of(const Config& c, bool causal, long output_downsample) {
  const auto downsampling = c.integers("downsampling_factor");
  const auto of_stack = [&](const char* key, size_t i) {
    const auto values = c.integers(key);
    if (values.size() != 1 && values.size() != downsampling.size())
      throw FormatError(concat(key, " has ", values.size(), " entries for ", downsampling.size(), " stacks"));
    return values.size() == 1 ? values[0] : values[i];
  };
  ZipformerConfig config;
  config.output_downsample = output_downsample;
  config.padding = Padding::reference;
  for (size_t i = 0; i < downsampling.size(); ++i)
    config.stacks.push_back({.dim = of_stack("encoder_dim", i),
                             .layers = of_stack("num_encoder_layers", i),
                             .heads = of_stack("num_heads", i),
                             .feedforward = of_stack("feedforward_dim", i),
                             .kernel = of_stack("cnn_module_kernel", i),
                             .downsample = downsampling[i],
                             .query_head = of_stack("query_head_dim", i),
                             .value_head = of_stack("value_head_dim", i),
                             .pos_head = of_stack("pos_head_dim", i),
                             .pos_dim = c.integer("pos_dim"),
                             .causal = causal});
  return config;
}

template <class B>
bool is_causal(const Golden<B>& g) {
  for (const SafetensorsInfo& entry : g.file().entries())
    if (entry.name.starts_with("weight.") && entry.name.ends_with("chunkwise_conv_scale")) return true;
  return false;
}

Chunking chunking_of(const Config& c) { return {c.integer("chunk", -1), c.integer("left", -1)}; }

const Register zipformer2_op("zipformer.zipformer2", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  Zipformer<B> encoder(g.context(), config_of(g.config, is_causal(g), g.shape("weight.downsample_output.bias").at(0)));
  g.load(encoder);
  if (is_streaming(g)) return streaming_zipformer2(g, encoder);
  g.no_other_gradients();
  // Without a mask everything is attended to, but lengths are still counted.
  const bool masked = g.has("input.key_padding_mask");
  const auto lengths = g.integers("input.x_lens");
  const auto x = g.sequence("x", "TNC", masked ? lengths_from_mask(g) : std::vector<long>());
  const auto outputs = encoder.stack_outputs(x, chunking_of(g.config));
  for (size_t i = 0; i < outputs.size(); ++i) g.mid("encoders." + std::to_string(i), outputs[i], "TNC");
  const auto full = encoder.concatenated(outputs);
  g.mid("full_dim", full, "TNC");
  const auto y = encoder.downsample_output(full);
  g.output("y", y, "TNC");
  const auto counted = Sequence<B>{full.frames, lengths_of(g.context(), lengths), 0};
  const long factor = encoder.config.output_downsample;
  g.output("y_lens", map_lengths(counted, [=](long n) { return (n + factor - 1) / factor; }));
});

const Register asr_encoder_op("zipformer.asr_encoder", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  const auto& c = g.config;
  ZipformerEncoder<B> model(g.context(), {.encoder = config_of(c, is_causal(g), 2),
                                          .features = c.integer("idim"),
                                          .channels = {c.integer("c1"), c.integer("c2"), c.integer("c3")}});
  g.load(model);
  if (is_streaming(g)) return streaming_asr_encoder(g, model);
  g.no_other_gradients();
  const auto x = g.sequence("features", "NTC", g.integers("input.feature_lens"));
  const auto embedded = model.encoder_embed(x);
  g.mid("embed", embedded, "NTC");
  const auto outputs = model.encoder.stack_outputs(embedded, chunking_of(c));
  for (size_t i = 0; i < outputs.size(); ++i) g.mid("encoder.encoders." + std::to_string(i), outputs[i], "TNC");
  const auto y = model.encoder.downsample_output(model.encoder.concatenated(outputs));
  g.output("encoder_out", y, "NTC");
  g.output("encoder_out_lens", y.lengths);
});

/// Weights by the formula of tests/golden/zipformer/README.md: seeded by the parameter's name.
std::vector<double> formula_weights(const std::string& name, const std::vector<long>& shape) {
  std::uint64_t seed = 0xcbf29ce484222325ull;
  for (const char letter : name) seed = (seed ^ static_cast<unsigned char>(letter)) * 0x100000001b3ull;
  const size_t dot = name.rfind('.');
  const std::string last = name.substr(dot + 1);
  const std::string before = dot == std::string::npos ? "" : name.substr(0, dot);
  const std::string owner = before.substr(before.rfind('.') == std::string::npos ? 0 : before.rfind('.') + 1);
  double fan_in = 1, centre = 0, spread = 0.1;
  long count = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    count *= shape[i];
    if (i > 0) fan_in *= static_cast<double>(shape[i]);
  }
  if (last == "bypass_scale") centre = 0.55, spread = 0.3;
  else if (last == "log_scale") centre = 0.3, spread = 0.3;
  else if (last == "chunkwise_conv_scale") spread = 0.5;
  else if (last == "bias" && (owner == "downsample" || owner == "downsample_output")) spread = 0.7;
  else if (last == "bias" && (owner == "norm" || owner == "out_norm")) spread = 0.3;
  else if (shape.size() >= 2) spread = std::sqrt(3 / fan_in);
  std::vector<double> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    std::uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    const double u = static_cast<double>(z >> 40) * 0x1p-24;
    values[i] = static_cast<float>(centre + spread * (2 * u - 1));
  }
  return values;
}

template <class B, size_t R>
double norm_of(Context<B>& ctx, const Tensor<B, R>& t) {
  double square = 0;
  for (auto v : values_of(ctx, t)) square += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(square);
}

/// L2 norm over the real frames.
template <class B>
double norm_of(const Sequence<B>& x) {
  return norm_of(x.context(), x.frames.tensor());
}

const Register full_op("zipformer.full", [](auto& g) {
  evaluation_only(g);
  using B = typename std::remove_reference_t<decltype(g)>::Backend;
  const auto& c = g.config;
  ZipformerEncoder<B> model(g.context(), {.encoder = config_of(c, c.flag("causal"), 2)});

  std::map<std::string, double> sums;
  long count = 0;
  for_each_param(model, [&](const std::string& name, auto& p) {
    const auto& shape = p.shape();
    const auto values = formula_weights(name, {shape.begin(), shape.end()});
    double sum = 0;
    for (double v : values) sum += v;
    sums[name] = sum;
    count += p.size();
    assign(g.context().backend(), p.tensor(), std::vector<typename B::Scalar>(values.begin(), values.end()));
  });
  const auto names = c.texts("param_names");
  std::vector<double> sums_in_order;
  for (const auto& [name, sum] : sums) sums_in_order.push_back(sum);
  const auto named = [](const auto& entry) { return entry.first; };
  std::vector<std::string> ours;
  std::transform(sums.begin(), sums.end(), std::back_inserter(ours), named);
  if (ours != names || count != c.integer("num_params"))
    throw FormatError(concat("the file names ", names.size(), " parameters of ", c.integer("num_params"),
                             " elements, the model has ", ours.size(), " of ", count, ", or they differ in name"));

  const auto x = g.sequence("features", "NTC", g.integers("input.feature_lens"));
  const auto embedded = model.encoder_embed(x);
  const auto outputs = model.encoder.stack_outputs(embedded, chunking_of(c));
  const auto y = model.encoder.downsample_output(model.encoder.concatenated(outputs));
  g.output("encoder_out", y, "NTC");
  g.output("encoder_out_lens", y.lengths);
  std::vector<double> norms;
  for (const auto& output : outputs) norms.push_back(norm_of(output));
  g.mid("weight_sum", sums_in_order);
  g.mid("embed_norm", std::vector<double>{norm_of(embedded)});
  g.mid("stack_output_norm", norms);

  // Norms of gradients: those above 1e-4 of the largest, within 1e-3 of their size.
  g.after_backward([&g, model](const Gradients<B>& gradients, Report& report) {
    std::map<std::string, double> found;
    for_each_param(model, [&](const std::string& name, const auto& p) {
      found[name] = gradients.has(p) ? norm_of(g.context(), gradients[p]) : 0;
    });
    const auto want = g.values("mid.grad_norm");
    const double largest = *std::max_element(want.begin(), want.end());
    size_t i = 0;
    for (const auto& [name, norm] : found) {
      const double expected = want.at(i++);
      if (expected > 1e-4 * largest && !(std::fabs(norm - expected) <= 1e-3 * expected))
        report.fail("mid.grad_norm", concat("the gradient of ", name, " has norm ", norm, ", wanted ", expected));
    }
  });
});

}  // namespace
}  // namespace phonaut::golden
