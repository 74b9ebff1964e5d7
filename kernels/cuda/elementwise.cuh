#pragma once
// Functions of one, two or three elements at the same place, four at a time where the memory allows it.
#include <cstdint>

#include "cuda.cuh"

namespace phonaut::cuda {

/// Writes or adds.
__device__ __forceinline__ void put(float& to, float value, bool add) { to = add ? to + value : value; }

template <class F, class... X>
__global__ void map_flat_kernel(long n, float* y, bool add, F f, X... x) {
  const long start = static_cast<long>(blockIdx.x) * blockDim.x + threadIdx.x;
  const long step = static_cast<long>(gridDim.x) * blockDim.x;
  auto* y4 = reinterpret_cast<float4*>(y);
  for (long i = start; i < n / 4; i += step) {
    const auto at = [&]([[maybe_unused]] auto lane) { return f(lane(reinterpret_cast<const float4*>(x)[i])...); };
    const float4 v = {at([](const float4& r) { return r.x; }), at([](const float4& r) { return r.y; }),
                      at([](const float4& r) { return r.z; }), at([](const float4& r) { return r.w; })};
    if (add) {
      const float4 old = y4[i];
      y4[i] = {old.x + v.x, old.y + v.y, old.z + v.z, old.w + v.w};
    } else {
      y4[i] = v;
    }
  }
  for (long i = n / 4 * 4 + start; i < n; i += step) put(y[i], f(x[i]...), add);
}

template <class Index, class F, class... X>
__global__ void map_rows_kernel(Index n, Index width, View<float, 2> y, bool add, F f, X... x) {
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index r = i / width, c = i - r * width;
    put(y.row(static_cast<long>(r))[c], f(x.row(static_cast<long>(r))[c]...), add);
  }
}

/// y[r, c] (= or +=) f(x[r, c]…) for views of one shape.
template <class F, class... X>
void map(const Cuda& cuda, const char* what, View<float, 2> y, bool add, F f, const X&... x) {
  const long n = y.size();
  if (n <= 0) return;
  const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % alignof(float4) == 0; };
  if (y.contiguous() && (x.contiguous() && ...) && aligned(y.data) && (aligned(x.data) && ...)) {
    launch(cuda, what, Grid{blocks_for((n + 3) / 4, 256)}, map_flat_kernel<F, decltype(x.data)...>, n, y.data, add, f,
           x.data...);
  } else if (n < 0x7fffffffL - most_blocks * 256) {
    launch(cuda, what, Grid{blocks_for(n, 256)}, map_rows_kernel<unsigned, F, X...>, static_cast<unsigned>(n),
           static_cast<unsigned>(y.shape[1]), y, add, f, x...);
  } else {
    launch(cuda, what, Grid{blocks_for(n, 256)}, map_rows_kernel<long, F, X...>, n, y.shape[1], y, add, f, x...);
  }
}

/// The same over packed vectors.
template <class F, class... X>
void map_flat(const Cuda& cuda, const char* what, float* y, long n, bool add, F f, const X*... x) {
  map(cuda, what, View<float, 2>(y, Shape<2>{1, n}), add, f, View<const float, 2>(x, Shape<2>{1, n})...);
}

}  // namespace phonaut::cuda
