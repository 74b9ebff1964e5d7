#pragma once
// The matrix products of attention: one for each head of each utterance, over the frames that the utterance has.
#include <algorithm>
#include <type_traits>

#include "phonaut/ops/gemm.hpp"

namespace phonaut::kernel {

/// `first` are the products of the first utterance, one of a batch for each head; the next utterance has those of the
/// same size whose operands lie a_step, b_step and c_step elements further. With `lengths`, utterance u has at most
/// lengths[u] rows (m), columns (n) or terms of the sum (k), whichever are limited; what a result of the full size has
/// beyond that becomes 0, or stays as it is where the products are added to it, and what the operands have is not
/// looked at. No bias, no activation.
template <class S>
struct UtteranceProducts {
  Gemm<S> first;
  long utterances = 1;
  long a_step = 0, b_step = 0, c_step = 0;
  const long* lengths = nullptr;
  bool limit_m = false, limit_n = false, limit_k = false;

  /// The products of utterance u.
  PHONAUT_HD Gemm<S> of(long u) const {
    Gemm<S> g = first;
    g.a += u * a_step;
    g.b += u * b_step;
    g.c += u * c_step;
    if (!lengths) return g;
    const long length = lengths[u];
    if (limit_m && length < g.m) g.m = length;
    if (limit_n && length < g.n) g.n = length;
    if (limit_k && length < g.k) g.k = length;
    return g;
  }
};

/// Utterance after utterance: the products of one fill a processor.
template <class B, class S>
void utterance_products(const B& backend, const UtteranceProducts<S>& p) {
  static_assert(std::is_same_v<typename B::Memory, HostMemory>, "what lies beyond the limits is cleared on the host");
  for (long u = 0; u < p.utterances; ++u) {
    const Gemm<S> g = p.of(u);
    if (g.m > 0 && g.n > 0) gemm(backend, g);
    if (g.add || (g.m == p.first.m && g.n == p.first.n)) continue;
    for (long q = 0; q < g.batch; ++q)
      for (long i = 0; i < p.first.m; ++i) {
        S* row = g.c + q * g.c_batch + i * g.c_row;
        std::fill(row + (i < g.m ? g.n : 0), row + p.first.n, S(0));
      }
  }
}
/// All of them at once, unless those of one utterance take longer than a launch.
void utterance_products(const Cuda& cuda, const UtteranceProducts<float>& p);

}  // namespace phonaut::kernel
