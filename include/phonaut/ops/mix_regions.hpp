#pragma once
// A piece of one signal added to a piece of another: noise, or a second speaker.
#include <vector>

#include "phonaut/core/waveform.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

/// gain · z[row, from … from + length) is added to samples start … start + length of an utterance. Nothing is added
/// where the length is 0.
struct MixRegion {
  long row = 0, from = 0, start = 0, length = 0;
  double gain = 1;
};

namespace kernel {

/// y = x, and one region for each of its rows.
template <class S>
void mix_regions_forward(const Reference&, View<const S, 2> x, View<const S, 2> z, const MixRegion* regions,
                         View<S, 2> y) {
  for (long n = 0; n < x.shape[0]; ++n) {
    const MixRegion& r = regions[n];
    S* const to = y.row(n);
    std::copy_n(x.row(n), x.shape[1], to);
    const S gain(static_cast<S>(r.gain));
    for (long i = 0; i < r.length; ++i) to[r.start + i] += gain * z.row(r.row)[r.from + i];
  }
}
/// dz += gain dy in each region.
template <class S>
void mix_regions_backward(const Reference&, View<const S, 2> dy, const MixRegion* regions, Sink<S, 2> dz) {
  if (!dz.add) std::fill_n(dz.data, dz.size(), S(0));
  for (long n = 0; n < dy.shape[0]; ++n) {
    const MixRegion& r = regions[n];
    const S gain(static_cast<S>(r.gain));
    for (long i = 0; i < r.length; ++i) dz.row(r.row)[r.from + i] += gain * dy.row(n)[r.start + i];
  }
}

void mix_regions_forward(const Cuda& cuda, View<const float, 2> x, View<const float, 2> z, const MixRegion* regions,
                         View<float, 2> y);
void mix_regions_backward(const Cuda& cuda, View<const float, 2> dy, const MixRegion* regions, Sink<float, 2> dz);

}  // namespace kernel

/// x (N, samples) with one region of z (M, others) added to each of its utterances. Gains are constants: gradients
/// reach x and z only, and z may be x. Throws ShapeError unless there is one region for each utterance, inside the
/// samples of both.
template <class B>
Var<B, 2> mix_regions(const Var<B, 2>& any_x, const Var<B, 2>& any_z, std::vector<MixRegion> regions) {
  if (static_cast<long>(regions.size()) != any_x.extent(0))
    throw ShapeError(concat("mix_regions: ", regions.size(), " regions for samples ", text(any_x.shape())));
  for (const MixRegion& r : regions) {
    const bool inside = r.length >= 0 && r.start >= 0 && r.start + r.length <= any_x.extent(1) && r.from >= 0 &&
                        r.from + r.length <= any_z.extent(1) && r.row >= 0 && r.row < any_z.extent(0);
    if (r.length != 0 && !inside)
      throw ShapeError(concat("mix_regions: ", r.length, " samples of row ", r.row, " from ", r.from,
                              " on, to be added from ", r.start, " on, are not within ", text(any_z.shape()), " and ",
                              text(any_x.shape())));
  }
  const Var<B, 2> x = rowwise(any_x), z = rowwise(any_z);
  auto& ctx = x.context();
  auto y = ctx.empty(x.shape());
  kernel::mix_regions_forward(ctx.backend(), x.in(), z.in(), regions.data(), y.out());
  return record(
      std::move(y),
      [x = target(x), z = target(z), regions = std::move(regions)](Context<B>& c, const Tensor<B, 2>& dy) {
        if (auto dz = c.sink(z)) kernel::mix_regions_backward(c.backend(), dy.in(), regions.data(), dz);
        detail::hand_on(c, dy, x);
      },
      x, z);
}

}  // namespace phonaut
