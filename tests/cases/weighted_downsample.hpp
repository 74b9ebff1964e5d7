#include "case.hpp"
#include "phonaut/ops/weighted_downsample.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(weighted_downsample) {
  struct Sizes {
    long batch, time, channels, group;
    std::vector<long> lengths;
  };
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1, {}},
                                           {2, 9, 7, 2, {}},
                                           {1, 3, 20, 8, {}},
                                           {3, 9, 33, 4, {9, 0, 6}},
                                           {8, 500, 192, 2, {}},
                                           {8, 500, 256, 8, {}}})
    for (Padding padding : {Padding::masked, Padding::reference}) {
      const double n = double(s.batch * s.time * s.channels);
      add(concat(s.batch, "x", s.time, "x", s.channels, " by ", s.group, s.lengths.empty() ? "" : " padded",
                 padding == Padding::masked ? "" : " reference"),
          inputs(normal(Shape<3>{s.batch, s.time, s.channels}, 1), normal(Shape<1>{s.group}, 2)),
          [s, padding](const auto& x, const auto& bias) {
            using B = typename std::remove_cvref_t<decltype(x)>::Backend;
            Sequence<B> in{x, {}, 0};
            if (!s.lengths.empty()) in.lengths = lengths_of(x.context(), s.lengths);
            return weighted_downsample(in, bias, padding).frames;
          },
          // Means of up to 8 numbers; the bias's gradient is a difference of sums over all frames.
          {.tolerance = 8 * eps, .gradient = 64 * eps, .bytes = 4 * n, .flops = 2 * n, .check = s.time <= 10});
    }
}

}  // namespace
