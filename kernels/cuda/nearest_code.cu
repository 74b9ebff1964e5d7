#include "phonaut/ops/nearest_code.hpp"

#include "reduce.cuh"
#include "tile.cuh"

namespace phonaut::kernel {

namespace {

/// A block per tile of rows: the scores of a tile of entries never leave the registers, only the best one so far is
/// kept.
__global__ void __launch_bounds__(cuda::tile_threads)
    nearest_kernel(View<const float, 2> x, View<const float, 2> table, const float* half_square, std::int32_t* code) {
  PHONAUT_SHARED(float, best_score, (cuda::tile_size * cuda::tile_step));
  PHONAUT_SHARED(int, best_entry, (cuda::tile_size * cuda::tile_step));
  const long entries = table.shape[0], row = static_cast<long>(blockIdx.x) * cuda::tile_size;
  const int at_x = static_cast<int>(threadIdx.x) % cuda::tile_step,
            at_y = static_cast<int>(threadIdx.x) / cuda::tile_step;
  float best[cuda::tile_each];
  int entry[cuda::tile_each] = {};
  for (float& b : best) b = INFINITY;
  for (long first = 0; first < entries; first += cuda::tile_size) {
    float sum[cuda::tile_each][cuda::tile_each] = {};
    cuda::add_tile(sum, {x.data, x.shape[0], x.stride[0], 1}, row, {table.data, entries, table.stride[0], 1}, first,
                   x.shape[1]);
    for (int j = 0; j < cuda::tile_each; ++j) {
      const long e = first + at_x + j * cuda::tile_step;
      if (e >= entries) continue;
      for (int i = 0; i < cuda::tile_each; ++i) {
        const float score = half_square[e] - sum[i][j];
        if (score < best[i]) {
          best[i] = score;
          entry[i] = static_cast<int>(e);
        }
      }
    }
  }
  for (int i = 0; i < cuda::tile_each; ++i) {
    const int at = (at_y + i * cuda::tile_step) * cuda::tile_step + at_x;
    best_score[at] = best[i];
    best_entry[at] = entry[i];
  }
  __syncthreads();
  const long r = row + threadIdx.x;
  if (threadIdx.x >= cuda::tile_size || r >= x.shape[0]) return;
  const int from = static_cast<int>(threadIdx.x) * cuda::tile_step;
  float least = best_score[from];
  int chosen = best_entry[from];
  for (int i = 1; i < cuda::tile_step; ++i) {
    const float score = best_score[from + i];
    const int e = best_entry[from + i];
    if (score < least || (score == least && e < chosen)) {
      least = score;
      chosen = e;
    }
  }
  code[r] = chosen;
}

}  // namespace

void nearest_code(const Cuda& cuda, View<const float, 2> x, View<const float, 2> table, float* scratch,
                  std::int32_t* code) {
  const long dims = table.shape[1];
  if (x.shape[0] == 0) return;
  cuda::for_each_row(cuda, "nearest_code", table.shape[0], dims, [=] __device__(const cuda::Team& team, long j) {
    double square = 0;
    for (long d = team.rank; d < dims; d += team.size) {
      const auto v = static_cast<double>(table.row(j)[d]);
      square += v * v;
    }
    square = team.sum(square);
    if (team.rank == 0) scratch[j] = static_cast<float>(0.5 * square);
  });
  const long tiles = (x.shape[0] + cuda::tile_size - 1) / cuda::tile_size;
  cuda::launch(cuda, "nearest_code", cuda::Grid{tiles, cuda::tile_threads}, nearest_kernel, x, table,
               static_cast<const float*>(scratch), code);
}

}  // namespace phonaut::kernel
