#pragma once
// The prediction of multi-codebook indices by a student, each book conditioned on those before it. L. Guo et al.,
// "Predicting Multi-Codebook Vector Quantization Indexes for Knowledge Distillation", 2023.
#include <algorithm>
#include <cmath>
#include <vector>

#include "phonaut/layers/embedding.hpp"
#include "phonaut/layers/linear.hpp"
#include "phonaut/losses/cross_entropy.hpp"
#include "phonaut/ops/formula/activation.hpp"
#include "phonaut/ops/map.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

/// Logits of book i: V_i x + b_i + W_i relu(U x + s Σ_{j<i} embedding of code j), s = √(hidden / books) / 2; without
/// `joint`, only V_i x + b_i. The loss is their cross-entropy against the codes.
template <class B>
struct MultiCodebookPrediction {
  struct Config {
    long channels = 0;  ///< of the student's frames
    long hidden = 512;
    long books = 8, entries = 256;
    bool joint = true;
    Reduction reduction = Reduction::sum;
  } config;
  Linear<B> linear1;                ///< U: channels -> hidden
  Embedding<B> codebook_embedding;  ///< of all books but the last, ((books - 1) · entries, hidden)
  Param<B, 3> linear2_weight;       ///< W (books, entries, hidden)
  Param<B, 3> linear2b_weight;      ///< V (books, entries, channels)
  Param<B, 2> linear2_bias;         ///< b (books, entries)

  /// Throws ConfigError for fewer than two books, which need no conditioning.
  MultiCodebookPrediction(Context<B>& ctx, Config config_)
      : config(checked(config_)),
        linear1(ctx, {.in = config.channels, .out = config.hidden}),
        codebook_embedding(ctx, {.entries = (config.books - 1) * config.entries, .dim = config.hidden}) {
    const auto deviation = [](long n) { return Init::normal(1 / std::sqrt(static_cast<double>(n))); };
    auto& embeddings = codebook_embedding.weight;
    assign(ctx.backend(), embeddings.tensor(),
           draw<typename B::Scalar>(ctx, embeddings.size(), deviation(config.hidden)));
    linear2_weight = make_param(ctx, Shape<3>{config.books, config.entries, config.hidden}, deviation(config.hidden));
    linear2b_weight =
        make_param(ctx, Shape<3>{config.books, config.entries, config.channels}, deviation(config.channels));
    linear2_bias = make_param(ctx, Shape<2>{config.books, config.entries}, Init::constant(0));
  }

  /// Loss of the student's frames x (N, T, channels) against codes (N, T, books). Frames behind a length, and codes
  /// that are negative, do not count. Throws ShapeError if they do not fit, or for codes out of range.
  Var<B, 0> operator()(const Sequence<B>& x, const Codes<B>& codes) const {
    check_channels("mvq_prediction", x.frames.shape(), config.channels, "the prediction");
    if (codes.shape() != Shape<3>{x.batch(), x.time(), config.books})
      throw ShapeError(concat("mvq_prediction: frames are ", text(x.frames.shape()), " and codes ", text(codes.shape()),
                              ", but there are ", config.books, " books"));
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x);
    const auto host = host_codes(ctx, codes);
    std::vector<std::int32_t> real;
    for (long n = 0; n < x.batch(); ++n) {
      const auto from = host.begin() + static_cast<std::ptrdiff_t>(n * x.time() * config.books);
      real.insert(real.end(), from, from + static_cast<std::ptrdiff_t>(x.length(n) * config.books));
    }
    return rows_loss(frames.rows, real);
  }
  /// The same for rows (rows, channels) and their codes (rows · books) on the host.
  Var<B, 0> rows_loss(const Var<B, 2>& x, const std::vector<std::int32_t>& codes) const {
    using S = typename B::Scalar;
    auto& ctx = x.context();
    const long rows = x.extent(0), books = config.books, k = config.entries;
    if (static_cast<long>(codes.size()) != rows * books)
      throw ShapeError(concat("mvq_prediction: ", rows, " rows of ", books, " books need ", rows * books,
                              " codes, got ", codes.size()));
    for (const std::int32_t code : codes)
      if (code >= k) throw ShapeError(concat("mvq_prediction: code ", code, " is beyond the ", k, " entries"));
    const auto column = [&](long book, long offset) {
      Labels<B> one = ctx.template empty_of<std::int32_t, 1>({rows});
      detail::fill_from_host(ctx, one, [&](std::int32_t* to) {
        for (long r = 0; r < rows; ++r) {
          const std::int32_t code = codes[static_cast<size_t>(r * books + book)];
          // Rows without codes take part with any embedding: their loss is left out.
          to[r] = offset < 0 ? code : std::max(code, std::int32_t(0)) + static_cast<std::int32_t>(offset);
        }
      });
      return one;
    };
    const auto part = [&](const Param<B, 3>& weight, long book) {
      const auto one = slice(ctx.lift(weight), 0, book, book + 1);
      return reshape(one, Shape<2>{k, weight.extent(2)});
    };
    const S scale = S(0.5 * std::sqrt(static_cast<double>(config.hidden) / static_cast<double>(books)));
    Var<B, 2> hidden;
    if (config.joint) hidden = linear1(x);
    Var<B, 0> total;
    for (long i = 0; i < books; ++i) {
      const Var<B, 1> bias = reshape(slice(ctx.lift(linear2_bias), 0, i, i + 1), Shape<1>{k});
      Var<B, 2> logits = linear(x, part(linear2b_weight, i), bias);
      if (config.joint) {
        if (i > 0) hidden = hidden + scale * codebook_embedding(ctx, column(i - 1, (i - 1) * k));
        logits = logits + linear(map(hidden, formula::Relu{}), part(linear2_weight, i));
      }
      const Var<B, 0> term = cross_entropy(logits, column(i, -1), {.reduction = Reduction::sum});
      total = total ? total + term : term;
    }
    if (config.reduction == Reduction::sum) return total;
    const auto counted = std::count_if(codes.begin(), codes.end(), [](std::int32_t code) { return code >= 0; });
    return S(counted > 0 ? 1.0 / static_cast<double>(counted) : 0.0) * total;
  }

  static void visit(auto& self, auto&& f) {
    f("linear1", self.linear1);
    f("codebook_embedding", self.codebook_embedding);
    f("linear2_weight", self.linear2_weight);
    f("linear2b_weight", self.linear2b_weight);
    f("linear2_bias", self.linear2_bias);
  }

 private:
  static Config checked(const Config& config) {
    if (config.books < 2)
      throw ConfigError(concat("mvq_prediction: conditions books on each other, so it needs two, got ", config.books));
    return config;
  }
};

}  // namespace phonaut
