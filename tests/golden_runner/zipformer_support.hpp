#pragma once
// What the Zipformer's handlers share: lengths from masks, masks from chunks, files that ask for training.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "golden.hpp"
#include "phonaut/encoders/zipformer/chunks.hpp"
#include "phonaut/encoders/zipformer/training_config.hpp"
#include "phonaut/ops/attention_span.hpp"

namespace phonaut::golden {

/// Whether the file is of training with given draws.
template <class B>
bool in_training(const Golden<B>& g) {
  for (const SafetensorsInfo& entry : g.file().entries())
    if (entry.name == "input.u" || entry.name.starts_with("input.u_")) return true;
  return false;
}
/// Turns such files away.
template <class B>
void evaluation_only(const Golden<B>& g) {
  if (in_training(g)) throw Unsupported("training-only");
}

/// The recipe with the draws of a file: whatever may happen by chance happens, where its probability is not 0, and
/// utterances and channels are kept by the tensors `keys` of each kind, one for each time that it is drawn. Puts the
/// context into training mode.
template <class B>
ZipformerTraining training_of(Golden<B>& g, std::map<std::string, std::vector<std::string>> keys) {
  ZipformerTraining t;
  t.position_skip = 0;  // the files have their positions
  t.even_attention = 0;
  if (g.config.has("whitening_limit_override")) t.whitening_limit = g.config.number("whitening_limit_override");
  struct Kind {
    std::vector<std::vector<double>> values;
    size_t next = 0;
  };
  auto kinds = std::make_shared<std::map<std::string, Kind>>();
  for (const auto& [kind, names] : keys)
    for (const std::string& name : names) (*kinds)[kind].values.push_back(g.values("input." + name));
  t.draws = [kinds](const char* kind, long i) {
    if (std::string(kind) == "chance") return 0.0;
    Kind& k = kinds->at(kind);
    if (i == 0) ++k.next;
    return k.values.at(k.next - 1).at(static_cast<size_t>(i));
  };
  g.context().set_training(true);
  if (g.config.has("batch_count")) g.context().set_step(g.config.integer("batch_count"));
  return t;
}

/// Lengths from a mask (N, T) of padded frames; empty if the file has none. Throws FormatError if a frame behind a
/// padded one is not.
template <class B>
std::vector<long> lengths_from_mask(const Golden<B>& g, const std::string& key = "input.key_padding_mask") {
  if (!g.has(key)) return {};
  const long batch = g.shape(key)[0], time = g.shape(key)[1];
  const auto mask = g.integers(key);
  std::vector<long> lengths;
  for (long n = 0; n < batch; ++n) {
    const auto row = mask.begin() + n * time;
    const long length = std::find(row, row + time, 1) - row;
    if (std::count(row, row + time, 1) != time - length)
      throw FormatError(concat(key, ": row ", n, " has real frames behind padded ones"));
    lengths.push_back(length);
  }
  return lengths;
}

/// The chunks of a file, from its config; checked against its attention mask (1: hidden), if it has one.
template <class B>
zipformer::Chunks chunks_of(const Golden<B>& g) {
  const zipformer::Chunks chunks(Chunking{g.config.integer("chunk", -1), g.config.integer("left", -1)});
  if (!g.has("input.attn_mask")) return chunks;
  const auto mask = g.integers("input.attn_mask");
  const long time = g.shape("input.attn_mask")[0];
  const kernel::AttentionSpan span{nullptr, std::max(0L, chunks.frames), chunks.left_chunks, true};
  for (long t = 0; t < time; ++t) {
    const auto range = span.keys_of(0, t, time, time);
    for (long s = 0; s < time; ++s)
      if ((mask[static_cast<size_t>(t * time + s)] == 0) != (s >= range.begin && s < range.end))
        throw Unsupported("an attention mask that is not made of chunks");
  }
  return chunks;
}

}  // namespace phonaut::golden
