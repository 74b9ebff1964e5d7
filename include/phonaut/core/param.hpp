#pragma once
// How the weights of a new layer are filled.
#include <cmath>
#include <vector>

#include "phonaut/core/context.hpp"

namespace phonaut {

/// A rule for initial values.
struct Init {
  enum class Kind { constant, uniform, normal } kind = Kind::constant;
  double scale = 0;

  /// Every element is `value`.
  static Init constant(double value) { return {Kind::constant, value}; }
  /// U(-bound, bound).
  static Init uniform(double bound) { return {Kind::uniform, bound}; }
  /// N(0, deviation²).
  static Init normal(double deviation) { return {Kind::normal, deviation}; }
  /// U(-1/√fan_in, 1/√fan_in): the usual start of linear and convolution layers.
  static Init fan_in(long n) { return uniform(n > 0 ? 1.0 / std::sqrt(static_cast<double>(n)) : 0.0); }
  Init times(double factor) const { return {kind, scale * factor}; }
};

/// Values of a tensor drawn by `init` from the context's generator.
template <class T = double, class B>
std::vector<T> draw(Context<B>& context, long n, Init init) {
  std::vector<T> values(static_cast<size_t>(n), static_cast<T>(init.scale));
  if (init.kind == Init::Kind::constant) return values;
  const Draws draws = context.random().take(n);
  for (long i = 0; i < n; ++i)
    values[static_cast<size_t>(i)] = static_cast<T>(
        init.scale * (init.kind == Init::Kind::uniform ? 2.0 * draws.uniform(i) - 1.0 : draws.normal(i)));
  return values;
}

/// Copies host values (row-major) to a packed tensor, for what `context` computes from now on; on a GPU the copy is
/// queued and nobody waits. Throws ShapeError if the count does not fit or the tensor is a strided slice.
template <class B, size_t R, class T>
void refill(Context<B>& context, const Tensor<B, R, T>& t, const std::vector<T>& values) {
  if (static_cast<long>(values.size()) != t.size())
    throw ShapeError(
        concat("refill: a tensor of shape ", text(t.shape()), " takes ", t.size(), " values, got ", values.size()));
  if (!t.contiguous())
    throw ShapeError(concat("refill: a packed tensor is needed, but that of shape ", text(t.shape()), " has gaps"));
  kernel::upload(context.backend(), t.data(), values.data(), values.size() * sizeof(T));
}

/// Copies host values (row-major) to a tensor of any backend, where every context then finds them. Throws ShapeError if
/// the count does not fit.
template <class B, size_t R, class T>
void assign(const B& backend, Tensor<B, R, T>& t, const std::vector<T>& values) {
  if (static_cast<long>(values.size()) != t.size())
    throw ShapeError(
        concat("assign: a tensor of shape ", text(t.shape()), " takes ", t.size(), " values, got ", values.size()));
  kernel::upload(backend, t.data(), values.data(), values.size() * sizeof(T));
  kernel::synchronise(backend);
}

/// A new parameter. Its memory belongs to no context, so layers outlive the context that made them.
template <class B, size_t R>
Param<B, R> make_param(Context<B>& context, const Shape<R>& shape, Init init) {
  using S = typename B::Scalar;
  auto t = Tensor<B, R>::persistent(shape);
  assign(context.backend(), t, draw<S>(context, t.size(), init));
  context.count_weight();
  return Param<B, R>(std::move(t));
}

/// A new untrained tensor.
template <class T, class B, size_t R>
State<B, R, T> make_state(Context<B>& context, const Shape<R>& shape, Init init) {
  auto t = Tensor<B, R, T>::persistent(shape);
  assign(context.backend(), t, draw<T>(context, t.size(), init));
  context.count_weight();
  return State<B, R, T>(std::move(t));
}

/// The elements on the host, in row-major order, whatever the backend.
template <class B, size_t R>
std::vector<typename B::Scalar> values_of(const Var<B, R>& x) {
  return values_of(x.context(), x.tensor());
}
template <class B, size_t R>
std::vector<typename B::Scalar> values_of(Context<B>& context, const Tensor<B, R>& t) {
  const Tensor<B, R> packed = t.contiguous() ? t : context.clone(t);
  std::vector<typename B::Scalar> values(static_cast<size_t>(t.size()));
  kernel::download(context.backend(), values.data(), packed.data(), values.size() * sizeof(typename B::Scalar));
  return values;
}
/// The number in a scalar.
template <class B>
typename B::Scalar item(const Var<B, 0>& x) {
  typename B::Scalar value{};
  kernel::download(x.context().backend(), &value, x.tensor().data(), sizeof value);
  return value;
}

/// A constant input from host values (row-major).
template <class B, size_t R, class Values>
Var<B, R> input(Context<B>& context, const Shape<R>& shape, const Values& values) {
  using S = typename B::Scalar;
  if (static_cast<long>(std::size(values)) != element_count(shape))
    throw ShapeError(
        concat("input: shape ", text(shape), " needs ", element_count(shape), " values, got ", std::size(values)));
  auto t = context.empty(shape);
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>) {
    std::transform(std::begin(values), std::end(values), t.data(), [](const auto& v) { return static_cast<S>(v); });
  } else {
    std::vector<S> host(std::size(values));
    std::transform(std::begin(values), std::end(values), host.begin(), [](const auto& v) { return static_cast<S>(v); });
    kernel::upload(context.backend(), t.data(), host.data(), host.size() * sizeof(S));
  }
  return context.constant(std::move(t));
}

}  // namespace phonaut
