#pragma once
// Multi-codebook vector quantization: a vector is the sum of one entry of each of several codebooks, which are learned
// together and searched together. L. Guo et al., "Predicting Multi-Codebook Vector Quantization Indexes for Knowledge
// Distillation", 2023 (the package multi_quantization).
#include <cmath>
#include <vector>

#include "phonaut/core/full_precision.hpp"
#include "phonaut/layers/linear.hpp"
#include "phonaut/losses/cross_entropy.hpp"
#include "phonaut/losses/diversity.hpp"
#include "phonaut/losses/over_ranks.hpp"
#include "phonaut/losses/regression.hpp"
#include "phonaut/ops/broadcast.hpp"
#include "phonaut/ops/scale_by.hpp"
#include "phonaut/quantizers/codes.hpp"
#include "phonaut/quantizers/mvq_search.hpp"

namespace phonaut {

/// The terms of a multi-codebook quantizer's loss, over the frames of all ranks in training.
template <class B>
struct MvqTerms {
  Var<B, 0> reconstruction;   ///< Σ|x - x̂|² / Σ|x - mean|², the mean that of balanced codebooks, a constant
  Var<B, 0> log_probability;  ///< mean over frames and books of -log p(chosen): the logits learn the search's result
  Var<B, 0> logits_entropy;   ///< (log K - entropy of the mean p) / log K, mean over books: 0 where all are used alike
  double code_entropy = 0;    ///< the same of the chosen codes; has no gradient
};

/// x̂ = Σ over books of exp(s_c) center. Codes start as the largest of the logits W (exp(s_l) x) + b in each book, and
/// are refined by a joint search. Frames are data (a teacher's): no gradient reaches them but straight through.
template <class B>
struct MultiCodebookQuantizer {
  struct Config {
    long dims = 0;
    long books = 8;  ///< a power of 2
    long entries = 256;
    long refinements = 5;       ///< rounds of search; 1 or 2 will do in training
    double scale_speed = 10;    ///< s = speed · parameter: how much faster than weights the scales learn
    double entropy_weight = 0;  ///< of the logits' entropy term
  } config;
  Linear<B> to_logits;  ///< dims -> books · entries
  Param<B, 3> centers;  ///< (books, entries, dims); start as the weights of the logits
  Param<B, 0> logits_scale, centers_scale;

  /// Throws ConfigError unless the number of books is a power of 2, for the search joins them in pairs, or for fewer
  /// than 2 entries.
  MultiCodebookQuantizer(Context<B>& ctx, Config config_)
      : config(config_), to_logits(ctx, {.in = config.dims, .out = config.books * config.entries}) {
    if (config.books < 1 || (config.books & (config.books - 1)) != 0)
      throw ConfigError(concat("mvq: the number of books must be a power of 2, got ", config.books));
    if (config.entries < 2) throw ConfigError(concat("mvq: a book needs at least 2 entries, got ", config.entries));
    centers = make_param(ctx, Shape<3>{config.books, config.entries, config.dims}, Init::constant(0));
    assign(ctx.backend(), centers.tensor(), values_of(ctx, to_logits.weight.tensor()));
    logits_scale = make_param(ctx, Shape<0>{}, Init::constant(0));
    centers_scale = make_param(ctx, Shape<0>{}, Init::constant(0));
  }

  /// Quantizes x (N, T, dims). The loss is reconstruction + log probability + entropy_weight · logits' entropy.
  Quantized<B> operator()(const Sequence<B>& x) const {
    using S = typename B::Scalar;
    check(x);
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x);
    const auto code = search(ctx.detach(frames.rows), config.refinements);
    Quantized<B> out;
    out.codes = frames.codes_of(code, config.books);
    const Var<B, 2> value = value_of(ctx, code);
    const MvqTerms<B> t = terms(ctx.detach(frames.rows), code, value);
    out.loss = t.reconstruction + t.log_probability;
    if (config.entropy_weight != 0) out.loss = out.loss + S(config.entropy_weight) * t.logits_entropy;
    out.quantized = frames.back(straight_through(frames.rows, value.tensor()));
    return out;
  }
  /// Codes (N, T, books) after so many rounds of search (negative: as configured); nothing is recorded.
  Codes<B> encode(const Sequence<B>& x, long refinements = -1) const {
    check(x);
    auto& ctx = x.context();
    const detail::RowsOf<B> frames(x.with(ctx.detach(x.frames)));
    return frames.codes_of(search(frames.rows, refinements < 0 ? config.refinements : refinements), config.books);
  }
  /// Frames (N, T, dims) of codes (N, T, books); `no_code` adds nothing. Throws ShapeError for codes out of range.
  Var<B, 3> decode(Context<B>& ctx, const Codes<B>& codes) const {
    detail::check_codes("mvq", codes, config.books, config.entries);
    const Unrecorded<B> unrecorded(ctx);
    const Var<B, 2> scaled = scaled_centers(ctx);
    return detail::sum_of_entries(ctx, codes, config.dims, [&](long i) {
      return slice(scaled, 0, i * config.entries, (i + 1) * config.entries).in();
    });
  }
  /// The terms of the loss over rows x (rows, dims), with the codes after so many rounds of search.
  MvqTerms<B> losses(const Var<B, 2>& rows, long refinements) const {
    auto& ctx = rows.context();
    const Var<B, 2> x = ctx.detach(rows);
    const auto code = search(x, refinements);
    return terms(x, code, value_of(ctx, code));
  }
  /// A quantizer with entries² entries and half as many books, each of two of this one's: the same sums at first, from
  /// which training goes on. Throws ConfigError for a single book.
  MultiCodebookQuantizer product(Context<B>& ctx) const {
    if (config.books < 2) throw ConfigError("mvq: a single book has no other to be joined with");
    Config wide = config;
    wide.books /= 2;
    wide.entries *= config.entries;
    MultiCodebookQuantizer joined(ctx, wide);
    const auto pairs = [&](const auto& from, auto& to, long width) {
      const auto values = values_of(ctx, from);
      std::vector<typename B::Scalar> sums;
      const long k = config.entries;
      for (long book = 0; book < config.books; book += 2)
        for (long i = 0; i < k; ++i)
          for (long j = 0; j < k; ++j)
            for (long d = 0; d < width; ++d)
              sums.push_back(values[static_cast<size_t>((book * k + i) * width + d)] +
                             values[static_cast<size_t>(((book + 1) * k + j) * width + d)]);
      assign(ctx.backend(), to, sums);
    };
    pairs(centers.tensor(), joined.centers.tensor(), config.dims);
    pairs(to_logits.weight.tensor(), joined.to_logits.weight.tensor(), config.dims);
    pairs(to_logits.bias.tensor(), joined.to_logits.bias.tensor(), 1);
    assign(ctx.backend(), joined.centers_scale.tensor(), values_of(ctx, centers_scale.tensor()));
    assign(ctx.backend(), joined.logits_scale.tensor(), values_of(ctx, logits_scale.tensor()));
    return joined;
  }
  /// Bits for each frame.
  double bits() const { return static_cast<double>(config.books) * std::log2(static_cast<double>(config.entries)); }

  static void visit(auto& self, auto&& f) {
    f("to_logits", self.to_logits);
    f("centers", self.centers);
    f("logits_scale", self.logits_scale);
    f("centers_scale", self.centers_scale);
  }

 private:
  void check(const Sequence<B>& x) const { check_channels("mvq", x.frames.shape(), config.dims, "the centers"); }
  Var<B, 0> scale(Context<B>& ctx, const Param<B, 0>& parameter) const {
    return map(typename B::Scalar(config.scale_speed) * ctx.lift(parameter), formula::Exp{});
  }
  /// (books · entries, dims)
  Var<B, 2> scaled_centers(Context<B>& ctx) const {
    const Shape<2> flat{config.books * config.entries, config.dims};
    return reshape(scale_by(scale(ctx, centers_scale), ctx.lift(centers)), flat);
  }
  Var<B, 2> logits_of(const Var<B, 2>& x) const { return to_logits(scale_by(scale(x.context(), logits_scale), x)); }

  /// Codes (rows · books) of rows.
  Tensor<B, 1, std::int32_t> search(const Var<B, 2>& any, long refinements) const {
    using S = typename B::Scalar;
    using T = std::conditional_t<std::is_same_v<S, float>, float, double>;
    auto& ctx = any.context();
    const Unrecorded<B> unrecorded(ctx);
    const Var<B, 2> x = rowwise(any);
    const FullPrecision full(ctx);
    const long rows = x.extent(0), books = config.books, all = books * config.entries;
    const auto code = ctx.template empty_of<std::int32_t, 1>({rows * books});
    const Var<B, 1> best_of = reshape(logits_of(x), Shape<1>{rows * all});
    const auto logits = values_of(best_of);
    std::vector<std::int32_t> chosen(static_cast<size_t>(rows * books));
    for (size_t i = 0; i < chosen.size(); ++i) {
      const auto from = logits.begin() + static_cast<std::ptrdiff_t>(i) * config.entries;
      chosen[i] = static_cast<std::int32_t>(std::max_element(from, from + config.entries) - from);
    }
    if (refinements > 0 && rows > 0) {
      const Var<B, 2> c = scaled_centers(ctx);
      const auto products = values_of(linear(c, c)), points = values_of(linear(x, c));
      const auto plain = [](const std::vector<S>& from) {
        std::vector<T> to;
        to.reserve(from.size());
        for (const S& v : from) to.push_back(static_cast<T>(v));
        return to;
      };
      const detail::MvqProducts<T> known{books, config.entries, plain(products)};
      const std::vector<T> of_points = plain(points);
      detail::MvqSearch<T> search_one(known);
      for (long r = 0; r < rows; ++r)
        for (long i = 0; i < refinements; ++i)
          search_one.refine(&of_points[static_cast<size_t>(r * all)], &chosen[static_cast<size_t>(r * books)]);
    }
    detail::fill_from_host(ctx, code, [&](std::int32_t* to) { std::copy(chosen.begin(), chosen.end(), to); });
    return code;
  }
  /// x̂ (rows, dims) of codes (rows · books), added book by book as `decode` does.
  Var<B, 2> value_of(Context<B>& ctx, const Tensor<B, 1, std::int32_t>& code) const {
    const Var<B, 2> scaled = scaled_centers(ctx);
    const long rows = code.size() / config.books;
    Var<B, 2> total = ctx.constant(ctx.zeros(Shape<2>{rows, config.dims}));
    const auto one = [&] { return ctx.template empty_of<std::int32_t, 1>({rows}); };
    for (long i = 0; i < config.books; ++i) {
      const auto level = one();
      kernel::take_level(ctx.backend(), View<const std::int32_t, 2>(code.data(), {rows, config.books}), i,
                         level.data());
      total = total + embedding(ctx, level, packed(slice(scaled, 0, i * config.entries, (i + 1) * config.entries)));
    }
    return total;
  }
  MvqTerms<B> terms(const Var<B, 2>& x, const Tensor<B, 1, std::int32_t>& code, const Var<B, 2>& value) const {
    using S = typename B::Scalar;
    auto& ctx = x.context();
    const long rows = x.extent(0), books = config.books, k = config.entries;
    const double log_k = std::log(static_cast<double>(k));
    MvqTerms<B> t;
    // The mean of the data, if all entries are used alike: the sum of the books' means.
    const auto centers_now = values_of(ctx, scaled_centers(ctx).tensor());
    std::vector<S> mean(static_cast<size_t>(config.dims), S(0));
    for (size_t i = 0; i < centers_now.size(); ++i)
      mean[i % mean.size()] += centers_now[i] * S(1.0 / static_cast<double>(k));
    const Var<B, 1> shift = input(ctx, Shape<1>{config.dims}, mean);
    const S spread = item(sum_over_ranks(sum(map(add_channels(x, -shift), formula::Square{})))) + S(1e-20);
    t.reconstruction = (S(1) / spread) * sum_over_ranks(sum(map(value - x, formula::Square{})));
    const Var<B, 2> logits = logits_of(x);
    const auto frames = static_cast<double>(rows);
    t.log_probability =
        mean_over_ranks(cross_entropy(reshape(logits, Shape<2>{rows * books, k}), Labels<B>(code)), frames);
    const Var<B, 2> p = reshape(softmax(reshape(logits, Shape<3>{rows, books, k})), Shape<2>{rows, books * k});
    const Var<B, 1> mean_p = mean_over_ranks(column_mean(p), frames);
    const Var<B, 1> entropies = -sum_last(map(reshape(mean_p, Shape<2>{books, k}), formula::XLogX{}));
    const Var<B, 0> one = ctx.constant(ctx.full(Shape<0>{}, S(1)));
    t.logits_entropy = one - S(1 / log_k) * phonaut::mean(entropies);
    std::vector<double> counts(static_cast<size_t>(books * k + 1), 0.0);
    const auto host = host_codes(ctx, code);
    for (size_t i = 0; i < host.size(); ++i)
      counts[i % static_cast<size_t>(books) * static_cast<size_t>(k) + static_cast<size_t>(host[i])] += 1;
    counts.back() = frames;
    ctx.batch_ranks().all_reduce(counts.data(), static_cast<long>(counts.size()));
    const double all = counts.back();
    counts.pop_back();
    double entropy = 0;
    for (const double n : counts)
      if (n > 0) entropy -= n / all * std::log(n / all);
    t.code_entropy = 1 - entropy / (static_cast<double>(books) * log_k);
    return t;
  }
};

}  // namespace phonaut
