#pragma once
// Sums, differences, products, scaling, and the reductions to a scalar.
#include "phonaut/ops/shape.hpp"

namespace phonaut {

namespace kernel {

/// y = a·x + b·z, elementwise over packed arrays (or y += …).
template <class S>
void axpby(const Reference&, S a, View<const S, 1> x, S b, View<const S, 1> z, S* y, bool add) {
  for (long i = 0; i < x.size(); ++i) {
    const S v = a * x.data[i] + b * z.data[i];
    if (add) y[i] += v;
    else y[i] = v;
  }
}
/// y = a·x (or y += a·x).
template <class S>
void scale(const Reference&, S a, View<const S, 1> x, S* y, bool add) {
  for (long i = 0; i < x.size(); ++i) {
    if (add) y[i] += a * x.data[i];
    else y[i] = a * x.data[i];
  }
}
/// y = x·z elementwise (or y += x·z).
template <class S>
void multiply(const Reference&, View<const S, 1> x, View<const S, 1> z, S* y, bool add) {
  for (long i = 0; i < x.size(); ++i) {
    if (add) y[i] += x.data[i] * z.data[i];
    else y[i] = x.data[i] * z.data[i];
  }
}
/// y = Σ x. Blocks of fixed size are summed in double, in order, so that float sums keep their digits.
template <class S>
void sum(const Reference&, View<const S, 1> x, S* y) {
  if constexpr (std::is_same_v<S, float>) {
    double total = 0;
    for (long i = 0; i < x.size(); ++i) total += static_cast<double>(x.data[i]);
    *y = static_cast<float>(total);
  } else {
    S total = 0;
    for (long i = 0; i < x.size(); ++i) total += x.data[i];
    *y = total;
  }
}
/// y[i] = a·(*x) (or +=): a scalar spread over n elements.
template <class S>
void spread(const Reference&, S a, const S* x, long n, S* y, bool add) {
  for (long i = 0; i < n; ++i) {
    if (add) y[i] += a * *x;
    else y[i] = a * *x;
  }
}

void axpby(const Cpu&, float a, View<const float, 1> x, float b, View<const float, 1> z, float* y, bool add);
void scale(const Cpu&, float a, View<const float, 1> x, float* y, bool add);
void multiply(const Cpu&, View<const float, 1> x, View<const float, 1> z, float* y, bool add);
void sum(const Cpu&, View<const float, 1> x, float* y);

void axpby(const Cuda&, float a, View<const float, 1> x, float b, View<const float, 1> z, float* y, bool add);
void scale(const Cuda&, float a, View<const float, 1> x, float* y, bool add);
void multiply(const Cuda&, View<const float, 1> x, View<const float, 1> z, float* y, bool add);
void sum(const Cuda&, View<const float, 1> x, float* y);
void spread(const Cuda&, float a, const float* x, long n, float* y, bool add);

}  // namespace kernel

namespace detail {

template <class S, size_t R>
View<const S, 1> flat(const View<const S, R>& x) {
  return {x.data, Shape<1>{x.size()}};
}
template <class B, size_t R>
auto flat(const Tensor<B, R>& x) {
  return flat(x.in());
}

/// a·x + b·z.
template <class B, size_t R>
Var<B, R> linear_combination(const char* op, typename B::Scalar a, const Var<B, R>& any_x, typename B::Scalar b,
                             const Var<B, R>& any_z) {
  check_same_shape(op, "x", any_x.shape(), "y", any_z.shape());
  const Packed<B, R> packed_x(any_x), packed_z(any_z);
  const Var<B, R>&x = *packed_x, &z = *packed_z;
  auto y = x.context().empty(x.shape());
  kernel::axpby(x.context().backend(), a, flat(x.in()), b, flat(z.in()), y.data(), false);
  return record(
      std::move(y),
      [x = target(x), z = target(z), a, b](Context<B>& ctx, const Tensor<B, R>& dy) {
        for (const auto& [input, factor] : {std::pair{&x, a}, std::pair{&z, b}}) {
          if (factor == typename B::Scalar(1)) hand_on(ctx, dy, *input);
          else if (auto dx = ctx.sink(*input)) kernel::scale(ctx.backend(), factor, flat(dy), dx.data, dx.add);
        }
      },
      x, z);
}

}  // namespace detail

/// x + y, same shapes.
template <class B, size_t R>
Var<B, R> operator+(const Var<B, R>& x, const Var<B, R>& y) {
  return detail::linear_combination("add", typename B::Scalar(1), x, typename B::Scalar(1), y);
}
/// x - y, same shapes.
template <class B, size_t R>
Var<B, R> operator-(const Var<B, R>& x, const Var<B, R>& y) {
  return detail::linear_combination("subtract", typename B::Scalar(1), x, typename B::Scalar(-1), y);
}
/// a·x.
template <class B, size_t R>
Var<B, R> operator*(std::type_identity_t<typename B::Scalar> a, const Var<B, R>& any) {
  const Packed<B, R> packed_x(any);
  const Var<B, R>& x = *packed_x;
  auto y = x.context().empty(x.shape());
  kernel::scale(x.context().backend(), a, detail::flat(x.in()), y.data(), false);
  return record(
      std::move(y),
      [x = target(x), a](Context<B>& ctx, const Tensor<B, R>& dy) {
        if (auto dx = ctx.sink(x)) kernel::scale(ctx.backend(), a, detail::flat(dy), dx.data, dx.add);
      },
      x);
}
template <class B, size_t R>
Var<B, R> operator-(const Var<B, R>& x) {
  return typename B::Scalar(-1) * x;
}
/// x·y element by element, same shapes.
template <class B, size_t R>
Var<B, R> operator*(const Var<B, R>& any_x, const Var<B, R>& any_z) {
  check_same_shape("multiply", "x", any_x.shape(), "y", any_z.shape());
  const Packed<B, R> packed_x(any_x), packed_z(any_z);
  const Var<B, R>&x = *packed_x, &z = *packed_z;
  auto y = x.context().empty(x.shape());
  kernel::multiply(x.context().backend(), detail::flat(x.in()), detail::flat(z.in()), y.data(), false);
  return record(
      std::move(y),
      [x, z](Context<B>& ctx, const Tensor<B, R>& dy) {
        if (auto dx = ctx.sink(x))
          kernel::multiply(ctx.backend(), detail::flat(dy), detail::flat(z.in()), dx.data, dx.add);
        if (auto dz = ctx.sink(z))
          kernel::multiply(ctx.backend(), detail::flat(dy), detail::flat(x.in()), dz.data, dz.add);
      },
      x, z);
}

/// Σ x over all elements.
template <class B, size_t R>
Var<B, 0> sum(const Var<B, R>& any) {
  const Var<B, R> x = packed(any);
  auto y = x.context().empty(Shape<0>{});
  kernel::sum(x.context().backend(), detail::flat(x.in()), y.data());
  return record(
      std::move(y),
      [x = target(x)](Context<B>& ctx, const Tensor<B, 0>& dy) {
        if (auto dx = ctx.sink(x))
          kernel::spread(ctx.backend(), typename B::Scalar(1), static_cast<const typename B::Scalar*>(dy.data()),
                         x.size(), dx.data, dx.add);
      },
      x);
}
/// Mean over all elements; 0 of no elements.
template <class B, size_t R>
Var<B, 0> mean(const Var<B, R>& x) {
  return (typename B::Scalar(1.0 / static_cast<double>(std::max(1L, x.size())))) * sum(x);
}

}  // namespace phonaut
