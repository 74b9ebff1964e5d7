#pragma once
// Labels from a quantizer that is never trained: frames are projected at random, and the nearest of random vectors is
// their label. C.-C. Chiu et al., "Self-supervised Learning with Random-projection Quantizer for Speech Recognition"
// (BEST-RQ), 2022; with several codebooks as in Y. Zhang et al., "Google USM", 2023.
#include <algorithm>
#include <cmath>
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/frontends/cmvn.hpp"
#include "phonaut/ops/linear.hpp"
#include "phonaut/ops/nearest_code.hpp"
#include "phonaut/ops/unit_rows.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

/// Projection and codebooks are drawn once, frozen and saved. Codes (N, T', books).
template <class B>
struct RandomProjectionQuantizer {
  struct Config {
    long features = 80;
    long stack = 4, stride = 4;  ///< frames joined to one target, and frames from one target to the next
    long dims = 16, entries = 8192, books = 1;
    bool normalise = true;  ///< each channel of an utterance to mean 0 and variance 1 first; else do it yourself
    double eps = 1e-5;      ///< added to the variance
  } config;
  State<B, 3> projection;  ///< (books, dims, stack · features), from Xavier's uniform distribution
  State<B, 3> codebook;    ///< (books, entries, dims), from N(0, 1); compared at unit length

  /// Throws ConfigError for a size below one.
  RandomProjectionQuantizer(Context<B>& ctx, Config config_) : config(config_) {
    if (std::min({config.features, config.stack, config.stride, config.dims, config.entries, config.books}) < 1)
      throw ConfigError(concat("random_projection: every size must be at least 1, got ", config.features,
                               " features, stack ", config.stack, ", stride ", config.stride, ", ", config.dims,
                               " dimensions, ", config.entries, " entries, ", config.books, " books"));
    using S = typename B::Scalar;
    const long wide = config.stack * config.features;
    projection = make_state<S>(ctx, Shape<3>{config.books, config.dims, wide},
                               Init::uniform(std::sqrt(6.0 / static_cast<double>(wide + config.dims))));
    codebook = make_state<S>(ctx, Shape<3>{config.books, config.entries, config.dims}, Init::normal(1));
  }

  /// Targets that an utterance of so many frames gives: incomplete stacks are dropped.
  long targets(long frames) const { return frames < config.stack ? 0 : (frames - config.stack) / config.stride + 1; }

  /// Stacks (N, T', stack · features) of x (N, T, features), normalised, zero where x is padding. Lengths count whole
  /// stacks of real frames. Throws ShapeError for other channels.
  Sequence<B> stacked(const Sequence<B>& x) const {
    check_channels("random_projection", x.frames.shape(), config.features, "the projection");
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x.with(ctx.detach(x.frames)));
    Sequence<B> clean = frames.back(frames.rows);
    if (config.normalise) clean = utterance_cmvn(clean, {.variance = true, .eps = config.eps});
    const long count = targets(x.time());
    std::vector<Var<B, 3>> parts;
    if (config.stack == config.stride) {
      parts.push_back(reshape(slice(clean.frames, 1, 0, count * config.stack),
                              Shape<3>{x.batch(), count, config.stack * config.features}));
    } else {
      for (long i = 0; i < count; ++i)
        parts.push_back(reshape(slice(clean.frames, 1, i * config.stride, i * config.stride + config.stack),
                                Shape<3>{x.batch(), 1, config.stack * config.features}));
      if (count == 0) parts.push_back(ctx.constant(ctx.zeros(Shape<3>{x.batch(), 0, config.stack * config.features})));
    }
    return {parts.size() == 1 ? parts.front() : concatenate(parts, 1),
            map_lengths(x, [this](long n) { return targets(n); }), x.rate / static_cast<double>(config.stride)};
  }
  /// Codes (N, T', books) of stacks: the entry of the largest cosine in each book; `no_code` in padding.
  Codes<B> encode_stacked(const Sequence<B>& stacks) const {
    check_channels("random_projection", stacks.frames.shape(), config.stack * config.features, "the projection");
    auto& ctx = stacks.context();
    const FullPrecision full(ctx);
    const detail::RowsOf<B> frames(stacks);
    const Codes<B> codes = frames.empty_codes(config.books);
    for (long b = 0; b < config.books; ++b)
      frames.put(nearest_code(ctx, unit_rows(linear(frames.rows, book(ctx, projection, b)), 1e-12).tensor(),
                              unit_rows(book(ctx, codebook, b), 1e-12).tensor()),
                 b, codes);
    return codes;
  }
  /// Codes (N, T', books) of features (N, T, features); nothing is recorded.
  Codes<B> encode(const Sequence<B>& x) const { return encode_stacked(stacked(x)); }
  /// Unit vectors (N, T', books · dims) of codes: points of the projected space, not features. Zero for `no_code`.
  /// Throws ShapeError for codes out of range or another number of books.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    detail::check_codes("random_projection", codes, config.books, config.entries);
    if (codes.extent(2) != config.books)
      throw ShapeError(
          concat("random_projection: codes of shape ", text(codes.shape()), " are not of ", config.books, " books"));
    std::vector<Var<B, 2>> directions;
    for (long b = 0; b < config.books; ++b) directions.push_back(unit_rows(book(ctx, codebook, b), 1e-12));
    return detail::entries_side_by_side(ctx, codes, config.dims,
                                        [&](long b) { return directions[static_cast<size_t>(b)].in(); });
  }
  /// Labels of a batch: codes with their vectors, of the stacks' lengths and rate. There is no loss and no gradient.
  Quantized<B> operator()(const Sequence<B>& x) const {
    const Sequence<B> stacks = stacked(x);
    Quantized<B> out;
    out.codes = encode_stacked(stacks);
    out.quantized = stacks.with(decode(x.context(), out.codes));
    return out;
  }
  /// Bits for each target.
  double bits() const { return static_cast<double>(config.books) * std::log2(static_cast<double>(config.entries)); }

  static void visit(auto& self, auto&& f) {
    f("projection", self.projection);
    f("codebook", self.codebook);
  }

 private:
  static Var<B, 2> book(Context<B>& ctx, const State<B, 3>& all, long b) {
    const auto one = slice(ctx.constant(all.tensor()), 0, b, b + 1);
    return reshape(one, Shape<2>{all.shape()[1], all.shape()[2]});
  }
};

}  // namespace phonaut
