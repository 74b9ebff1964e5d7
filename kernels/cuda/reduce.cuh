#pragma once
// Sums and maxima over a warp, a block, a vector and the columns of a matrix. Every sum has its order: blocks and
// strides depend on sizes alone, partial results are added in order, and no atomics are used. The same input gives the
// same bits.
#include <cstring>

#include "cuda.cuh"

namespace phonaut::cuda {

constexpr int warp_lanes = 32;
constexpr unsigned all_lanes = 0xffffffffu;

struct Plus {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

/// K sums side by side, in double.
template <int K>
struct Sums {
  double of[K];
};
template <int K>
__device__ __forceinline__ Sums<K> operator+(Sums<K> a, const Sums<K>& b) {
  for (int k = 0; k < K; ++k) a.of[k] += b.of[k];
  return a;
}

/// The value of the lane whose number differs in `bits`. A struct goes word by word.
template <class T>
__device__ __forceinline__ T exchange(const T& value, int bits) {
  if constexpr (std::is_arithmetic_v<T>) {
    return __shfl_xor_sync(all_lanes, value, bits);
  } else {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(unsigned) == 0);
    unsigned word[sizeof(T) / sizeof(unsigned)];
    memcpy(word, &value, sizeof(T));
    for (unsigned& w : word) w = __shfl_xor_sync(all_lanes, w, bits);
    T result;
    memcpy(&result, word, sizeof(T));
    return result;
  }
}

/// Combines the values of a warp; every lane gets the result. `op` need not be more than commutative: all lanes apply
/// it to the same pairs.
template <class T, class Op>
__device__ __forceinline__ T warp_reduce(T value, Op op) {
  for (int bits = warp_lanes / 2; bits > 0; bits /= 2) value = op(value, exchange(value, bits));
  return value;
}

/// Combines the values of a block of whole warps; every thread gets the result. All threads must call it.
template <class T, class Op>
__device__ __forceinline__ T block_reduce(T value, Op op) {
  PHONAUT_SHARED(T, of_warp, warp_lanes);
  const int warp = static_cast<int>(threadIdx.x) / warp_lanes, warps = static_cast<int>(blockDim.x) / warp_lanes;
  value = warp_reduce(value, op);
  __syncthreads();  // an earlier call may still be read
  if (threadIdx.x % warp_lanes == 0) of_warp[warp] = value;
  __syncthreads();
  value = of_warp[0];
  for (int i = 1; i < warps; ++i) value = op(value, of_warp[i]);
  return value;
}

/// The threads that share a row: a warp of a block that has a row for each, or a whole block.
struct Team {
  int rank, size;

  template <class T, class Op>
  __device__ __forceinline__ T reduce(T value, Op op) const {
    return size == warp_lanes ? warp_reduce(value, op) : block_reduce(value, op);
  }
  template <class T>
  __device__ __forceinline__ T sum(T value) const {
    return reduce(value, Plus{});
  }
  template <class T>
  __device__ __forceinline__ T max(T value) const {
    return reduce(value, Larger{});
  }
};

constexpr int team_threads = 256;
/// Rows up to this width go to a warp.
constexpr long widest_of_warp = 1024;

template <class F>
__global__ void warp_rows_kernel(long rows, F f) {
  const Team team{static_cast<int>(threadIdx.x) % warp_lanes, warp_lanes};
  constexpr int each = team_threads / warp_lanes;
  for (long r = static_cast<long>(blockIdx.x) * each + threadIdx.x / warp_lanes; r < rows;
       r += static_cast<long>(gridDim.x) * each)
    f(team, r);
}
template <class F>
__global__ void block_rows_kernel(long rows, F f) {
  const Team team{static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x)};
  for (long r = blockIdx.x; r < rows; r += gridDim.x) f(team, r);
}

/// Runs f(team, r) for every row; `width` says how much work a row is. The threads of a team take elements rank,
/// rank + size, … and all of them must reach the team's sums.
template <class F>
void for_each_row(const Cuda& cuda, const char* what, long rows, long width, F f) {
  if (rows <= 0) return;
  if (width <= widest_of_warp)
    launch(cuda, what, Grid{blocks_for(rows, team_threads / warp_lanes), team_threads}, warp_rows_kernel<F>, rows, f);
  else launch(cuda, what, Grid{std::min(rows, most_blocks), team_threads}, block_rows_kernel<F>, rows, f);
}

/// Elements that one block of `reduce` adds up; a function of nothing, so that results do not depend on the GPU.
constexpr long elements_per_block = 16 * 1024;

template <int K, class F>
__global__ void reduce_parts_kernel(long n, F f, Sums<K>* parts) {
  const long first = blockIdx.x * elements_per_block, last = first + elements_per_block;
  Sums<K> total{};
  for (long i = first + threadIdx.x; i < n && i < last; i += blockDim.x) total = total + f(i);
  total = block_reduce(total, Plus{});
  if (threadIdx.x == 0) parts[blockIdx.x] = total;
}
template <int K, class Finish>
__global__ void reduce_end_kernel(long count, const Sums<K>* parts, Finish finish) {
  Sums<K> total{};
  for (long i = threadIdx.x; i < count; i += blockDim.x) total = total + parts[i];
  total = block_reduce(total, Plus{});
  if (threadIdx.x == 0) finish(total);
}
template <int K, class F, class Finish>
__global__ void reduce_at_once_kernel(long n, F f, Finish finish) {
  Sums<K> total{};
  for (long i = threadIdx.x; i < n; i += blockDim.x) total = total + f(i);
  total = block_reduce(total, Plus{});
  if (threadIdx.x == 0) finish(total);
}

/// finish(Σ_i f(i)), with f and the sum as Sums<K>; one thread runs `finish`.
template <int K, class F, class Finish>
void reduce(const Cuda& cuda, const char* what, long n, F f, Finish finish) {
  const long parts = (n + elements_per_block - 1) / elements_per_block;
  if (parts <= 1) {
    launch(cuda, what, Grid{1, team_threads}, reduce_at_once_kernel<K, F, Finish>, n, f, finish);
    return;
  }
  const Scratch<Sums<K>> scratch(cuda, parts);
  launch(cuda, what, Grid{parts, team_threads}, reduce_parts_kernel<K, F>, n, f, scratch.data());
  launch(cuda, what, Grid{1, team_threads}, reduce_end_kernel<K, Finish>, parts,
         static_cast<const Sums<K>*>(scratch.data()), finish);
}

/// Rows that one block of `reduce_columns` adds up.
constexpr long column_rows_per_block = 256;
constexpr int column_lanes = 8;  ///< rows that a block of 32 columns reads at once

template <int K, class F>
__global__ void column_parts_kernel(long rows, long width, F f, Sums<K>* parts) {
  PHONAUT_SHARED(Sums<K>, lane_sum, (column_lanes * warp_lanes));
  const int x = static_cast<int>(threadIdx.x) % warp_lanes, lane = static_cast<int>(threadIdx.x) / warp_lanes;
  const long blocks = (rows + column_rows_per_block - 1) / column_rows_per_block;
  const long column = static_cast<long>(blockIdx.x) * warp_lanes + x;
  for (long block = blockIdx.y; block < blocks; block += gridDim.y) {
    const long first = block * column_rows_per_block, last = first + column_rows_per_block;
    Sums<K> total{};
    if (column < width)
      for (long r = first + lane; r < rows && r < last; r += column_lanes) total = total + f(r, column);
    lane_sum[threadIdx.x] = total;
    __syncthreads();
    if (lane == 0 && column < width) {
      for (int i = 1; i < column_lanes; ++i) total = total + lane_sum[i * warp_lanes + x];
      parts[block * width + column] = total;
    }
    __syncthreads();
  }
}

/// finish(column, Σ_r f(r, column)) for every column, with f and the sum as Sums<K>. Neighbouring threads have
/// neighbouring columns.
template <int K, class F, class Finish>
void reduce_columns(const Cuda& cuda, const char* what, long rows, long width, F f, Finish finish) {
  if (width <= 0) return;
  const long blocks = (rows + column_rows_per_block - 1) / column_rows_per_block;
  const Scratch<Sums<K>> scratch(cuda, blocks * width);
  Sums<K>* const parts = scratch.data();
  if (blocks > 0)
    launch(cuda, what, Grid{(width + warp_lanes - 1) / warp_lanes, warp_lanes * column_lanes, std::min(blocks, 65535L)},
           column_parts_kernel<K, F>, rows, width, f, parts);
  for_each(cuda, what, width, [=] __device__(long c) {
    Sums<K> total{};
    for (long b = 0; b < blocks; ++b) total = total + parts[b * width + c];
    finish(c, total);
  });
}

}  // namespace phonaut::cuda
