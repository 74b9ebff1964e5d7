#pragma once
// Codes of a whole utterance: what does not change with time, such as the voice, is quantized once and given back to
// every frame, so that the codes of frames need not carry it. Y. Ren et al., "Fewer-token Neural Speech Codec with
// Time-invariant Codes" (TiCodec), 2024.
#include "phonaut/ops/frame_rate.hpp"
#include "phonaut/ops/mask_frames.hpp"
#include "phonaut/quantizers/grouped_rvq.hpp"

namespace phonaut {

/// The mean over an utterance's frames, cut into groups of channels, each quantized by a codebook of its own. Codes
/// (N, 1, groups); an utterance without frames has `no_code`.
template <class B>
struct GlobalQuantizer {
  struct Config {
    long dims = 0;
    long groups = 8;
    CodebookOptions codebook = {};
  } config;
  GroupedResidualQuantizer<B> groups;

  GlobalQuantizer() = default;
  /// Throws ConfigError unless the channels can be cut into equal groups.
  GlobalQuantizer(Context<B>& ctx, Config config_)
      : config(std::move(config_)),
        groups(ctx, {.dims = config.dims,
                     .groups = config.groups,
                     .group = {.levels = 1, .codebook = config.codebook, .purpose = 0x610BA1000}}) {}

  /// Quantizes the means of x (N, T, dims): the result is (N, 1, dims), which `spread` gives back to frames. Throws
  /// ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const { return groups(pooled(x)); }
  /// Codes (N, 1, groups) alone; nothing is recorded.
  Codes<B> encode(const Sequence<B>& x) const {
    const Unrecorded<B> unrecorded(x.context());
    return groups.encode(pooled(x));
  }
  /// Means (N, 1, dims) of codes (N, 1, groups); zero for `no_code`. Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const { return groups.decode(ctx, codes); }
  /// Bits for each utterance.
  double bits() const { return groups.bits(); }

  static void visit(auto& self, auto&& f) { f("", self.groups); }

 private:
  Sequence<B> pooled(const Sequence<B>& x) const {
    check_channels("global_codes", x.frames.shape(), config.dims, "the codebooks");
    const detail::RowsOf<B> frames(x);  // whatever stands in the padding, it is no number of ours
    return {reshape(mean_over_time(frames.back(frames.rows)), Shape<3>{x.batch(), 1, x.channels()}),
            map_lengths(x, [](long n) { return n > 0 ? 1L : 0L; }), 0};
  }
};

/// Frames x (N, T, C) plus their utterance's vector (N, 1, C); 0 in padding. Throws ShapeError if they do not fit.
template <class B>
Sequence<B> add_to_frames(const Sequence<B>& x, const Var<B, 3>& global) {
  if (global.shape() != Shape<3>{x.batch(), 1, x.channels()})
    throw ShapeError(
        concat("add_to_frames: frames ", text(x.frames.shape()), " do not fit vectors ", text(global.shape())));
  const Var<B, 3> everywhere = x.time() > 0 ? repeat_frames(Sequence<B>{global, {}, 0}, x.time()).frames : x.frames;
  return mask_frames(x.with(x.frames + everywhere));
}

}  // namespace phonaut
