#include "case.hpp"
#include "phonaut/ops/chunk_causal_conv1d.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(chunk_causal_conv1d) {
  struct Sizes {
    long batch, time, channels, taps, chunk;
    std::vector<long> lengths;
  };
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1, -1, {}},
                                           {2, 20, 6, 7, 4, {}},
                                           {2, 20, 17, 7, 9, {}},
                                           {1, 20, 33, 7, 40, {}},
                                           {3, 20, 6, 7, -1, {20, 0, 11}},
                                           {2, 75, 16, 31, 16, {75, 40}},
                                           {1, 150, 16, 31, -1, {}},
                                           {8, 500, 192, 31, 32, {}}})
    for (Padding padding : {Padding::masked, Padding::reference}) {
      if (padding == Padding::reference && s.lengths.empty()) continue;
      const double n = double(s.batch * s.time * s.channels);
      add(concat(s.batch, "x", s.time, "x", s.channels, " taps ", s.taps, " chunk ", s.chunk,
                 s.lengths.empty() ? "" : " padded", padding == Padding::masked ? "" : " reference"),
          inputs(normal(Shape<3>{s.batch, s.time, s.channels}, 1),
                 normal(Shape<3>{s.channels, 1, (s.taps + 1) / 2}, 2, 0.3), normal(Shape<1>{s.channels}, 3),
                 normal(Shape<3>{s.channels, 1, s.taps}, 4, 0.3), normal(Shape<1>{s.channels}, 5),
                 normal(Shape<3>{2, s.channels, s.taps}, 6, 0.5)),
          [s, padding](const auto& x, const auto& causal, const auto& causal_bias, const auto& chunk,
                       const auto& chunk_bias, const auto& edge) {
            using B = typename std::remove_cvref_t<decltype(x)>::Backend;
            Sequence<B> in{x, {}, 0};
            if (!s.lengths.empty()) in.lengths = lengths_of(x.context(), s.lengths);
            return chunk_causal_conv1d(in, ChunkCausalWeights<B>{causal, causal_bias, chunk, chunk_bias, edge}, s.chunk,
                                       padding)
                .frames;
          },
          // Two sums of up to 31 products; gradients of filters sum over all frames.
          {.tolerance = 32 * eps,
           .gradient = 128 * eps,
           .bytes = 8 * n,
           .flops = 3 * n * double(s.taps),
           .check = s.time <= 150});
    }
}

}  // namespace
