#include "phonaut/ops/mix_regions.hpp"

#include "elementwise.cuh"

namespace phonaut::kernel {

void mix_regions_forward(const Cuda& cuda, View<const float, 2> x, View<const float, 2> z, const MixRegion* regions,
                         View<float, 2> y) {
  const cuda::Brought<MixRegion> brought(cuda, regions, x.shape[0]);
  const MixRegion* region = brought.data();
  cuda::for_each_at(cuda, "mix_regions", x.shape[0], x.shape[1], [=] __device__(long n, long i) {
    const MixRegion& r = region[n];
    const long at = i - r.start;
    const float extra = at >= 0 && at < r.length ? static_cast<float>(r.gain) * z.row(r.row)[r.from + at] : 0.f;
    y.row(n)[i] = x.row(n)[i] + extra;
  });
}
void mix_regions_backward(const Cuda& cuda, View<const float, 2> dy, const MixRegion* regions, Sink<float, 2> dz) {
  const long batch = dy.shape[0];
  const cuda::Brought<MixRegion> brought(cuda, regions, batch);
  const MixRegion* region = brought.data();
  cuda::for_each_at(cuda, "mix_regions", dz.shape[0], dz.shape[1], [=] __device__(long row, long i) {
    float total = 0;
    for (long n = 0; n < batch; ++n) {
      const MixRegion& r = region[n];
      const long at = i - r.from;
      if (r.row == row && at >= 0 && at < r.length) total += static_cast<float>(r.gain) * dy.row(n)[r.start + at];
    }
    cuda::put(dz.row(row)[i], total, dz.add);
  });
}

}  // namespace phonaut::kernel
