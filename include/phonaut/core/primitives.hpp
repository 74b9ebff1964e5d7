#pragma once
// The few memory services that the core itself needs of a backend. The Cuda ones live in kernels/cuda/primitives.cu.
#include <algorithm>
#include <cstring>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

template <class S>
void fill(const Reference&, S* data, long n, S value) {
  std::fill_n(data, n, value);
}
/// Packs a view with any outer strides into `y`.
template <class S, size_t R>
void pack(const Reference& backend, View<const S, R> x, S* y) {
  if (x.contiguous()) {
    if (x.size() > 0) std::memcpy(static_cast<void*>(y), x.data, static_cast<size_t>(x.size()) * sizeof(S));
  } else if constexpr (R >= 2) {
    const long inner = x.size() / std::max(1L, x.shape[0]);
    for (long i = 0; i < x.shape[0]; ++i) pack(backend, x[i], y + i * inner);
  }
}
/// y += x.
template <class S>
void accumulate(const Reference&, View<const S, 1> x, S* y) {
  for (long i = 0; i < x.size(); ++i) y[i] += x.data[i];
}
inline void upload(const Reference&, void* device, const void* host, size_t bytes) {
  if (bytes) std::memcpy(device, host, bytes);
}
inline void download(const Reference&, void* host, const void* device, size_t bytes) {
  if (bytes) std::memcpy(host, device, bytes);
}
inline void synchronise(const Reference&) {}

void fill(const Cuda&, float* data, long n, float value);
void pack(const Cuda&, const float* x, const long* shape, const long* stride, int rank, float* y);
template <size_t R>
void pack(const Cuda& backend, View<const float, R> x, float* y) {
  pack(backend, x.data, x.shape.data(), x.stride.data(), static_cast<int>(R), y);
}
void accumulate(const Cuda&, View<const float, 1> x, float* y);
/// Queued: the host memory may change at once, and what is queued on the same stream from now on finds the bytes.
void upload(const Cuda&, void* device, const void* host, size_t bytes);
/// Waits for what is queued on the stream.
void download(const Cuda&, void* host, const void* device, size_t bytes);
void synchronise(const Cuda&);

}  // namespace phonaut::kernel
