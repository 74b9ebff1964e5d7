#include "phonaut/ops/utterance_products.hpp"

#include "cuda.cuh"
#include "product_way.hpp"
#include "products_in_tiles.hpp"
#include "tile.cuh"
#include "way.hpp"

namespace phonaut::kernel {

namespace {

// Own tiles multiply at 0.2 TFLOP/s on each of 130 multiprocessors or so: 41 ns for a term of the sums of a tile. A
// call of the library takes no less than its launch. Reasoned, not measured.
constexpr long multiprocessors = 130, term_ns = 41, launch_ns = 5000;

bool limited(const UtteranceProducts<float>& p) {
  for (long u = 0; p.lengths && u < p.utterances; ++u) {
    const Gemm<float> g = p.of(u);
    if (g.m < p.first.m || g.n < p.first.n || g.k < p.first.k) return true;
  }
  return false;
}

/// Than a call of the library for each utterance.
bool quicker_in_tiles(const UtteranceProducts<float>& p) {
  const Gemm<float>& g = p.first;
  const long tiles = p.utterances * g.batch * cuda::tiles(g.m) * cuda::tiles(g.n);
  return (tiles + multiprocessors - 1) / multiprocessors * g.k * term_ns < p.utterances * launch_ns;
}

}  // namespace

void clear_beyond_limits(const Cuda& cuda, const UtteranceProducts<float>& on_host) {
  const Gemm<float>& full = on_host.first;
  const cuda::Brought<long> lengths(cuda, on_host.lengths, on_host.utterances);
  UtteranceProducts<float> p = on_host;
  p.lengths = lengths.data();
  const long heads = full.batch, m = full.m;
  cuda::for_each_at(cuda, "clear_beyond_limits", p.utterances * heads * m, full.n, [=] __device__(long row, long c) {
    const long r = row % m, h = row / m % heads;
    const Gemm<float> g = p.of(row / m / heads);
    if (r >= g.m || c >= g.n) g.c[h * g.c_batch + r * g.c_row + c] = 0;
  });
}

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
  if (asked == Way::tiles || (asked == Way::by_size && calls.utterances > 1 && quicker_in_tiles(calls)))
    return cuda::products_in_tiles(cuda, calls);
  for (long u = 0; u < calls.utterances; ++u) gemm(cuda, calls.of(u));
  if (ragged && !p.first.add && (p.limits.m || p.limits.n)) clear_beyond_limits(cuda, p);
}

}  // namespace phonaut::kernel
