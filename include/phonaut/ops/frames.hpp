#pragma once
// From padded batches to rows and back: losses and codebooks see real frames only, as one dense matrix.
#include <cstdint>

#include "phonaut/core/sequence.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

/// Indices of chosen frames, in ascending order and without repetition, into the N·T rows of a batch.
template <class B>
using FrameRows = Tensor<B, 1, std::int32_t>;

namespace kernel {

/// y[i, :] = x[rows[i], :].
template <class S>
void take_rows(const Reference&, View<const S, 2> x, View<const std::int32_t, 1> rows, View<S, 2> y) {
  for (long i = 0; i < rows.size(); ++i) std::copy_n(x.row(rows.data[i]), x.shape[1], y.row(i));
}
/// y[rows[i], :] += x[i, :].
template <class S>
void add_rows(const Reference&, View<const S, 2> x, View<const std::int32_t, 1> rows, View<S, 2> y) {
  for (long i = 0; i < rows.size(); ++i) {
    const S* from = x.row(i);
    S* to = y.row(rows.data[i]);
    for (long c = 0; c < x.shape[1]; ++c) to[c] += from[c];
  }
}

void take_rows(const Cuda& cuda, View<const float, 2> x, View<const std::int32_t, 1> rows, View<float, 2> y);
void add_rows(const Cuda& cuda, View<const float, 2> x, View<const std::int32_t, 1> rows, View<float, 2> y);

/// `upload` of what follows from shapes, lengths and options alone, so that a captured graph may repeat it.
void upload_table(const Cuda& cuda, void* device, const void* host, size_t bytes);

}  // namespace kernel

namespace detail {

/// What numbers that come from the host follow from. Those of shapes, lengths and options alone a captured graph may
/// repeat; those of one call it may not.
enum class HostNumbers { of_this_call, of_shapes };

/// Calls write(pointer) to fill the packed tensor `t` of any backend on the host.
template <class B, size_t R, class T, class Write>
void fill_from_host(Context<B>& ctx, const Tensor<B, R, T>& t, const Write& write,
                    HostNumbers numbers = HostNumbers::of_this_call) {
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>) {
    write(t.data());
  } else {
    std::vector<T> host(static_cast<size_t>(t.size()));
    write(host.data());
    const size_t bytes = host.size() * sizeof(T);
    if (numbers == HostNumbers::of_shapes) kernel::upload_table(ctx.backend(), t.data(), host.data(), bytes);
    else kernel::upload(ctx.backend(), t.data(), host.data(), bytes);
  }
}

/// Calls read(pointer) with the elements of the packed tensor `t` of any backend, on the host.
template <class B, size_t R, class T, class Read>
void read_on_host(Context<B>& ctx, const Tensor<B, R, T>& t, const Read& read) {
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>) {
    read(static_cast<const T*>(t.data()));
  } else {
    std::vector<T> host(static_cast<size_t>(t.size()));
    kernel::download(ctx.backend(), host.data(), t.data(), host.size() * sizeof(T));
    read(static_cast<const T*>(host.data()));
  }
}

/// Rows n·T + t for which keep(n, t), over the real frames of a batch.
template <class B, class Keep>
FrameRows<B> rows_where(Context<B>& ctx, long batch, long time, const long* lengths, const Keep& keep,
                        HostNumbers numbers = HostNumbers::of_this_call) {
  const auto each = [&](const auto& f) {
    for (long n = 0; n < batch; ++n)
      for (long t = 0; t < (lengths ? lengths[n] : time); ++t)
        if (keep(n, t)) f(n * time + t);
  };
  long count = 0;
  each([&](long) { ++count; });
  FrameRows<B> rows = ctx.template empty_of<std::int32_t, 1>({count});
  fill_from_host(
      ctx, rows, [&](std::int32_t* to) { each([&](long row) { *to++ = static_cast<std::int32_t>(row); }); }, numbers);
  return rows;
}

}  // namespace detail

/// Rows of the real frames of a batch.
template <class B>
FrameRows<B> valid_rows(const Sequence<B>& x) {
  check_lengths("valid_rows", x);
  return detail::rows_where(
      x.context(), x.batch(), x.time(), x.length_data(), [](long, long) { return true; },
      detail::HostNumbers::of_shapes);
}

/// Rows of the real frames that `marks` (N · T on the host, row-major, nonzero: chosen) chooses, or of those that it
/// does not. Frames beyond an utterance's length never count. Throws ShapeError if there are not as many marks.
template <class B, class Flags>
FrameRows<B> marked_rows(const Sequence<B>& x, const Flags& marks, bool chosen = true) {
  check_lengths("marked_rows", x);
  if (static_cast<long>(std::size(marks)) != x.batch() * x.time())
    throw ShapeError(concat("marked_rows: frames ", text(x.frames.shape()), " are ", x.batch() * x.time(),
                            ", but there are ", std::size(marks), " marks"));
  const auto* mark = std::data(marks);
  return detail::rows_where(x.context(), x.batch(), x.time(), x.length_data(),
                            [&](long n, long t) { return (mark[n * x.time() + t] != 0) == chosen; });
}

/// The rows of x (…, C) that `rows` names, as a matrix (rows, C).
template <class B, size_t R>
Var<B, 2> take_rows(const Var<B, R>& any, const FrameRows<B>& rows) {
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.empty(Shape<2>{rows.size(), x.shape()[R - 1]});
  kernel::take_rows(ctx.backend(), as_rows(x.in()), rows.in(), y.out());
  return record(
      std::move(y),
      [x, rows](Context<B>& c, const Tensor<B, 2>& dy) {
        auto dx = c.sink(x);
        if (!dx) return;
        if (!dx.add) kernel::fill(c.backend(), dx.data, dx.size(), typename B::Scalar(0));
        kernel::add_rows(c.backend(), dy.in(), rows.in(), View<typename B::Scalar, 2>(as_rows(dx)));
      },
      x);
}

/// The inverse of `take_rows`: x (rows, C) put into frames (N, T, C) that are zero elsewhere.
template <class B>
Var<B, 3> put_rows(const Var<B, 2>& any, const FrameRows<B>& rows, long batch, long time) {
  const Var<B, 2> x = rowwise(any);
  auto& ctx = x.context();
  auto y = ctx.zeros(Shape<3>{batch, time, x.extent(1)});
  kernel::add_rows(ctx.backend(), x.in(), rows.in(), as_rows(y.out()));
  return record(
      std::move(y),
      [x, rows](Context<B>& c, const Tensor<B, 3>& dy) {
        auto dx = c.sink(x);
        if (!dx) return;
        if (dx.add) {
          const Tensor<B, 2> part = c.empty(x.shape());
          kernel::take_rows(c.backend(), as_rows(dy.in()), rows.in(), part.out());
          kernel::accumulate(c.backend(), View<const typename B::Scalar, 1>(part.data(), {part.size()}), dx.data);
        } else {
          kernel::take_rows(c.backend(), as_rows(dy.in()), rows.in(), View<typename B::Scalar, 2>(dx));
        }
      },
      x);
}

/// The real frames of a batch as rows (frames, C). Shares the memory where nothing is padded.
template <class B>
Var<B, 2> valid_frames(const Sequence<B>& x) {
  if (!x.padded()) return reshape(x.frames, Shape<2>{x.batch() * x.time(), x.channels()});
  return take_rows(x.frames, valid_rows(x));
}

namespace detail {

/// The real frames of both, as rows; x's lengths count. Throws ShapeError unless the shapes are the same.
template <class B>
std::pair<Var<B, 2>, Var<B, 2>> both_valid(const char* op, const Sequence<B>& x, const Sequence<B>& y) {
  check_same_shape(op, "x", x.frames.shape(), "y", y.frames.shape());
  if (!x.padded()) return {valid_frames(x), reshape(y.frames, Shape<2>{y.batch() * y.time(), y.channels()})};
  const FrameRows<B> rows = valid_rows(x);
  return {take_rows(x.frames, rows), take_rows(y.frames, rows)};
}

}  // namespace detail

}  // namespace phonaut
