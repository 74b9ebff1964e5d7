#include "phonaut/losses/cross_entropy.hpp"

#include "elementwise.cuh"
#include "softmax_row.cuh"

namespace phonaut::kernel {

void cross_entropy_forward(const Cuda& cuda, double smoothing, bool mean, View<const float, 2> x,
                           View<const std::int32_t, 1> labels, float* normaliser, float* row_loss, float* scale,
                           float* loss) {
  const long classes = x.shape[1];
  const std::int32_t* label = labels.data;
  cuda::for_each_row(cuda, "cross_entropy", x.shape[0], classes, [=] __device__(const cuda::Team& team, long r) {
    if (label[r] < 0) {
      if (team.rank == 0) normaliser[r] = row_loss[r] = 0;
      return;
    }
    const float* from = x.row(r);
    const cuda::Exponentials e = cuda::exponentials(team, from, classes);
    double plain = 0;
    for (long c = team.rank; smoothing != 0 && c < classes; c += team.size) plain += static_cast<double>(from[c]);
    if (smoothing != 0) plain = team.sum(plain);
    if (team.rank != 0) return;
    const double norm = static_cast<double>(e.largest) + math::log(e.sum);
    double row = (1 - smoothing) * (norm - static_cast<double>(from[label[r]]));
    if (smoothing != 0) row += smoothing * (norm - plain / static_cast<double>(classes));
    normaliser[r] = static_cast<float>(norm);
    row_loss[r] = static_cast<float>(row);
  });
  cuda::reduce<2>(
      cuda, "cross_entropy", x.shape[0],
      [=] __device__(long r) {
        return cuda::Sums<2>{{static_cast<double>(row_loss[r]), label[r] < 0 ? 0.0 : 1.0}};
      },
      [=] __device__(const cuda::Sums<2>& total) {
        const double factor = !mean ? 1.0 : total.of[1] > 0 ? 1 / total.of[1] : 0.0;
        *scale = static_cast<float>(factor);
        *loss = static_cast<float>(factor * total.of[0]);
      });
}
void cross_entropy_backward(const Cuda& cuda, double smoothing, const float* gain, const float* scale,
                            View<const float, 2> x, View<const std::int32_t, 1> labels, const float* normaliser,
                            Sink<float, 2> dx) {
  const long classes = x.shape[1];
  const std::int32_t* label = labels.data;
  const auto own = static_cast<float>(1 - smoothing);
  const auto uniform = static_cast<float>(smoothing / static_cast<double>(classes));
  cuda::for_each_at(cuda, "cross_entropy", x.shape[0], classes, [=] __device__(long r, long c) {
    const float target = (c == label[r] ? own : 0.f) + uniform;
    const float g = label[r] < 0 ? 0.f : *gain * *scale * (math::exp(x.row(r)[c] - normaliser[r]) - target);
    cuda::put(dx.row(r)[c], g, dx.add);
  });
}

}  // namespace phonaut::kernel
