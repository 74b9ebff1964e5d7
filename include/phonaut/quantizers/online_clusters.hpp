#pragma once
// Clusters of a teacher's layers that follow it while it learns: the targets of DinoSR. A. H. Liu et al., "DinoSR:
// Self-Distillation and Online Clustering for Self-supervised Speech Representation Learning", 2023.
#include <cmath>
#include <vector>

#include "phonaut/quantizers/codebook.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

/// A codebook for each of several layers. An entry is the running sum of its points over their running count; those
/// that no frame of a step chose keep both. Codes (N, T, layers) are the labels that a student predicts.
template <class B>
struct OnlineClusters {
  struct Config {
    long dims = 0;
    long layers = 8;  ///< of the teacher, the uppermost ones in the paper
    long entries = 256;
    double decay = 0.9;
  } config;
  std::vector<Codebook<B>> layers;

  /// Entries start as noise of mean 0 and variance 1 in each dimension, which targets have that are normalised over
  /// time, each with a count of 1.
  OnlineClusters(Context<B>& ctx, Config config_) : config(std::move(config_)) {
    using S = typename B::Scalar;
    if (config.layers < 1) throw ConfigError(concat("online_clusters: needs at least one layer, got ", config.layers));
    for (long i = 0; i < config.layers; ++i) {
      Codebook<B>& book = layers.emplace_back(ctx, config.entries, config.dims);
      auto noise = draw<double>(ctx, config.entries * config.dims, Init::normal(1));
      for (long d = 0; d < config.dims; ++d) {
        double mean = 0, square = 0;
        for (long j = 0; j < config.entries; ++j) mean += noise[static_cast<size_t>(j * config.dims + d)];
        mean /= static_cast<double>(config.entries);
        for (long j = 0; j < config.entries; ++j) {
          double& v = noise[static_cast<size_t>(j * config.dims + d)];
          v -= mean;
          square += v * v;
        }
        const double deviation = std::sqrt(square / static_cast<double>(config.entries) + 1e-5);
        for (long j = 0; j < config.entries; ++j) noise[static_cast<size_t>(j * config.dims + d)] /= deviation;
      }
      const std::vector<S> values(noise.begin(), noise.end());
      assign(ctx.backend(), book.embedding.tensor(), values);
      assign(ctx.backend(), book.embedding_sum.tensor(), values);
    }
  }
  EmaRule rule() const { return {.decay = config.decay, .only_hit = true, .smoothing = EmaRule::Smoothing::clamp}; }

  /// Codes (N, T, layers) of the layers' frames (N, T, dims), normalised beforehand. In training the clusters then
  /// follow the real frames. No gradient. Throws ShapeError for another number of layers, or layers of other shapes.
  Codes<B> operator()(const std::vector<Sequence<B>>& targets) const { return run(targets, true); }
  /// The same codes; nothing changes.
  Codes<B> encode(const std::vector<Sequence<B>>& targets) const { return run(targets, false); }
  /// One step of one layer: the codes of points (rows, dims), after which its clusters follow them.
  Tensor<B, 1, std::int32_t> follow(Context<B>& ctx, long layer, const Tensor<B, 2>& points) const {
    const Codebook<B>& book = layers[static_cast<size_t>(layer)];
    const auto code = nearest_code(ctx, points, book.embedding.tensor());
    if (detail::rows_of_ranks(ctx, points.extent(0)).all > 0) book.update(ctx, points, code, rule(), {});
    return code;
  }
  /// Centroids (N, T, dims) of one layer's codes (N, T, 1); zero for `no_code`. Throws ShapeError for codes out of
  /// range or a layer that is not there.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes, long layer) const {
    if (layer < 0 || layer >= config.layers)
      throw ShapeError(concat("online_clusters: there is no layer ", layer, " of ", config.layers));
    detail::check_codes("online_clusters", codes, 1, config.entries);
    auto y = ctx.empty(Shape<3>{codes.extent(0), codes.extent(1), config.dims});
    kernel::look_up(ctx.backend(), layers[static_cast<size_t>(layer)].embedding.in(),
                    static_cast<const std::int32_t*>(codes.data()), false, as_rows(y.out()));
    return ctx.constant(std::move(y));
  }

  static void visit(auto& self, auto&& f) { f("layers", self.layers); }

 private:
  Codes<B> run(const std::vector<Sequence<B>>& targets, bool update) const {
    if (static_cast<long>(targets.size()) != config.layers)
      throw ShapeError(concat("online_clusters: there are ", targets.size(), " layers of targets, but ", config.layers,
                              " codebooks"));
    auto& ctx = targets.front().context();
    std::vector<Codes<B>> codes;
    for (long i = 0; i < config.layers; ++i) {
      const Sequence<B>& x = targets[static_cast<size_t>(i)];
      check_channels("online_clusters", x.frames.shape(), config.dims, "the codebooks");
      check_same_shape("online_clusters", "the first layer", targets.front().frames.shape(), "another",
                       x.frames.shape());
      const detail::RowsOf<B> frames(x.with(ctx.detach(x.frames)));
      const Tensor<B, 2> points = rowwise(frames.rows).tensor();
      codes.push_back(frames.empty_codes(1));
      frames.put(update && ctx.training()
                     ? follow(ctx, i, points)
                     : nearest_code(ctx, points, layers[static_cast<size_t>(i)].embedding.tensor()),
                 0, codes.back());
    }
    return detail::join_levels(ctx, codes);
  }
};

}  // namespace phonaut
