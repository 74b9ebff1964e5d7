#include "products_in_tiles.hpp"

#include "epilogue.cuh"
#include "tile.cuh"

namespace phonaut::cuda {

namespace {

/// A block per tile of a result. Each decides by its utterance's size how much of its tile there is.
template <int Columns, class F>
__global__ void __launch_bounds__(tile_threads)
    products_kernel(kernel::UtteranceProducts<float> p, long column_tiles, F f) {
  constexpr long width = tile_step * Columns;
  const kernel::Gemm<float>& full = p.first;
  const long row = blockIdx.x / column_tiles * tile_size, column = blockIdx.x % column_tiles * width;
  const long x = threadIdx.x % tile_step, y = threadIdx.x / tile_step;
  for (long q = blockIdx.y; q < p.utterances * full.batch; q += gridDim.y) {
    const kernel::Gemm<float> g = p.of(q / full.batch);
    const long h = q % full.batch;
    float sum[tile_each][Columns] = {};
    if (row < g.m && column < g.n)
      add_tile(sum, {g.a + h * g.a_batch, g.m, g.a_row, g.a_col}, row, {g.b + h * g.b_batch, g.n, g.b_col, g.b_row},
               column, g.k);
    for (int i = 0; i < tile_each; ++i)
      for (int j = 0; j < Columns; ++j) {
        const long r = row + y + i * tile_step, c = column + x + j * tile_step;
        if (r >= full.m || c >= full.n) continue;
        float& to = g.c[h * g.c_batch + r * g.c_row + c];
        if (r < g.m && c < g.n) {
          const float value = sum[i][j] + (g.bias ? g.bias[c] : 0.f);
          to = f.value(g.add ? to + value : value);
        } else if (!g.add) to = 0;
      }
  }
}

template <int Columns>
void in_tiles_of(const Cuda& cuda, const kernel::UtteranceProducts<float>& p) {
  const long columns = tiles(p.first.n, tile_step * Columns);
  const Grid grid{tiles(p.first.m) * columns, tile_threads, std::min(p.utterances * p.first.batch, 65535L)};
  with_any(p.first.activation, [&]<class F>(F f) {
    launch(cuda, "matrix products in tiles", grid, products_kernel<Columns, F>, p, columns, f);
  });
}

}  // namespace

void products_in_tiles(const Cuda& cuda, const kernel::UtteranceProducts<float>& on_host) {
  if (on_host.first.m == 0 || on_host.first.n == 0 || on_host.first.batch == 0 || on_host.utterances == 0) return;
  const Brought<long> lengths(cuda, on_host.lengths, on_host.utterances);
  kernel::UtteranceProducts<float> p = on_host;
  p.lengths = lengths.data();
  // Heads are often narrower than a tile, and what a tile has beyond them is computed in vain.
  if (p.first.n <= tile_step) in_tiles_of<1>(cuda, p);
  else if (p.first.n <= 2 * tile_step) in_tiles_of<2>(cuda, p);
  else in_tiles_of<tile_each>(cuda, p);
}

}  // namespace phonaut::cuda
