#pragma once
// The currency of kernels: a pointer, a shape, strides. Light on purpose: this is the one phonaut header that the
// per-instruction-set kernel files include, so nothing here may pull in a container or an out-of-line function.
#include <array>
#include <cstddef>
#include <type_traits>

#if defined(__CUDACC__)
#define PHONAUT_HD __host__ __device__
#define PHONAUT_INLINE __forceinline__
#else
#define PHONAUT_HD
#define PHONAUT_INLINE inline __attribute__((always_inline))
#endif

namespace phonaut {

using std::size_t;

/// Extents of each axis, outermost first.
template <size_t R>
using Shape = std::array<long, R>;

/// Number of elements; 1 for rank 0.
template <size_t R>
PHONAUT_HD PHONAUT_INLINE constexpr long element_count(const Shape<R>& shape) {
  long n = 1;
  for (size_t i = 0; i < R; ++i) n *= shape[i];
  return n;
}

/// Strides, in elements, of a tensor without gaps.
template <size_t R>
PHONAUT_HD PHONAUT_INLINE constexpr Shape<R> packed_strides(const Shape<R>& shape) {
  Shape<R> stride{};
  long n = 1;
  for (size_t i = R; i-- > 0;) {
    stride[i] = n;
    n *= shape[i];
  }
  return stride;
}

/// Elements that somebody else owns. Strides count elements; the innermost axis is contiguous.
template <class T, size_t R>
struct View {
  T* data = nullptr;
  Shape<R> shape{};
  Shape<R> stride{};

  View() = default;
  PHONAUT_HD PHONAUT_INLINE View(T* data_, const Shape<R>& shape_)
      : data(data_), shape(shape_), stride(packed_strides(shape_)) {}
  PHONAUT_HD PHONAUT_INLINE View(T* data_, const Shape<R>& shape_, const Shape<R>& stride_)
      : data(data_), shape(shape_), stride(stride_) {}
  /// What may be written may be read.
  template <class U>
  requires(std::is_same_v<const U, T>) PHONAUT_HD PHONAUT_INLINE
      View(const View<U, R>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), shape(other.shape), stride(other.stride) {}

  PHONAUT_HD PHONAUT_INLINE long size() const { return element_count(shape); }
  PHONAUT_HD PHONAUT_INLINE long extent(size_t axis) const { return shape[axis]; }
  /// Extent of the innermost axis.
  PHONAUT_HD PHONAUT_INLINE long width() const {
    if constexpr (R == 0) return 1;
    else return shape[R - 1];
  }
  /// Product of all extents but the innermost.
  PHONAUT_HD PHONAUT_INLINE long rows() const {
    long n = 1;
    for (size_t i = 0; i + 1 < R; ++i) n *= shape[i];
    return n;
  }
  /// Pointer to the start of row `r` of a matrix.
  PHONAUT_HD PHONAUT_INLINE T* row(long r) const requires(R == 2) { return data + r * stride[0]; }
  template <class... I>
  requires(sizeof...(I) == R) PHONAUT_HD PHONAUT_INLINE T& operator()(I... index) const {
    const long at[R == 0 ? 1 : R] = {static_cast<long>(index)...};
    long offset = 0;
    for (size_t i = 0; i < R; ++i) offset += at[i] * stride[i];
    return data[offset];
  }
  /// The sub-view at `index` of the outermost axis.
  PHONAUT_HD PHONAUT_INLINE auto operator[](long index) const requires(R >= 2) {
    View<T, R - 1> inner;
    inner.data = data + index * stride[0];
    for (size_t i = 0; i + 1 < R; ++i) {
      inner.shape[i] = shape[i + 1];
      inner.stride[i] = stride[i + 1];
    }
    return inner;
  }
  PHONAUT_HD PHONAUT_INLINE bool contiguous() const {
    long n = 1;
    for (size_t i = R; i-- > 0;) {
      if (shape[i] != 1 && stride[i] != n) return false;
      n *= shape[i];
    }
    return true;
  }
  /// Whether the outer axes fold into one: then `as_rows` describes the same elements.
  PHONAUT_HD PHONAUT_INLINE bool foldable() const {
    if constexpr (R >= 3) {
      long expected = -1;  // stride that the next outer axis must have; unknown until an axis of extent > 1 is met
      for (size_t i = R - 1; i-- > 0;) {
        if (shape[i] == 1) continue;
        if (expected >= 0 && stride[i] != expected) return false;
        expected = stride[i] * shape[i];
      }
    }
    return true;
  }
  PHONAUT_HD PHONAUT_INLINE explicit operator bool() const { return data != nullptr; }
};

/// The same elements as a matrix of rows; needs `foldable()`.
template <class T, size_t R>
PHONAUT_HD PHONAUT_INLINE View<T, 2> as_rows(const View<T, R>& v) {
  if constexpr (R == 0) {
    return View<T, 2>(v.data, Shape<2>{1, 1});
  } else {
    long row_stride = v.width();
    // The innermost outer axis that has more than one entry knows the distance between rows.
    for (size_t i = 0; i + 1 < R; ++i)
      if (v.shape[i] > 1) row_stride = v.stride[i];
    return View<T, 2>(v.data, Shape<2>{v.rows(), v.width()}, Shape<2>{row_stride, 1});
  }
}

/// Where a gradient goes. The first consumer of a value sets it, later ones add; empty when nobody asked.
/// Always contiguous.
template <class T, size_t R>
struct Sink : View<T, R> {
  bool add = false;

  Sink() = default;
  PHONAUT_HD PHONAUT_INLINE Sink(T* data_, const Shape<R>& shape_, bool add_) : View<T, R>(data_, shape_), add(add_) {}
  /// Writes element `i` (row-major).
  PHONAUT_HD PHONAUT_INLINE void put(long i, T g) const {
    if (add) this->data[i] += g;
    else this->data[i] = g;
  }
};

/// A sink seen as a matrix of rows.
template <class T, size_t R>
PHONAUT_HD PHONAUT_INLINE Sink<T, 2> as_rows(const Sink<T, R>& s) {
  return Sink<T, 2>(s.data, Shape<2>{s.rows(), s.width()}, s.add);
}

}  // namespace phonaut
