#include "phonaut/ops/utterance_products.hpp"

#include "cuda.cuh"
#include "product_way.hpp"
#include "products_in_tiles.hpp"
#include "tile.cuh"
#include "way.hpp"

namespace phonaut::kernel {

namespace {

/// Own tiles multiply at 0.2 TFLOP/s on each of 130 multiprocessors or so, 0.3 ns for a tile and a term of its sums:
/// with this many of both, the products of one call would take as long as the launch of the library's. Reasoned, not
/// measured.
constexpr long tiles_by_terms = 16 * 1024;

bool limited(const UtteranceProducts<float>& p) {
  for (long u = 0; p.lengths && u < p.utterances; ++u) {
    const Gemm<float> g = p.of(u);
    if (g.m < p.first.m || g.n < p.first.n || g.k < p.first.k) return true;
  }
  return false;
}

bool outlasts_launch(const Gemm<float>& g) {
  const auto tiles = [](long n) { return (n + cuda::tile_size - 1) / cuda::tile_size; };
  return g.batch * tiles(g.m) * tiles(g.n) * g.k >= tiles_by_terms;
}

/// Sets what the results have beyond the limits to 0.
void clear_beyond_limits(const Cuda& cuda, const UtteranceProducts<float>& on_host) {
  const Gemm<float>& full = on_host.first;
  const cuda::Brought<long> lengths(cuda, on_host.lengths, on_host.utterances);
  UtteranceProducts<float> p = on_host;
  p.lengths = lengths.data();
  const long heads = full.batch, m = full.m;
  cuda::for_each_at(cuda, "clearing the padding of products", p.utterances * heads * m, full.n,
                    [=] __device__(long row, long c) {
                      const long r = row % m, h = row / m % heads;
                      const Gemm<float> g = p.of(row / m / heads);
                      if (r >= g.m || c >= g.n) g.c[h * g.c_batch + r * g.c_row + c] = 0;
                    });
}

}  // namespace

void utterance_products(const Cuda& cuda, const UtteranceProducts<float>& p) {
  const bool ragged = limited(p);
  UtteranceProducts<float> calls = p;
  if (!ragged) {
    calls.lengths = nullptr;
    if (p.first.batch < p.utterances) {  // fewer calls: one for each head of all utterances
      std::swap(calls.first.batch, calls.utterances);
      std::swap(calls.first.a_batch, calls.a_step);
      std::swap(calls.first.b_batch, calls.b_step);
      std::swap(calls.first.c_batch, calls.c_step);
    }
  }
  using Way = cuda::ProductWay;
  const Way asked = cuda::way<Way>();
  if (asked == Way::tiles || (asked == Way::by_size && calls.utterances > 1 && !outlasts_launch(calls.first)))
    return cuda::products_in_tiles(cuda, p);
  for (long u = 0; u < calls.utterances; ++u) gemm(cuda, calls.of(u));
  if (ragged && !p.first.add && (p.limits.m || p.limits.n)) clear_beyond_limits(cuda, p);
}

}  // namespace phonaut::kernel
