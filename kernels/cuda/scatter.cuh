#pragma once
// Sums of rows that go to places which others may share: gradients of tables, codebooks, chosen rows.
#include "reduce.cuh"

namespace phonaut::cuda {

constexpr int scatter_warps = 8, scatter_columns = 4 * warp_lanes;

/// A block per place and stretch of columns. Each of its warps looks through a share of the rows, 32 at a time, and
/// adds up those that go to the place; the shares are added in order.
template <class At, class Value, class Finish>
__global__ void __launch_bounds__(scatter_warps* warp_lanes)
    scatter_kernel(long places, long width, long rows, At at, Value value, Finish finish) {
  PHONAUT_SHARED(double, part, (scatter_warps * scatter_columns));
  const int lane = static_cast<int>(threadIdx.x) % warp_lanes, warp = static_cast<int>(threadIdx.x) / warp_lanes;
  const long each = ((rows + scatter_warps - 1) / scatter_warps + warp_lanes - 1) / warp_lanes * warp_lanes;
  const long begin = warp * each, end = begin + each < rows ? begin + each : rows;
  for (long first = static_cast<long>(blockIdx.y) * scatter_columns; first < width;
       first += static_cast<long>(gridDim.y) * scatter_columns)
    for (long place = blockIdx.x; place < places; place += gridDim.x) {
      double sum[scatter_columns / warp_lanes] = {};
      for (long base = begin; base < end; base += warp_lanes) {
        const bool mine = base + lane < end && static_cast<long>(at(base + lane)) == place;
        for (unsigned hits = __ballot_sync(all_lanes, mine); hits != 0; hits &= hits - 1) {
          const long row = base + __ffs(hits) - 1;
          for (int k = 0; k < scatter_columns / warp_lanes; ++k) {
            const long c = first + lane + k * warp_lanes;
            if (c < width) sum[k] += static_cast<double>(value(row, c));
          }
        }
      }
      for (int k = 0; k < scatter_columns / warp_lanes; ++k)
        part[warp * scatter_columns + k * warp_lanes + lane] = sum[k];
      __syncthreads();
      const long c = first + threadIdx.x;
      if (threadIdx.x < scatter_columns && c < width) {
        double total = 0;
        for (int w = 0; w < scatter_warps; ++w) total += part[w * scatter_columns + threadIdx.x];
        finish(place, c, total);
      }
      __syncthreads();
    }
}

/// finish(place, column, Σ value(row, column) over the rows with at(row) == place) for every place, hit or not.
template <class At, class Value, class Finish>
void scatter(const Cuda& cuda, const char* what, long places, long width, long rows, At at, Value value,
             Finish finish) {
  if (places <= 0 || width <= 0) return;
  launch(cuda, what,
         Grid{std::min(places, most_blocks), scatter_warps * warp_lanes,
              std::min((width + scatter_columns - 1) / scatter_columns, 65535L)},
         scatter_kernel<At, Value, Finish>, places, width, rows, at, value, finish);
}

}  // namespace phonaut::cuda
