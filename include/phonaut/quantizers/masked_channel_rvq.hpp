#pragma once
// Masked-channel residual vector quantization: the first codebooks share the channels out among themselves, so that no
// single one of them takes most of the information. S. Ji et al., "Language-Codec: Bridging Discrete Codec
// Representations and Speech Language Models", 2024.
#include <vector>

#include "phonaut/quantizers/vq.hpp"

namespace phonaut {

/// Levels 0 … masked-1 see the input with only their own share of the channels kept (the others 0) and search in all
/// dimensions; level `masked` sees what their sum left over, and later ones the usual residual. Published code encodes
/// by another chain than it trains (a plain residual one); here the call, `encode` and `decode` are the same codes.
template <class B>
struct MaskedChannelQuantizer {
  struct Config {
    long dims = 0;
    long levels = 8;
    long masked = 3;  ///< level i < masked keeps channels ⌊i dims / masked⌋ … ⌊(i + 1) dims / masked⌋ - 1
    CodebookOptions codebook = {};
  } config;
  std::vector<QuantizerLevel<B>> levels;

  MaskedChannelQuantizer() = default;
  /// Throws ConfigError unless 0 <= masked <= levels and every share has a channel.
  MaskedChannelQuantizer(Context<B>& ctx, Config config_) : config(std::move(config_)) {
    if (config.levels < 1 || config.masked < 0 || config.masked > config.levels || config.masked > config.dims)
      throw ConfigError(concat("masked_channel_rvq: ", config.levels, " levels cannot begin with ", config.masked,
                               " that share ", config.dims, " channels"));
    for (long i = 0; i < config.levels; ++i)
      levels.emplace_back(ctx, config.dims, config.codebook, 0x3A5C00 + 256 * static_cast<std::uint64_t>(i + 1));
  }

  /// Quantizes x (N, T, dims): out = Σ q_i; losses are means over levels of mean (r_i - sg q_i)² of what level i saw.
  /// In training the codebooks follow the data, so call it once for each batch. Throws ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const {
    check_channels("masked_channel_rvq", x.frames.shape(), config.dims, "the codebooks");
    const detail::RowsOf<B> frames(x);
    const double share = 1.0 / static_cast<double>(config.levels);
    Quantized<B> out;
    out.codes = frames.empty_codes(config.levels);
    const Tensor<B, 2> total = each_level(frames.rows, [&](long i, const Var<B, 2>& seen) {
      const auto r = levels[static_cast<size_t>(i)](seen);
      frames.put(r.code, i, out.codes);
      detail::add_share(out.loss, r.loss, share);
      detail::add_share(out.commitment, r.commitment, share);
      detail::add_share(out.codebook, r.codebook, share);
      return r.q;
    });
    out.quantized = frames.back(levels.front().estimate(frames.rows, total));
    return out;
  }
  /// Codes (N, T, levels) alone; nothing is recorded and nothing changes.
  Codes<B> encode(const Sequence<B>& x) const {
    check_channels("masked_channel_rvq", x.frames.shape(), config.dims, "the codebooks");
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x.with(ctx.detach(x.frames)));
    const Codes<B> codes = frames.empty_codes(config.levels);
    each_level(frames.rows, [&](long i, const Var<B, 2>& seen) {
      const auto& level = levels[static_cast<size_t>(i)];
      const auto code = level.encode(seen);
      frames.put(code, i, codes);
      return level.look_up(ctx, code);
    });
    return codes;
  }
  /// Frames (N, T, dims) of codes (N, T, any number of levels): the sum of their entries; `no_code` adds nothing.
  /// Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    detail::check_codes("masked_channel_rvq", codes, config.levels, config.codebook.entries);
    return detail::sum_of_entries(ctx, codes, levels);
  }
  /// Bits for each frame.
  double bits() const {
    return static_cast<double>(config.levels) * std::log2(static_cast<double>(config.codebook.entries));
  }

  static void visit(auto& self, auto&& f) { f("levels", self.levels); }

 private:
  /// Calls quantize(i, what level i sees) -> q (rows, dims) level by level; returns their sum.
  template <class Quantize>
  Tensor<B, 2> each_level(const Var<B, 2>& rows, const Quantize& quantize) const {
    auto& ctx = rows.context();
    const Tensor<B, 2> total = ctx.zeros(rows.shape());
    Var<B, 2> residual = rows;
    for (long i = 0; i < config.levels; ++i) {
      if (i == config.masked && i > 0) residual = rows - ctx.constant(ctx.clone(total));
      const Tensor<B, 2> q = quantize(i, i < config.masked ? share_of(rows, i) : residual);
      kernel::accumulate(ctx.backend(), detail::flat(q), total.data());
      if (i >= config.masked) residual = residual - ctx.constant(q);
    }
    return total;
  }
  /// Rows with only the channels of level i, 0 elsewhere.
  Var<B, 2> share_of(const Var<B, 2>& rows, long i) const {
    return pad(slice(rows, 1, begin_of(i), begin_of(i + 1)), 1, begin_of(i), config.dims - begin_of(i + 1));
  }
  long begin_of(long i) const { return i * config.dims / config.masked; }
};

}  // namespace phonaut
