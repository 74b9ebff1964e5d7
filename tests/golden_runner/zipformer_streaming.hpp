#pragma once
// Files of streaming steps: of one module with given caches, and of stems and encoders chunk by chunk. They have the
// ops of the files without streams; the handlers of those call these.
#include <string>
#include <vector>

#include "golden.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "zipformer_support.hpp"

namespace phonaut::golden {

/// Whether a file holds what streams remember, or goes chunk by chunk.
template <class B>
bool is_streaming(const Golden<B>& g) {
  for (const SafetensorsInfo& entry : g.file().entries())
    if (entry.name.starts_with("input.cache")) return true;
  return g.config.has("steps");
}

/// What stands in `past` for the next chunk: the reference moves on by the whole chunk of `time` frames.
template <class B>
Var<B, 3> next_past(const Past<B>& past, long time) {
  return slice(past.all, 1, time, past.all.extent(1));
}
/// (N, T, C) as the reference keeps the cache of NonlinAttention, (N, 1, T, C).
template <class B>
Var<B, 4> with_head(const Var<B, 3>& x) {
  return reshape(x, Shape<4>{x.extent(0), 1, x.extent(1), x.extent(2)});
}
template <class B>
Past<B> past_input(Golden<B>& g, const std::string& name) {
  return {g.input(name, "TNC"), {}};
}
template <class B>
Past<B> past_input_with_head(Golden<B>& g, const std::string& name) {
  const Var<B, 4> x = g.input(name, "HNTC");
  return {reshape(x, Shape<3>{x.extent(0), x.extent(2), x.extent(3)}), {}};
}
template <class B>
Past<B> past_input_of_conv(Golden<B>& g, const std::string& name) {
  return {g.input(name, "NCT"), {}};
}

/// Which keys are real, from a mask (N, L + T): streams begin behind masked keys and end before masked ones.
struct StreamMask {
  std::vector<long> first, lengths;  ///< first real key, real frames of the chunk; empty if there is no mask

  template <class B>
  StreamMask(const Golden<B>& g, long time) {
    const std::string key = "input.key_padding_mask";
    if (!g.has(key)) return;
    const long batch = g.shape(key)[0], keys = g.shape(key)[1];
    const auto mask = g.integers(key);
    for (long n = 0; n < batch; ++n) {
      const auto row = mask.begin() + n * keys;
      const long past = keys - time, begin = std::find(row, row + past, 0) - row;
      const long end = std::find(row + past, row + keys, 1) - row;
      if (std::count(row, row + keys, 0) != end - begin)
        throw Unsupported("a mask of keys that are not one after the other");
      first.push_back(begin);
      lengths.push_back(end - past);
    }
  }
  template <class B>
  zipformer::StreamStep step(Context<B>& ctx) const {
    return {first.empty() ? Lengths() : lengths_of(ctx, first), {}};
  }
};

template <class B>
void streaming_attn_weights(Golden<B>& g, const zipformer::AttentionWeights<B>& layer, const Var<B, 2>& positions) {
  const StreamMask mask(g, g.shape("input.x")[0]);
  const auto x = g.sequence("x", "TNC", mask.lengths);
  auto keys = past_input(g, "cached_key");
  g.output("attn_weights", layer(x, positions, mask.step(g.context()), keys), "HNTS");
  g.output("cached_key", next_past(keys, x.time()), "TNC");
}
template <class B>
void streaming_self_attention(Golden<B>& g, const zipformer::SelfAttention<B>& layer) {
  const auto x = g.sequence("x", "TNC");
  auto values = past_input(g, "cached_val");
  g.output("y", layer(x, g.input("attn_weights", "HNTS"), values), "TNC");
  g.output("cached_val", next_past(values, x.time()), "TNC");
}
template <class B>
void streaming_nonlin_attention(Golden<B>& g, const zipformer::NonlinAttention<B>& layer) {
  const auto x = g.sequence("x", "TNC");
  auto gated = past_input_with_head(g, "cached_x");
  g.output("y", layer(x, g.input("attn_weights", "HNTS"), gated), "TNC");
  g.output("cached_x", with_head(next_past(gated, x.time())), "HNTC");
}
template <class B>
void streaming_chunk_conv(Golden<B>& g, const zipformer::ChunkCausalConv<B>& layer) {
  const auto x = g.sequence("x", "NCT");
  auto before = past_input_of_conv(g, "cache");
  g.output("y", layer(x, before), "NCT");
  g.output("cache", next_past(before, x.time()), "NCT");
}
template <class B>
void streaming_conv_module(Golden<B>& g, const zipformer::Convolution<B>& layer) {
  const auto x = g.sequence("x", "TNC", lengths_from_mask(g));
  auto before = past_input_of_conv(g, "cache");
  g.output("y", layer(x, {}, before).frames, "TNC");  // rows past a length count here
  g.output("cache", next_past(before, x.time()), "NCT");
}
template <class B>
void streaming_encoder_layer(Golden<B>& g, const ZipformerLayer<B>& layer, const Var<B, 2>& positions) {
  const StreamMask mask(g, g.shape("input.src")[0]);
  const auto x = g.sequence("src", "TNC", mask.lengths);
  zipformer::LayerPast<B> past{past_input(g, "cached_key"),           past_input_with_head(g, "cached_nonlin_attn"),
                               past_input(g, "cached_val1"),          past_input(g, "cached_val2"),
                               past_input_of_conv(g, "cached_conv1"), past_input_of_conv(g, "cached_conv2")};
  g.output("y", layer(x, positions, mask.step(g.context()), past), "TNC");
  const auto next = [&](const Past<B>& p) { return next_past(p, x.time()); };
  g.output("cached_key", next(past.key), "TNC");
  g.output("cached_nonlin_attn", with_head(next(past.nonlin_attn)), "HNTC");
  g.output("cached_val1", next(past.val1), "TNC");
  g.output("cached_val2", next(past.val2), "TNC");
  g.output("cached_conv1", next(past.conv1), "NCT");
  g.output("cached_conv2", next(past.conv2), "NCT");
}

/// Frames first … first + count - 1 of x.
template <class B>
Sequence<B> frames_of(const Sequence<B>& x, long first, long count) {
  return {slice(x.frames, 1, first, first + count), {}, x.rate};
}
template <class B>
Sequence<B> joined(const std::vector<Sequence<B>>& parts) {
  std::vector<Var<B, 3>> frames;
  for (const auto& part : parts) frames.push_back(part.frames);
  return {concatenate(frames, 1), {}, parts.front().rate};
}

template <class B>
void streaming_conv2d_subsampling(Golden<B>& g, const Conv2dSubsampling<B>& layer) {
  const auto x = g.sequence("x", "NTC");
  const long chunk = g.config.integer("chunk");
  auto state = layer.start(x.batch());
  std::vector<Sequence<B>> y;
  for (long i = 0; i < g.config.integer("steps"); ++i) {
    y.push_back(layer(frames_of(x, 2 * chunk * i, layer.window_of(chunk)), state));
    const auto cache = g.context().constant(state.cached_left_pad.tensor());
    if (const auto name = "cached_left_pad." + std::to_string(i); g.has("output." + name))
      g.output(name, cache, "NCTF");
  }
  g.output("y", joined(y), "NTC");
}

/// The caches that the file holds of the state after a step; layers are counted through all stacks.
template <class B>
void compare_state(Golden<B>& g, const ZipformerState<B>& state, long step) {
  long count = 0;
  for (const auto& stack : state.layers)
    for (const auto& layer : stack) {
      const std::string prefix = "state_after_step" + std::to_string(step) + "." + std::to_string(count++) + ".";
      const auto show = [&](const char* name, const State<B, 3>& cache, const char(&axes)[4]) {
        if (g.has("output." + prefix + name)) g.output(prefix + name, g.context().constant(cache.tensor()), axes);
      };
      show("cached_key", layer.cached_key, "TNC");
      show("cached_val1", layer.cached_val1, "TNC");
      show("cached_val2", layer.cached_val2, "TNC");
      show("cached_conv1", layer.cached_conv1, "NCT");
      show("cached_conv2", layer.cached_conv2, "NCT");
      if (const std::string name = prefix + "cached_nonlin_attn"; g.has("output." + name))
        g.output(name, with_head(g.context().constant(layer.cached_nonlin_attn.tensor())), "HNTC");
    }
}

template <class B>
void streaming_zipformer2(Golden<B>& g, const Zipformer<B>& encoder) {
  const auto x = g.sequence("x", "TNC");
  const Chunking chunking{g.config.integer("chunk"), g.config.integer("left")};
  auto state = encoder.start(x.batch(), chunking);
  std::vector<ZipformerPick> picks;
  for (long i = 0; i < static_cast<long>(encoder.encoders.size()); ++i) picks.push_back({.stack = i});
  std::vector<std::vector<Sequence<B>>> found(picks.size());
  for (long step = 0; step < g.config.integer("steps"); ++step) {
    const auto outputs = encoder.encode(frames_of(x, chunking.frames * step, chunking.frames), picks, state);
    for (size_t i = 0; i < picks.size(); ++i) found[i].push_back(outputs[i]);
    compare_state(g, state, step);
  }
  std::vector<Sequence<B>> outputs;
  for (size_t i = 0; i < found.size(); ++i) {
    outputs.push_back(joined(found[i]));
    g.mid("encoders." + std::to_string(i), outputs.back(), "TNC");
  }
  g.mid("full_dim", encoder.concatenated(outputs), "TNC");
  // Once more, as a program streams that does not look inside.
  auto fresh = encoder.start(x.batch(), chunking);
  std::vector<Sequence<B>> y;
  for (long step = 0; step < g.config.integer("steps"); ++step)
    y.push_back(encoder(frames_of(x, chunking.frames * step, chunking.frames), fresh));
  g.output("y", joined(y), "TNC");
  g.output("y_simulated", encoder(x, chunking), "TNC");
}

template <class B>
void streaming_asr_encoder(Golden<B>& g, const ZipformerEncoder<B>& model) {
  const auto x = g.sequence("features", "NTC");
  const Chunking chunking{g.config.integer("chunk"), g.config.integer("left")};
  const long steps = g.config.integer("steps"), hop = 2 * chunking.frames;
  auto stem = model.encoder_embed.start(x.batch());
  auto state = model.start(x.batch(), chunking);
  std::vector<Sequence<B>> embedded, y;
  for (long i = 0; i < steps; ++i) {
    embedded.push_back(
        model.encoder_embed(frames_of(x, hop * i, model.encoder_embed.window_of(chunking.frames)), stem));
    // The encoder keeps the features that windows share, so each of them is fed once.
    const long from = i == 0 ? 0 : hop * i + 13, to = hop * (i + 1) + 13;
    y.push_back(model(frames_of(x, from, to - from), state));
  }
  g.output("embed", joined(embedded), "NTC");
  g.output("encoder_out", joined(y), "NTC");
}

}  // namespace phonaut::golden
