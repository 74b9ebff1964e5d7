#pragma once
// Grouped residual vector quantization: the channels are cut into equal parts, each with a residual quantizer of its
// own. D. Yang et al., "HiFi-Codec: Group-residual Vector quantization for High Fidelity Audio Codec", 2023.
#include <vector>

#include "phonaut/quantizers/rvq.hpp"

namespace phonaut {

/// Codes (N, T, groups · levels): all levels of the first group, then those of the second, …
template <class B>
struct GroupedResidualQuantizer {
  struct Config {
    long dims = 0;
    long groups = 2;
    typename ResidualQuantizer<B>::Config group = {};  ///< of each group; its dims and purpose are set here
  } config;
  std::vector<ResidualQuantizer<B>> groups;

  GroupedResidualQuantizer() = default;
  /// Throws ConfigError unless the channels can be cut into equal parts.
  GroupedResidualQuantizer(Context<B>& ctx, Config config_) : config(std::move(config_)) {
    if (config.groups < 1 || config.dims < 1 || config.dims % config.groups != 0)
      throw ConfigError(
          concat("grouped_rvq: ", config.dims, " channels cannot be cut into ", config.groups, " equal groups"));
    config.group.dims = config.dims / config.groups;
    const std::uint64_t purpose = config.group.purpose;
    for (long g = 0; g < config.groups; ++g) {
      auto of_group = config.group;
      of_group.purpose = purpose + 0x10000 * static_cast<std::uint64_t>(g);
      groups.emplace_back(ctx, of_group);
    }
  }

  /// Quantizes x (N, T, dims). Losses are means over groups. Level dropout draws one depth for all groups of an
  /// utterance. Throws ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const {
    check(x);
    auto& ctx = x.context();
    const auto depths = ctx.training() ? groups.front().draw_depths(ctx, x.batch()) : std::vector<long>();
    const double share = 1.0 / static_cast<double>(config.groups);
    Quantized<B> out;
    std::vector<Codes<B>> codes;
    std::vector<Var<B, 3>> parts;
    for (size_t g = 0; g < groups.size(); ++g) {
      const Sequence<B> part = channels_of(x, static_cast<long>(g));
      const Quantized<B> y = depths.empty() ? groups[g](part) : groups[g](part, depths);
      codes.push_back(y.codes);
      parts.push_back(y.quantized.frames);
      detail::add_share(out.loss, y.loss, share);
      detail::add_share(out.commitment, y.commitment, share);
      detail::add_share(out.codebook, y.codebook, share);
    }
    out.codes = detail::join_levels(ctx, codes);
    out.quantized = x.with(concatenate(parts, 2));
    return out;
  }
  /// Codes (N, T, groups · depth) of the first `depth` levels of each group (0: all); nothing is recorded.
  Codes<B> encode(const Sequence<B>& x, long depth = 0) const {
    check(x);
    std::vector<Codes<B>> codes;
    for (size_t g = 0; g < groups.size(); ++g)
      codes.push_back(groups[g].encode(channels_of(x, static_cast<long>(g)), depth));
    return detail::join_levels(x.context(), codes);
  }
  /// Frames (N, T, dims) of codes (N, T, groups · any number of levels). Throws ShapeError for codes out of range or
  /// levels that cannot be shared out.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    if (codes.extent(2) % config.groups != 0)
      throw ShapeError(concat("grouped_rvq: codes of shape ", text(codes.shape()), " cannot be shared out to ",
                              config.groups, " groups"));
    const long depth = codes.extent(2) / config.groups;
    std::vector<Var<B, 3>> parts;
    for (size_t g = 0; g < groups.size(); ++g)
      parts.push_back(groups[g].decode(ctx, detail::take_levels(ctx, codes, static_cast<long>(g) * depth, depth)));
    return concatenate(parts, 2);
  }
  /// Bits for each frame with `depth` levels in each group (0: all).
  double bits(long depth = 0) const { return static_cast<double>(config.groups) * groups.front().bits(depth); }

  static void visit(auto& self, auto&& f) { f("groups", self.groups); }

 private:
  void check(const Sequence<B>& x) const {
    check_channels("grouped_rvq", x.frames.shape(), config.dims, "the codebooks");
  }
  Sequence<B> channels_of(const Sequence<B>& x, long g) const {
    const long each = config.group.dims;
    return x.with(packed(slice(x.frames, 2, g * each, (g + 1) * each)));
  }
};

}  // namespace phonaut
