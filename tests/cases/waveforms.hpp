#include "case.hpp"
#include "phonaut/frontends/mixing.hpp"
#include "phonaut/frontends/wave_norm.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

template <class B>
Waveform<B> waves(const Var<B, 2>& x, const std::vector<long>& lengths) {
  return {x, lengths_of(x.context(), lengths), 0};
}

CASES(waveforms) {
  const auto x = normal(Shape<2>{2, 90}, 3), z = normal(Shape<2>{3, 70}, 4);
  // The mean and the deviation are sums in double; then one division.
  add("wave norm", inputs(normal(Shape<2>{2, 90}, 2, 2, 3)),
      [](const auto& v) {
        return wave_norm(waves(v, {90, 20})).samples;
      },
      {.tolerance = 8 * eps, .time = false});
  for (const Edge edge : {Edge::zero, Edge::symmetric})
    add(edge == Edge::zero ? "preemphasis after a zero" : "preemphasis", inputs(x),
        [=](const auto& v) {
          return preemphasis(waves(v, {90, 20}), 0.97, edge).samples;
        },
        {.tolerance = 4 * eps, .time = false});
  std::vector<double> response;
  for (int i = 0; i < 70; ++i) response.push_back(std::cos(i * i) * std::exp(-i / 20.0));
  // Sums over 70 taps, in float.
  add("convolve", inputs(x),
      [=](const auto& v) {
        return convolve(waves(v, {90, 45}), response).samples;
      },
      {.tolerance = 32 * eps, .time = false});
  const std::vector<MixRegion> regions{{.row = 2, .from = 5, .start = 40, .length = 50, .gain = 0.7}, {}};
  // A product and a sum.
  add("mix regions", inputs(x, z), [=](const auto& v, const auto& w) { return mix_regions(v, w, regions); },
      {.tolerance = 4 * eps, .time = false});
  const std::vector<MixRegion> own{{.row = 1, .from = 5, .start = 40, .length = 50, .gain = 0.7},
                                   {.row = 0, .from = 0, .start = 10, .length = 20, .gain = -2}};
  add("mix a batch with itself", inputs(x), [=](const auto& v) { return mix_regions(v, v, own); },
      {.tolerance = 4 * eps, .time = false});
}

}  // namespace
