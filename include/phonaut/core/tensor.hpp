#pragma once
// A view that owns its memory, together with everybody else who holds the same tensor.
#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/storage.hpp"
#include "phonaut/core/view.hpp"

namespace phonaut {

/// "(2, 50, 192)".
template <size_t R>
std::string text(const Shape<R>& shape) {
  std::string out = "(";
  for (size_t i = 0; i < R; ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + ")";
}

/// A dense array of rank R of backend B. Copies share the memory; `clone` of the context makes another.
/// The innermost axis is contiguous; outer axes may be strided (a slice of a larger tensor).
template <class B, size_t R, class T = typename B::Scalar>
class Tensor {
 public:
  using Memory = typename B::Memory;

  Tensor() = default;
  /// Takes over `storage`, which holds the packed elements of `shape`.
  Tensor(Storage<Memory> storage, const Shape<R>& shape) : storage_(std::move(storage)) {
    view_ = View<T, R>(static_cast<T*>(storage_.data()), shape);
  }
  /// Other axes over the same memory (slices, reshapes).
  Tensor(Storage<Memory> storage, const View<T, R>& view) : storage_(std::move(storage)), view_(view) {}

  /// Uninitialised memory that belongs to no context. Throws ShapeError for a negative extent.
  static Tensor persistent(const Shape<R>& shape) {
    check_extents(shape);
    return Tensor(Storage<Memory>::persistent(static_cast<std::size_t>(element_count(shape)) * sizeof(T)), shape);
  }

  static void check_extents(const Shape<R>& shape) {
    for (long extent : shape)
      if (extent < 0) throw ShapeError(concat("tensor: shape ", text(shape), " has the negative extent ", extent));
  }

  const Shape<R>& shape() const { return view_.shape; }
  long extent(size_t axis) const { return view_.shape[axis]; }
  long size() const { return view_.size(); }
  bool contiguous() const { return view_.contiguous(); }
  View<const T, R> in() const { return view_; }
  /// The elements, to be written. A tensor is a handle: constness of the handle says nothing about the elements.
  View<T, R> out() const { return view_; }
  T* data() const { return view_.data; }
  const Storage<Memory>& storage() const { return storage_; }
  explicit operator bool() const { return view_.data != nullptr; }

 private:
  Storage<Memory> storage_;
  View<T, R> view_;
};

/// Lengths of the utterances of a batch, in frames; they live on the host whatever the backend.
using Lengths = Tensor<Reference, 1, long>;

/// A tensor of host backend B filled from a list (row-major). Throws ShapeError if the count does not fit.
template <class B, size_t R, class T = typename B::Scalar, class Values>
Tensor<B, R, T> tensor_of(const Shape<R>& shape, const Values& values) {
  if (static_cast<long>(std::size(values)) != element_count(shape))
    throw ShapeError(
        concat("tensor: shape ", text(shape), " needs ", element_count(shape), " values, got ", std::size(values)));
  auto t = Tensor<B, R, T>::persistent(shape);
  std::transform(std::begin(values), std::end(values), t.data(), [](const auto& v) { return static_cast<T>(v); });
  return t;
}

/// The elements in row-major order, as a vector; host backends only.
template <class B, size_t R, class T>
std::vector<T> to_vector(const Tensor<B, R, T>& t) {
  std::vector<T> values(static_cast<size_t>(t.size()));
  if (t.contiguous()) {
    std::copy_n(t.data(), values.size(), values.begin());
    return values;
  }
  if (t.size() == 0) return values;
  Shape<R> at{};
  for (T& value : values) {
    long offset = 0;
    for (size_t i = 0; i < R; ++i) offset += at[i] * t.in().stride[i];
    value = t.data()[offset];
    for (size_t i = R; i-- > 0 && ++at[i] == t.extent(i);) at[i] = 0;
  }
  return values;
}

}  // namespace phonaut
