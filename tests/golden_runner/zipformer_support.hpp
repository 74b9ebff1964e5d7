#pragma once
// What the Zipformer's handlers share: lengths from masks, masks from chunks, files that ask for training.
#include <algorithm>
#include <string>
#include <vector>

#include "golden.hpp"
#include "phonaut/encoders/zipformer/chunks.hpp"
#include "phonaut/ops/attention_span.hpp"

namespace phonaut::golden {

/// Turns away files of training with given draws.
template <class B>
void evaluation_only(const Golden<B>& g) {
  for (const SafetensorsInfo& entry : g.file().entries()) {
    if (entry.name == "input.u" || entry.name.starts_with("input.u_")) throw Unsupported("training-only");
  }
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
