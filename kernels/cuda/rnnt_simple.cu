#include "phonaut/losses/rnnt_simple.hpp"

#include "elementwise.cuh"
#include "reduce.cuh"

namespace phonaut::kernel {

void exp_below_peak(const Cuda& cuda, View<const float, 2> x, View<float, 2> y, float* peaks) {
  const long width = x.shape[1];
  cuda::for_each_row(cuda, "exp_below_peak", x.shape[0], width, [=] __device__(const cuda::Team& team, long r) {
    const float* from = x.row(r);
    float top = from[0];
    for (long v = team.rank; v < width; v += team.size) top = top < from[v] ? from[v] : top;
    top = team.max(top);
    for (long v = team.rank; v < width; v += team.size) y.row(r)[v] = math::exp(from[v] - top);
    if (team.rank == 0) peaks[r] = top;
  });
}

void simple_arcs(const Cuda& cuda, long blank, View<const float, 3> am, View<const float, 3> lm,
                 View<const float, 2> am_peaks, View<const float, 2> lm_peaks, View<const std::int32_t, 2> labels,
                 const long* label_lengths, View<float, 3> sums, View<float, 3> arcs) {
  const long time = am.shape[1], nodes = lm.shape[1];
  const float least = std::numeric_limits<float>::min();
  const cuda::Brought<long> brought(cuda, label_lengths, am.shape[0]);
  const long* counts = brought.data();
  cuda::for_each_at(cuda, "simple_arcs", am.shape[0] * time, nodes, [=] __device__(long row, long s) {
    const long n = row / time, t = row % time;
    if (sums(n, t, s) < least) sums(n, t, s) = least;
    const float norm = math::log(sums(n, t, s)) + am_peaks(n, t) + lm_peaks(n, s);
    arcs(n, t, nodes - 1 + s) = am(n, t, blank) + lm(n, s, blank) - norm;
    if (s + 1 == nodes) return;
    const long label = s < counts[n] ? labels(n, s) : blank;
    arcs(n, t, s) = am(n, t, label) + lm(n, s, label) - norm;
  });
}

void simple_arc_slopes(const Cuda& cuda, View<const float, 3> darcs, const long* label_lengths,
                       View<const float, 3> sums, View<float, 3> slopes) {
  const long time = sums.shape[1], nodes = sums.shape[2];
  const cuda::Brought<long> brought(cuda, label_lengths, sums.shape[0]);
  const long* counts = brought.data();
  cuda::for_each_at(cuda, "simple_arcs", sums.shape[0] * time, nodes, [=] __device__(long row, long s) {
    const long n = row / time, t = row % time;
    const float symbol = s + 1 < nodes && s < counts[n] ? darcs(n, t, s) : 0.f;
    slopes(n, t, s) = -(symbol + darcs(n, t, nodes - 1 + s)) / sums(n, t, s);
  });
}

void simple_arcs_gradient(const Cuda& cuda, long blank, View<const float, 3> darcs, View<const std::int32_t, 2> labels,
                          const long* label_lengths, View<const float, 3> am, View<const float, 3> lm,
                          View<float, 3> by_am, View<float, 3> by_lm, Sink<float, 3> dam, Sink<float, 3> dlm) {
  const long batch = am.shape[0], time = am.shape[1], nodes = lm.shape[1];
  const cuda::Brought<long> brought(cuda, label_lengths, batch);
  const long* counts = brought.data();
  const auto product = [] __device__(float sum, float factor) { return sum * factor; };
  if (dam) {
    cuda::map_flat(cuda, "simple_arcs", dam.data, dam.size(), dam.add, product, by_am.data, am.data);
    // Labels may come twice, so one thread adds all of a frame.
    cuda::for_each(cuda, "simple_arcs", batch * time, [=] __device__(long row) {
      const long n = row / time, t = row % time;
      float on = 0;
      for (long s = 0; s < nodes; ++s) {
        on += darcs(n, t, nodes - 1 + s);
        if (s + 1 < nodes && s < counts[n]) dam(n, t, labels(n, s)) += darcs(n, t, s);
      }
      dam(n, t, blank) += on;
    });
  }
  if (!dlm) return;
  cuda::map_flat(cuda, "simple_arcs", dlm.data, dlm.size(), dlm.add, product, by_lm.data, lm.data);
  cuda::for_each_row(cuda, "simple_arcs", batch * nodes, time, [=] __device__(const cuda::Team& team, long row) {
    const long n = row / nodes, s = row % nodes;
    const bool labelled = s + 1 < nodes && s < counts[n];
    cuda::Sums<2> total{};
    for (long t = team.rank; t < time; t += team.size)
      total = total + cuda::Sums<2>{{static_cast<double>(darcs(n, t, nodes - 1 + s)),
                                     labelled ? static_cast<double>(darcs(n, t, s)) : 0}};
    total = team.sum(total);
    if (team.rank != 0) return;
    dlm(n, s, blank) += static_cast<float>(total.of[0]);
    if (labelled) dlm(n, s, labels(n, s)) += static_cast<float>(total.of[1]);
  });
}

}  // namespace phonaut::kernel
