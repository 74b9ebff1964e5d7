#pragma once
// Vector quantization with one codebook. A. van den Oord et al., "Neural Discrete Representation Learning", 2017.
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/embedding.hpp"
#include "phonaut/ops/unit_rows.hpp"
#include "phonaut/quantizers/codebook.hpp"
#include "phonaut/quantizers/codes.hpp"
#include "phonaut/quantizers/rotation_trick.hpp"

namespace phonaut {

/// How the gradient of a quantized vector reaches the vector it came from.
enum class Estimator { straight_through, rotation };

/// Options of one codebook, shared by the quantizers that are made of several.
struct CodebookOptions {
  long entries = 1024;
  bool trained = false;        ///< by the gradient of the codebook loss; else the codebook follows running averages
  EmaRule rule = {};           ///< of the running averages
  long kmeans_iterations = 0;  ///< above 0: the first batch of training sets the entries by k-means
  double commitment_weight = 0.25;
  double codebook_weight = 1;  ///< of the codebook loss, where trained
  bool cosine = false;         ///< search among unit vectors, as by cosine; values stay as they are
  Estimator estimator = Estimator::straight_through;
};

/// One codebook with its rule: the part that vector and residual quantizers share. Works on rows (frames, D).
template <class B>
struct QuantizerLevel {
  CodebookOptions options;
  std::uint64_t purpose = 0;  ///< tells this codebook's draws of the step from others'
  Param<B, 2> table;          ///< (entries, D) where trained by gradient
  Codebook<B> book;           ///< else

  QuantizerLevel() = default;
  QuantizerLevel(Context<B>& ctx, long dims, const CodebookOptions& options_, std::uint64_t purpose_)
      : options(options_), purpose(purpose_) {
    if (options.trained) {
      if (options.entries < 1 || dims < 1)
        throw ConfigError(
            concat("codebook: needs at least one entry and one dimension, got ", options.entries, " x ", dims));
      table = make_param(ctx, Shape<2>{options.entries, dims}, Init::normal(1 / std::sqrt(static_cast<double>(dims))));
    } else {
      book = Codebook<B>(ctx, options.entries, dims, options.kmeans_iterations > 0);
    }
  }

  const Tensor<B, 2>& entries() const { return options.trained ? table.tensor() : book.embedding.tensor(); }
  long dims() const { return entries().extent(1); }
  /// Whether the entries mean something, or still wait for k-means.
  bool ready(Context<B>& ctx) const { return options.trained || book.ready(ctx); }

  Tensor<B, 1, std::int32_t> encode(const Var<B, 2>& x) const {
    auto& ctx = x.context();
    if (!options.cosine) return nearest_code(ctx, x.tensor(), entries());
    return nearest_code(ctx, unit_rows(ctx.detach(x), 1e-12).tensor(),
                        unit_rows(ctx.constant(entries()), 1e-12).tensor());
  }
  /// The entries of codes; zero for `no_code`.
  Tensor<B, 2> look_up(Context<B>& ctx, const Tensor<B, 1, std::int32_t>& code) const {
    auto q = ctx.empty(Shape<2>{code.size(), dims()});
    kernel::look_up(ctx.backend(), entries().in(), static_cast<const std::int32_t*>(code.data()), false, q.out());
    return q;
  }

  struct Result {
    Tensor<B, 1, std::int32_t> code;  ///< (rows)
    Tensor<B, 2> q;                   ///< (rows, D), constants
    Var<B, 0> commitment, codebook, loss;
  };
  /// Codes, values and losses of rows x. In training the codebook then follows its rule, after its entries were used.
  /// With ranks that train together, losses and codebook are those of the rows of all.
  Result operator()(const Var<B, 2>& any) const {
    using S = typename B::Scalar;
    auto& ctx = any.context();
    const Var<B, 2> x = rowwise(any);
    if (ctx.training() && !ready(ctx)) book.initialise(ctx, x.tensor(), options.kmeans_iterations, purpose);
    Result r;
    r.code = encode(x);
    r.q = look_up(ctx, r.code);
    const auto over_ranks = [&](const Var<B, 0>& mean) {
      return mean_over_ranks(mean, static_cast<double>(x.extent(0)));
    };
    r.commitment = over_ranks(mse_loss(x, ctx.constant(r.q)));
    r.loss = S(options.commitment_weight) * r.commitment;
    if (options.trained) {
      r.codebook = over_ranks(mse_loss(ctx.detach(x), embedding(ctx, r.code, table)));
      r.loss = r.loss + S(options.codebook_weight) * r.codebook;
    } else if (ctx.training()) {
      const long rows = detail::rows_of_ranks(ctx, x.extent(0)).all;
      if (rows == 0) return r;
      Tensor<B, 2> replacement;
      if (options.rule.revival != EmaRule::Revival::none)
        replacement =
            detail::rows_of(ctx, x.tensor(), detail::draw_rows(ctx.step_draws(purpose + 1), rows, book.entries()));
      book.update(ctx, x.tensor(), r.code, options.rule, replacement);
    }
    return r;
  }
  /// q with a gradient for x, by the estimator.
  Var<B, 2> estimate(const Var<B, 2>& x, const Tensor<B, 2>& q) const {
    return options.estimator == Estimator::rotation ? rotate_to(x, q) : straight_through(x, q);
  }

  static void visit(auto& self, auto&& f) {
    f("table", self.table);
    f("", self.book);
  }
};

namespace detail {

/// Frames (N, T, D) of codes (N, T, levels): the sum of their entries, level by level; `no_code` adds nothing.
template <class B>
Var<B, 3> sum_of_entries(Context<B>& ctx, const Codes<B>& codes, const std::vector<QuantizerLevel<B>>& levels) {
  return sum_of_entries(ctx, codes, levels.front().dims(),
                        [&](long i) { return levels[static_cast<size_t>(i)].entries().in(); });
}

}  // namespace detail

/// Each frame becomes the nearest entry of a codebook.
template <class B>
struct VectorQuantizer {
  struct Config {
    long dims = 0;
    CodebookOptions codebook = {};
  } config;
  QuantizerLevel<B> level;

  VectorQuantizer() = default;
  VectorQuantizer(Context<B>& ctx, Config config_)
      : config(std::move(config_)), level(ctx, config.dims, config.codebook, 0x7EC0) {}

  /// Quantizes x (N, T, dims). In training the codebook follows the data, so call it once for each batch (and not
  /// within `recompute`, which would call it twice). Throws ShapeError for other channels.
  Quantized<B> operator()(const Sequence<B>& x) const {
    check(x);
    const detail::RowsOf<B> frames(x);
    const auto r = level(frames.rows);
    Quantized<B> out;
    out.codes = frames.codes_of(r.code, 1);
    out.quantized = frames.back(level.estimate(frames.rows, r.q));
    out.commitment = r.commitment;
    out.codebook = r.codebook;
    out.loss = r.loss;
    return out;
  }
  /// Codes (N, T, 1) alone; nothing is recorded and nothing changes.
  Codes<B> encode(const Sequence<B>& x) const {
    check(x);
    const detail::RowsOf<B> frames(x);
    return frames.codes_of(level.encode(frames.rows), 1);
  }
  /// Frames (N, T, dims) of codes (N, T, 1); zero for `no_code`. Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    detail::check_codes("vq", codes, 1, config.codebook.entries);
    auto y = ctx.empty(Shape<3>{codes.extent(0), codes.extent(1), config.dims});
    kernel::look_up(ctx.backend(), level.entries().in(), static_cast<const std::int32_t*>(codes.data()), false,
                    as_rows(y.out()));
    return ctx.constant(std::move(y));
  }
  /// Bits for each frame.
  double bits() const { return std::log2(static_cast<double>(config.codebook.entries)); }

  static void visit(auto& self, auto&& f) { f("", self.level); }

 private:
  void check(const Sequence<B>& x) const { check_channels("vq", x.frames.shape(), config.dims, "the codebook"); }
};

}  // namespace phonaut
