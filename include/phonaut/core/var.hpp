#pragma once
// A tensor that takes part in a computation, and the weights that meet it there.
#include <cstdint>
#include <type_traits>

#include "phonaut/core/tensor.hpp"

namespace phonaut {

template <class B>
class Context;

/// Where a value's gradient is collected on its context's tape; `none` for values that want no gradient.
struct Slot {
  static constexpr std::uint32_t none = 0xffffffffu;
  std::uint32_t index = none;
  std::uint32_t epoch = 0;  ///< the tape that `index` belongs to; a tape ends with its backward pass
};

namespace detail {
[[noreturn]] inline void throw_no_value() {
  throw StateError("an op was given a Var that holds no value where it needs one that holds a value of some context");
}
[[noreturn]] inline void throw_no_weight(size_t axes) {
  throw ConfigError(concat("an op was given no weight where it needs one of ", axes, " axes"));
}
}  // namespace detail

/// A tensor in a computation. It carries its context, so that layers and user code never pass one along. Copying is
/// cheap and shares the elements. A Var must not outlive its context. One that holds nothing is false; to an op it
/// is a shape of zeros, and `context` of it, without which no op computes, throws StateError.
template <class B, size_t R>
class Var {
 public:
  using Backend = B;
  static constexpr size_t rank = R;

  Var() = default;
  Var(Context<B>& context, Tensor<B, R> value, Slot slot = {})
      : context_(&context), value_(std::move(value)), slot_(slot) {}

  Context<B>& context() const {
    if (!context_) detail::throw_no_value();
    return *context_;
  }
  const Tensor<B, R>& tensor() const { return value_; }
  const Shape<R>& shape() const { return value_.shape(); }
  long extent(size_t axis) const { return value_.extent(axis); }
  long size() const { return value_.size(); }
  View<const typename B::Scalar, R> in() const { return value_.in(); }
  Slot slot() const { return slot_; }
  explicit operator bool() const { return context_ != nullptr; }

 private:
  Context<B>* context_ = nullptr;
  Tensor<B, R> value_;
  Slot slot_;
};

/// A tensor that a layer owns and an optimiser trains. Its gradient lives elsewhere (see Gradients), so layers stay
/// const while they run. Copying a Param shares the weights; `deep_copy` does not.
template <class B, size_t R>
class Param {
 public:
  static constexpr bool trained = true;
  static constexpr size_t rank = R;

  Param() = default;
  explicit Param(Tensor<B, R> value) : value_(std::move(value)) {}

  const Tensor<B, R>& tensor() const { return value_; }
  Tensor<B, R>& tensor() { return value_; }
  const Shape<R>& shape() const { return value_.shape(); }
  long extent(size_t axis) const { return value_.extent(axis); }
  long size() const { return value_.size(); }
  View<const typename B::Scalar, R> in() const { return value_.in(); }
  explicit operator bool() const { return static_cast<bool>(value_); }

 private:
  Tensor<B, R> value_;
};

/// A tensor that belongs to a layer and is saved with it, but that no gradient reaches: codebooks that follow running
/// averages, statistics, fixed projections.
template <class B, size_t R, class T = typename B::Scalar>
class State {
 public:
  static constexpr bool trained = false;
  static constexpr size_t rank = R;

  State() = default;
  explicit State(Tensor<B, R, T> value) : value_(std::move(value)) {}

  const Tensor<B, R, T>& tensor() const { return value_; }
  Tensor<B, R, T>& tensor() { return value_; }
  const Shape<R>& shape() const { return value_.shape(); }
  long size() const { return value_.size(); }
  View<const T, R> in() const { return value_.in(); }
  explicit operator bool() const { return static_cast<bool>(value_); }

 private:
  Tensor<B, R, T> value_;
};

namespace detail {

/// What an op takes as a weight: a Param, a Var that stands in for one (a weight that is computed), or nothing.
/// Refers to its argument, so it lives only as long as the call. Asking nothing for its tensor throws ConfigError: an
/// op that needs a weight was given a layer's absent one.
template <class B, size_t R>
class Operand {
 public:
  Operand() = default;
  Operand(const Param<B, R>& p) : tensor_(p ? &p.tensor() : nullptr), param_(true) {}   // NOLINT
  Operand(const Var<B, R>& v) : tensor_(v ? &v.tensor() : nullptr), slot_(v.slot()) {}  // NOLINT
  explicit operator bool() const { return tensor_ != nullptr; }
  const Tensor<B, R>& tensor() const {
    if (!tensor_) throw_no_weight(R);
    return *tensor_;
  }
  const Shape<R>& shape() const { return tensor().shape(); }
  long extent(size_t axis) const { return tensor().extent(axis); }
  bool is_param() const { return param_; }
  Slot slot() const { return slot_; }

 private:
  const Tensor<B, R>* tensor_ = nullptr;
  Slot slot_;
  bool param_ = false;
};

}  // namespace detail

/// Argument type of weights in op signatures; B and R are deduced from the other arguments.
template <class B, size_t R>
using Weight = std::type_identity_t<detail::Operand<B, R>>;

}  // namespace phonaut
