#include "elementwise.cuh"
#include "phonaut/quantizers/lfq.hpp"
#include "reduce.cuh"

namespace phonaut::kernel {

namespace {

/// Probabilities of the bits of each row: up (rows, bits), then down.
struct BitProbabilities {
  const double *up, *down;
  long bits;

  /// Of code j in row r; the first channel is the most significant bit.
  __device__ __forceinline__ double of(long r, long j) const {
    double p = 1;
    for (long k = 0; k < bits; ++k) p *= (j >> (bits - 1 - k) & 1 ? up : down)[r * bits + k];
    return p;
  }
};

BitProbabilities bit_probabilities(const Cuda& cuda, const CornerSoftmax& softmax, View<const float, 2> x,
                                   double* room) {
  const double scale = 2 * softmax.gain();
  const long bits = x.shape[1];
  double *const up = room, *const down = room + x.size();
  cuda::for_each_at(cuda, "corner_entropies", x.shape[0], bits, [=] __device__(long r, long k) {
    const double logit = scale * static_cast<double>(x.row(r)[k]);
    up[r * bits + k] = math::sigmoid(logit);
    down[r * bits + k] = math::sigmoid(-logit);
  });
  return {up, down, bits};
}

__device__ __forceinline__ double entropy(double p, double clamp) { return -p * math::log(p < clamp ? clamp : p); }

}  // namespace

void corner_sums(const Cuda& cuda, CornerSoftmax o, double share, View<const float, 2> x, double* scratch,
                 double* sums) {
  const long rows = x.shape[0], codes = 1L << x.shape[1];
  const double clamp = o.clamp;
  const cuda::Scratch<double> room(cuda, 2 * x.size());
  const BitProbabilities p = bit_probabilities(cuda, o, x, room.data());
  cuda::reduce_columns<2>(
      cuda, "corner_entropies", rows, codes,
      [=] __device__(long r, long j) {
        const double v = p.of(r, j);
        return cuda::Sums<2>{{v, entropy(v, clamp)}};
      },
      [=] __device__(long j, const cuda::Sums<2>& total) {
        sums[j] = share * total.of[0];
        scratch[j] = share * total.of[1];
      });
  cuda::reduce<1>(
      cuda, "corner_entropies", codes, [=] __device__(long j) { return cuda::Sums<1>{{scratch[j]}}; },
      [=] __device__(const cuda::Sums<1>& total) { sums[codes] = total.of[0]; });
}

void corner_entropies_forward(const Cuda& cuda, CornerSoftmax o, View<const double, 1> of_batch, float* y) {
  const long codes = of_batch.size() - 1;
  const double clamp = o.clamp;
  const double* const sums = of_batch.data;
  cuda::reduce<1>(
      cuda, "corner_entropies", codes, [=] __device__(long j) { return cuda::Sums<1>{{entropy(sums[j], clamp)}}; },
      [=] __device__(const cuda::Sums<1>& total) {
        y[0] = static_cast<float>(sums[codes]);
        y[1] = static_cast<float>(total.of[0]);
      });
}

void corner_entropies_backward(const Cuda& cuda, CornerSoftmax o, double share, const float* dy, View<const float, 2> x,
                               double*, const double* average, Sink<float, 2> dx) {
  const long rows = x.shape[0], bits = x.shape[1], codes = 1L << bits;
  const double clamp = o.clamp, gain = o.gain();
  const cuda::Scratch<double> room(cuda, 2 * x.size());
  const BitProbabilities p = bit_probabilities(cuda, o, x, room.data());
  // With g_j = dloss/dp_j, dx_k = gain Σ_j ± p_j (g_j - <p, g>), where Σ_j ± p_j is up - down of bit k.
  cuda::for_each_row(cuda, "corner_entropies", rows, codes, [=] __device__(const cuda::Team& team, long r) {
    const auto slope = [&](double v) { return -(math::log(v < clamp ? clamp : v) + (v < clamp ? 0.0 : 1.0)); };
    double along = 0, of_bit[32] = {};
    for (long j = team.rank; j < codes; j += team.size) {
      const double v = p.of(r, j);
      const double g =
          v * share * (static_cast<double>(dy[0]) * slope(v) + static_cast<double>(dy[1]) * slope(average[j]));
      along += g;
      for (long k = 0; k < bits; ++k) of_bit[k] += j >> (bits - 1 - k) & 1 ? g : -g;
    }
    along = team.sum(along);
    for (long k = 0; k < bits; ++k) {
      const double total = team.sum(of_bit[k]) - along * (p.up[r * bits + k] - p.down[r * bits + k]);
      if (team.rank == 0) cuda::put(dx.row(r)[k], static_cast<float>(gain * total), dx.add);
    }
  });
}

}  // namespace phonaut::kernel
