#pragma once
// The vocabulary of quantizers: codes, what a quantizer returns, how well a codebook is used.
#include <cmath>
#include <cstdint>
#include <vector>

#include "phonaut/core/unrecorded.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/frames.hpp"

namespace phonaut {

/// Codes (N, T, Q): Q of them for each frame. `no_code` stands in the padding and in levels that were dropped; it
/// decodes to zero.
template <class B>
using Codes = Tensor<B, 3, std::int32_t>;
constexpr std::int32_t no_code = -1;

/// What a quantizer makes of a batch.
template <class B>
struct Quantized {
  Sequence<B> quantized;  ///< the chosen values; their gradient goes on to the input (straight through). 0 in padding
  Codes<B> codes;
  Var<B, 0> loss;        ///< what training adds to its loss: the terms below, weighted
  Var<B, 0> commitment;  ///< mean (x - sg q)², unweighted; empty where the quantizer has none
  Var<B, 0> codebook;    ///< mean (sg x - q)², unweighted; empty where the codebook is not trained by gradient
};

/// How the entries of one codebook are used.
struct CodeUsage {
  std::vector<long> histogram;  ///< frames for each entry
  long frames = 0, used = 0;    ///< frames counted; entries that occur
  double perplexity = 0;        ///< exp of the entropy: how many entries it is as if were used, all equally often
  double coverage() const {
    return histogram.empty() ? 0 : static_cast<double>(used) / static_cast<double>(histogram.size());
  }
  double entropy_bits() const { return perplexity > 0 ? std::log2(perplexity) : 0; }
};

/// Usage from a histogram.
inline CodeUsage usage_of(std::vector<long> histogram) {
  CodeUsage usage;
  double entropy = 0;
  for (const long n : histogram) usage.frames += n, usage.used += n > 0;
  for (const long n : histogram)
    if (n > 0) {
      const double p = static_cast<double>(n) / static_cast<double>(usage.frames);
      entropy -= p * std::log(p);
    }
  usage.perplexity = usage.frames > 0 ? std::exp(entropy) : 0;
  usage.histogram = std::move(histogram);
  return usage;
}

/// The codes on the host, row-major.
template <class B, size_t R>
std::vector<std::int32_t> host_codes(Context<B>& ctx, const Tensor<B, R, std::int32_t>& codes) {
  if (!codes.contiguous()) throw ShapeError(concat("host_codes: codes ", text(codes.shape()), " must be packed"));
  std::vector<std::int32_t> host(static_cast<size_t>(codes.size()));
  kernel::download(ctx.backend(), host.data(), codes.data(), host.size() * sizeof(std::int32_t));
  return host;
}

/// Usage of level `level` of codes, over a codebook of `entries`. Throws ShapeError for a level or a code out of range.
template <class B>
CodeUsage code_usage(Context<B>& ctx, const Codes<B>& codes, long level, long entries) {
  if (level < 0 || level >= codes.extent(2))
    throw ShapeError(concat("code_usage: there is no level ", level, " in codes of shape ", text(codes.shape())));
  std::vector<long> histogram(static_cast<size_t>(entries), 0);
  const auto host = host_codes(ctx, codes);
  for (size_t i = static_cast<size_t>(level); i < host.size(); i += static_cast<size_t>(codes.extent(2))) {
    if (host[i] == no_code) continue;
    if (host[i] < 0 || host[i] >= entries)
      throw ShapeError(concat("code_usage: code ", host[i], " is beyond the ", entries, " entries"));
    ++histogram[static_cast<size_t>(host[i])];
  }
  return usage_of(std::move(histogram));
}

namespace kernel {

/// codes[rows[i], level] = from[i] (rows empty: i itself). `from` null: no_code.
template <class I>
void put_level(const Reference&, const I* from, const std::int32_t* rows, long count, long level, View<I, 2> codes) {
  for (long i = 0; i < count; ++i) codes.row(rows ? rows[i] : i)[level] = from ? from[i] : I(no_code);
}
/// to[i] = codes[i, level].
template <class I>
void take_level(const Reference&, View<const I, 2> codes, long level, I* to) {
  for (long i = 0; i < codes.shape[0]; ++i) to[i] = codes.row(i)[level];
}
/// y[i] (= or +=) table[code[i]]; zero for a negative code.
template <class S>
void look_up(const Reference&, View<const S, 2> table, const std::int32_t* code, bool add, View<S, 2> y) {
  for (long i = 0; i < y.shape[0]; ++i) {
    S* to = y.row(i);
    const S* from = code[i] < 0 ? nullptr : table.row(code[i]);
    for (long d = 0; d < y.shape[1]; ++d) {
      const S v = from ? from[d] : S(0);
      to[d] = add ? to[d] + v : v;
    }
  }
}
/// y[i] = x[i] - table[code[i]]: what an entry leaves over. y may be x.
template <class S>
void subtract_entries(const Reference&, View<const S, 2> x, View<const S, 2> table, const std::int32_t* code,
                      View<S, 2> y) {
  for (long i = 0; i < y.shape[0]; ++i)
    for (long d = 0; d < y.shape[1]; ++d) y.row(i)[d] = x.row(i)[d] - table.row(code[i])[d];
}
void subtract_entries(const Cpu& cpu, View<const float, 2> x, View<const float, 2> table, const std::int32_t* code,
                      View<float, 2> y);

void put_level(const Cuda& cuda, const std::int32_t* from, const std::int32_t* rows, long count, long level,
               View<std::int32_t, 2> codes);
void take_level(const Cuda& cuda, View<const std::int32_t, 2> codes, long level, std::int32_t* to);
void look_up(const Cuda& cuda, View<const float, 2> table, const std::int32_t* code, bool add, View<float, 2> y);
void subtract_entries(const Cuda& cuda, View<const float, 2> x, View<const float, 2> table, const std::int32_t* code,
                      View<float, 2> y);

}  // namespace kernel

/// q in value, with x's gradient: y = x + sg(q - x) without its rounding, in training and inference alike. Shares the
/// memory of q. Throws ShapeError if the shapes differ. Y. Bengio et al., "Estimating or Propagating Gradients Through
/// Stochastic Neurons for Conditional Computation", 2013.
template <class B, size_t R>
Var<B, R> straight_through(const Var<B, R>& x, const Tensor<B, R>& q) {
  check_same_shape("straight_through", "x", x.shape(), "q", q.shape());
  return record(
      q, [x](Context<B>& ctx, const Tensor<B, R>& dy) { detail::hand_on(ctx, dy, x); }, x);
}

namespace detail {

/// Rows of a padded batch, and the way back: what quantizers do around their work on rows.
template <class B>
struct RowsOf {
  Sequence<B> batch;
  FrameRows<B> index;  ///< empty where nothing is padded
  Var<B, 2> rows;

  explicit RowsOf(const Sequence<B>& x) : batch(x) {
    check_lengths("quantizer", x);
    if (x.padded()) index = valid_rows(x);
    rows = x.padded() ? take_rows(x.frames, index) : reshape(x.frames, Shape<2>{x.batch() * x.time(), x.channels()});
  }
  Sequence<B> back(const Var<B, 2>& y) const {
    if (!batch.padded()) return batch.with(reshape(y, Shape<3>{batch.batch(), batch.time(), y.extent(1)}));
    return batch.with(put_rows(y, index, batch.batch(), batch.time()));
  }
  /// Codes of no level yet: all `no_code`.
  Codes<B> empty_codes(long levels) const {
    auto& ctx = batch.context();
    Codes<B> codes = ctx.template empty_of<std::int32_t, 3>({batch.batch(), batch.time(), levels});
    kernel::put_level(ctx.backend(), static_cast<const std::int32_t*>(nullptr), nullptr, codes.size(), 0,
                      View<std::int32_t, 2>(codes.data(), {codes.size(), 1}));
    return codes;
  }
  void put(const Tensor<B, 1, std::int32_t>& level_codes, long level, const Codes<B>& codes) const {
    kernel::put_level(batch.context().backend(), static_cast<const std::int32_t*>(level_codes.data()),
                      index ? static_cast<const std::int32_t*>(index.data()) : nullptr, level_codes.size(), level,
                      as_rows(codes.out()));
  }
  /// Codes of all levels, a row of them for each real frame: (rows · levels). Shares their memory where nothing is
  /// padded.
  Codes<B> codes_of(const Tensor<B, 1, std::int32_t>& all, long levels) const {
    auto& ctx = batch.context();
    if (!batch.padded()) return Codes<B>(all.storage(), Shape<3>{batch.batch(), batch.time(), levels});
    const Codes<B> codes = empty_codes(levels);
    const long count = levels > 0 ? all.size() / levels : 0;
    const auto one = ctx.template empty_of<std::int32_t, 1>({count});
    for (long i = 0; i < levels; ++i) {
      kernel::take_level(ctx.backend(), View<const std::int32_t, 2>(all.data(), {count, levels}), i, one.data());
      put(one, i, codes);
    }
    return codes;
  }
};

/// Levels first … first + count - 1 of codes, as codes of their own.
template <class B>
Codes<B> take_levels(Context<B>& ctx, const Codes<B>& codes, long first, long count) {
  const Codes<B> part = ctx.template empty_of<std::int32_t, 3>({codes.extent(0), codes.extent(1), count});
  const long rows = codes.extent(0) * codes.extent(1);
  const auto one = ctx.template empty_of<std::int32_t, 1>({rows});
  for (long i = 0; i < count; ++i) {
    kernel::take_level(ctx.backend(), View<const std::int32_t, 2>(as_rows(codes.in())), first + i, one.data());
    kernel::put_level(ctx.backend(), static_cast<const std::int32_t*>(one.data()), nullptr, rows, i,
                      as_rows(part.out()));
  }
  return part;
}
/// The levels of all parts, one part behind the other.
template <class B>
Codes<B> join_levels(Context<B>& ctx, const std::vector<Codes<B>>& parts) {
  long levels = 0;
  for (const Codes<B>& part : parts) levels += part.extent(2);
  const Codes<B> all =
      ctx.template empty_of<std::int32_t, 3>({parts.front().extent(0), parts.front().extent(1), levels});
  const long rows = all.extent(0) * all.extent(1);
  const auto one = ctx.template empty_of<std::int32_t, 1>({rows});
  long at = 0;
  for (const Codes<B>& part : parts)
    for (long i = 0; i < part.extent(2); ++i) {
      kernel::take_level(ctx.backend(), View<const std::int32_t, 2>(as_rows(part.in())), i, one.data());
      kernel::put_level(ctx.backend(), static_cast<const std::int32_t*>(one.data()), nullptr, rows, at++,
                        as_rows(all.out()));
    }
  return all;
}

/// to += share · term; parts of a quantizer may have no such loss.
template <class B>
void add_share(Var<B, 0>& to, const Var<B, 0>& term, double share = 1) {
  if (!term) return;
  const Var<B, 0> part = share == 1 ? term : typename B::Scalar(share) * term;
  to = to ? to + part : part;
}

/// Rows of tables for each level of codes (N, T, levels), added into y (N, T, D) (or, with `add` false, put there):
/// those of level i into the columns of into(i), from table(i); `no_code` is 0.
template <class B, class Table, class Into>
void look_up_levels(Context<B>& ctx, const Codes<B>& codes, bool add, const Table& table, const Into& into) {
  const auto one = ctx.template empty_of<std::int32_t, 1>({codes.extent(0) * codes.extent(1)});
  for (long i = 0; i < codes.extent(2); ++i) {
    kernel::take_level(ctx.backend(), View<const std::int32_t, 2>(as_rows(codes.in())), i, one.data());
    kernel::look_up(ctx.backend(), table(i), static_cast<const std::int32_t*>(one.data()), add, into(i));
  }
}
/// Frames (N, T, D): the sum of the entries of all levels, entry tables (K, D) by table(i).
template <class B, class Table>
Var<B, 3> sum_of_entries(Context<B>& ctx, const Codes<B>& codes, long dims, const Table& table) {
  auto y = ctx.zeros(Shape<3>{codes.extent(0), codes.extent(1), dims});
  look_up_levels(ctx, codes, true, table, [&](long) { return as_rows(y.out()); });
  return ctx.constant(std::move(y));
}
/// Frames (N, T, levels · D): the entries of all levels side by side.
template <class B, class Table>
Var<B, 3> entries_side_by_side(Context<B>& ctx, const Codes<B>& codes, long dims, const Table& table) {
  auto y = ctx.empty(Shape<3>{codes.extent(0), codes.extent(1), codes.extent(2) * dims});
  look_up_levels(ctx, codes, false, table, [&](long i) {
    auto part = as_rows(y.out());
    advance(part, 1, i * dims);
    part.shape[1] = dims;
    return part;
  });
  return ctx.constant(std::move(y));
}

/// Throws ShapeError for codes that are neither `no_code` nor an entry.
template <class B>
void check_codes(const char* op, const Codes<B>& codes, long levels, long entries) {
  if (codes.extent(2) > levels)
    throw ShapeError(concat(op, ": codes of shape ", text(codes.shape()), " have ", codes.extent(2),
                            " levels, but the quantizer has ", levels));
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>)
    for (long i = 0; i < codes.size(); ++i)
      if (codes.data()[i] < no_code || codes.data()[i] >= entries)
        throw ShapeError(concat(op, ": code ", codes.data()[i], " is neither -1 nor one of the ", entries, " entries"));
}

}  // namespace detail

}  // namespace phonaut
