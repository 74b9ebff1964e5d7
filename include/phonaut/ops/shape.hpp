#pragma once
// Ops that move or rename elements but compute nothing: pack, reshape, slice, permute, concatenate, pad.
#include <algorithm>
#include <optional>
#include <vector>

#include "phonaut/core/context.hpp"

namespace phonaut {

/// Throws ShapeError unless a == b: "add: x is (2, 3) but y is (2, 4)".
template <size_t R>
void check_same_shape(const char* op, const char* a_name, const Shape<R>& a, const char* b_name, const Shape<R>& b) {
  if (a != b) throw ShapeError(concat(op, ": ", a_name, " is ", text(a), " but ", b_name, " is ", text(b)));
}
namespace detail {

/// Moves a view `n` entries along `axis`. One without elements may have no memory, and stays where it is.
template <class T, size_t R>
void advance(View<T, R>& view, size_t axis, long n) {
  if (view.data) view.data += n * view.stride[axis];
}

template <size_t R>
std::string spelled(const Shape<R>& shape) {
  return text(shape);
}
template <class Part>
const Part& spelled(const Part& part) {
  return part;
}

}  // namespace detail

/// Throws ShapeError unless the innermost axis of `x` has `want` entries, as `because` (joined; shapes are spelled out)
/// needs: check_channels("linear", x.shape(), weight.extent(1), "weight ", weight.shape()). Nothing is put into words,
/// and nothing allocated, unless it throws.
template <size_t R, class... Because>
void check_channels(const char* op, const Shape<R>& x, long want, const Because&... because) {
  if (x[R - 1] != want)
    throw ShapeError(concat(op, ": input of shape ", text(x), " has ", x[R - 1], " channels, but ",
                            detail::spelled(because)..., " needs ", want));
}

namespace kernel {

/// y = x (or y += x), both with any outer strides.
template <class S, size_t R>
void copy_block(const Reference& backend, View<const S, R> x, View<S, R> y, bool add) {
  if constexpr (R <= 1) {
    const long n = x.size();
    if (add)
      for (long i = 0; i < n; ++i) y.data[i] += x.data[i];
    else std::copy_n(x.data, n, y.data);
  } else {
    for (long i = 0; i < x.shape[0]; ++i) copy_block(backend, x[i], y[i], add);
  }
}
void copy_block(const Cuda&, const float* x, const long* x_stride, float* y, const long* y_stride, const long* shape,
                int rank, bool add);
template <size_t R>
void copy_block(const Cuda& backend, View<const float, R> x, View<float, R> y, bool add) {
  copy_block(backend, x.data, x.stride.data(), y.data, y.stride.data(), x.shape.data(), static_cast<int>(R), add);
}

/// y (or y +=) with axes in another order: axis i of y is axis order[i] of x.
template <class S, size_t R>
void permute(const Reference&, View<const S, R> x, const std::array<int, R>& order, View<S, R> y, bool add) {
  Shape<R> stride{};
  for (size_t i = 0; i < R; ++i) stride[i] = x.stride[static_cast<size_t>(order[i])];
  const long rows = y.rows(), width = y.width(), step = stride[R - 1];
  Shape<R> at{};
  for (long r = 0; r < rows; ++r) {
    const S* from = x.data;
    S* to = y.data;
    for (size_t i = 0; i + 1 < R; ++i) {
      from += at[i] * stride[i];
      to += at[i] * y.stride[i];
    }
    if (add)
      for (long c = 0; c < width; ++c) to[c] += from[c * step];
    else
      for (long c = 0; c < width; ++c) to[c] = from[c * step];
    for (size_t i = R - 1; i-- > 0 && ++at[i] == y.shape[i];) at[i] = 0;
  }
}

/// A permutation is a copy with the strides in another order.
template <size_t R>
void permute(const Cuda& backend, View<const float, R> x, const std::array<int, R>& order, View<float, R> y, bool add) {
  Shape<R> stride{};
  for (size_t i = 0; i < R; ++i) stride[i] = x.stride[static_cast<size_t>(order[i])];
  copy_block(backend, x.data, stride.data(), y.data, y.stride.data(), y.shape.data(), static_cast<int>(R), add);
}

}  // namespace kernel

namespace detail {

/// Hands on (or adds) a gradient whose elements are in the order of x's.
template <class B, size_t R, size_t Q>
void hand_on(Context<B>& ctx, const Tensor<B, Q>& dy, const Var<B, R>& x) {
  if (ctx.pass(dy, x)) return;
  if (auto dx = ctx.sink(x))
    kernel::accumulate(ctx.backend(), View<const typename B::Scalar, 1>(dy.data(), {dy.size()}), dx.data);
}
/// The elements of a weight for a kernel; null for an absent one.
template <class B, size_t R>
const typename B::Scalar* data_of(const Var<B, R>& w) {
  return w ? w.in().data : nullptr;
}

}  // namespace detail

/// x as a place for its gradient alone: a backward function that does not read the elements of x keeps this instead,
/// and their memory is free for others.
template <class B, size_t R>
Var<B, R> target(const Var<B, R>& x) {
  return x ? Var<B, R>(x.context(), Tensor<B, R>({}, x.shape()), x.slot()) : x;
}

/// The same numbers without gaps; x itself if it has none.
template <class B, size_t R>
Var<B, R> packed(const Var<B, R>& x) {
  if (x.tensor().contiguous()) return x;
  return record(
      x.context().clone(x.tensor()),
      [x = target(x)](Context<B>& ctx, const Tensor<B, R>& dy) { detail::hand_on(ctx, dy, x); }, x);
}
/// `packed` for the first lines of an op that is called for a few numbers: where x lies packed already, nobody counts
/// another user of its memory. x must outlive it.
template <class B, size_t R>
class Packed {
 public:
  explicit Packed(const Var<B, R>& x) : x_(x) {
    if (!x.tensor().contiguous()) copy_.emplace(packed(x));
  }
  const Var<B, R>& operator*() const { return copy_ ? *copy_ : x_; }

 private:
  const Var<B, R>& x_;
  std::optional<Var<B, R>> copy_;
};
/// x as something that `as_rows` can describe. Most kernels want rows and do not mind gaps between them.
template <class B, size_t R>
Var<B, R> rowwise(const Var<B, R>& x) {
  return x.in().foldable() ? x : packed(x);
}

/// The same elements in another shape; shares the memory. Throws ShapeError if the counts differ.
template <size_t Q, class B, size_t R>
Var<B, Q> reshape(const Var<B, R>& any, const Shape<Q>& shape) {
  if (element_count(shape) != any.size())
    throw ShapeError(concat("reshape: ", text(any.shape()), " has ", any.size(), " elements, but ", text(shape),
                            " has ", element_count(shape)));
  const Var<B, R> x = packed(any);
  return record(
      Tensor<B, Q>(x.tensor().storage(), View<typename B::Scalar, Q>(x.tensor().data(), shape)),
      [x = target(x)](Context<B>& ctx, const Tensor<B, Q>& dy) { detail::hand_on(ctx, dy, x); }, x);
}

/// Entries begin … end-1 along `axis`; shares the memory. Throws ShapeError if they are not there.
template <class B, size_t R>
Var<B, R> slice(const Var<B, R>& x, size_t axis, long begin, long end) {
  if (axis >= R || begin < 0 || end < begin || end > x.extent(axis))
    throw ShapeError(
        concat("slice: entries ", begin, " … ", end, " of axis ", axis, " do not exist in shape ", text(x.shape())));
  View<typename B::Scalar, R> view = x.tensor().out();
  detail::advance(view, axis, begin);
  view.shape[axis] = end - begin;
  return record(
      Tensor<B, R>(x.tensor().storage(), view),
      [x = target(x), axis, begin](Context<B>& ctx, const Tensor<B, R>& dy) {
        auto dx = ctx.sink(x);
        if (!dx) return;
        if (!dx.add) kernel::fill(ctx.backend(), dx.data, dx.size(), typename B::Scalar(0));
        View<typename B::Scalar, R> part = dx;
        detail::advance(part, axis, begin);
        part.shape[axis] = dy.extent(axis);
        kernel::copy_block(ctx.backend(), dy.in(), part, true);
      },
      x);
}

/// Axes in another order, packed: axis i of the result is axis order[i] of x.
template <class B, size_t R>
Var<B, R> permute(const Var<B, R>& x, const std::array<int, R>& order) {
  Shape<R> shape{};
  std::array<int, R> inverse{};
  for (size_t i = 0; i < R; ++i) {
    shape[i] = x.extent(static_cast<size_t>(order[i]));
    inverse[static_cast<size_t>(order[i])] = static_cast<int>(i);
  }
  auto y = x.context().empty(shape);
  if (y.size() > 0) kernel::permute(x.context().backend(), x.in(), order, y.out(), false);
  return record(
      std::move(y),
      [x = target(x), inverse](Context<B>& ctx, const Tensor<B, R>& dy) {
        if (auto dx = ctx.sink(x); dx && dx.size() > 0)
          kernel::permute(ctx.backend(), dy.in(), inverse, View<typename B::Scalar, R>(dx), dx.add);
      },
      x);
}

namespace detail {

/// Copies the parts into one new tensor.
template <class Parts>
auto join_parts(const Parts& parts, size_t axis) {
  using V = typename Parts::value_type;
  constexpr size_t R = V::rank;
  if (parts.size() == 0) throw ShapeError("concatenate: no parts were given");
  if (axis >= R) throw ShapeError(concat("concatenate: axis ", axis, " does not exist in rank ", R));
  Shape<R> shape = parts.front().shape();
  shape[axis] = 0;
  for (const V& part : parts) {
    Shape<R> other = part.shape();
    shape[axis] += std::exchange(other[axis], parts.front().extent(axis));
    if (other != parts.front().shape())
      throw ShapeError(concat("concatenate: parts ", text(parts.front().shape()), " and ", text(part.shape()),
                              " differ outside of axis ", axis));
  }
  auto& ctx = parts.front().context();
  auto y = ctx.empty(shape);
  long at = 0;
  for (const V& part : parts) {
    auto place = y.out();
    advance(place, axis, at);
    place.shape = part.shape();
    kernel::copy_block(ctx.backend(), part.in(), place, false);
    at += part.extent(axis);
  }
  return y;
}
/// Hands each part its share of dy.
template <class B, size_t R, class Parts>
void split_gradient(Context<B>& ctx, const Tensor<B, R>& dy, const Parts& parts, size_t axis) {
  long begin = 0;
  for (const Var<B, R>& x : parts) {
    View<const typename B::Scalar, R> part = dy.in();
    advance(part, axis, begin);
    part.shape = x.shape();
    begin += x.extent(axis);
    if (auto dx = ctx.sink(x)) kernel::copy_block(ctx.backend(), part, View<typename B::Scalar, R>(dx), dx.add);
  }
}

}  // namespace detail

/// The parts one after the other along `axis`. Throws ShapeError if their other extents differ.
template <class B, size_t R>
Var<B, R> concatenate(const std::vector<Var<B, R>>& parts, size_t axis) {
  auto y = detail::join_parts(parts, axis);
  std::vector<Var<B, R>> targets;
  targets.reserve(parts.size());
  for (const auto& part : parts) targets.push_back(target(part));
  return parts.front().context().record_many(std::move(y), std::move(targets),
                                             [axis](Context<B>& c, const Tensor<B, R>& dy, const auto& inputs) {
                                               detail::split_gradient(c, dy, inputs, axis);
                                             });
}
/// The same for a number of parts that is known beforehand: concatenate(std::array{a, b}, 2). Allocates no list.
template <class B, size_t R, size_t N>
Var<B, R> concatenate(const std::array<Var<B, R>, N>& parts, size_t axis) {
  auto y = detail::join_parts(parts, axis);
  return std::apply(
      [&](const auto&... part) {
        return parts.front().context().record(
            std::move(y),
            [targets = std::array{target(part)...}, axis](Context<B>& c, const Tensor<B, R>& dy) {
              detail::split_gradient(c, dy, targets, axis);
            },
            part...);
      },
      parts);
}

/// `before` and `after` entries of `value` around x along `axis`.
template <class B, size_t R>
Var<B, R> pad(const Var<B, R>& x, size_t axis, long before, long after, typename B::Scalar value = 0) {
  if (axis >= R || before < 0 || after < 0)
    throw ShapeError(
        concat("pad: cannot put ", before, " before and ", after, " after axis ", axis, " of shape ", text(x.shape())));
  Shape<R> shape = x.shape();
  shape[axis] += before + after;
  auto& ctx = x.context();
  auto y = ctx.full(shape, value);
  View<typename B::Scalar, R> middle = y.out();
  detail::advance(middle, axis, before);
  middle.shape = x.shape();
  kernel::copy_block(ctx.backend(), x.in(), middle, false);
  return record(
      std::move(y),
      [x = target(x), axis, before](Context<B>& c, const Tensor<B, R>& dy) {
        View<const typename B::Scalar, R> part = dy.in();
        detail::advance(part, axis, before);
        part.shape = x.shape();
        if (auto dx = c.sink(x)) kernel::copy_block(c.backend(), part, View<typename B::Scalar, R>(dx), dx.add);
      },
      x);
}

}  // namespace phonaut
