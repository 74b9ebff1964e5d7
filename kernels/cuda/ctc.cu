#include "phonaut/losses/ctc.hpp"

#include "elementwise.cuh"
#include "softmax_row.cuh"

namespace phonaut::kernel {

namespace {

using detail::log_add;

/// What the kernels know of the batch; lengths lie on the device.
struct CtcBatch {
  View<const float, 3> x;
  View<const std::int32_t, 2> labels;
  const long *lengths, *label_lengths;
  long blank;

  __device__ __forceinline__ long time(long n) const { return lengths ? lengths[n] : x.shape[1]; }
  __device__ __forceinline__ CtcStates states(long n) const { return CtcStates(labels, label_lengths, blank, n); }
  __device__ __forceinline__ double logit(long n, long t, long c) const { return static_cast<double>(x(n, t, c)); }
};

constexpr int kCtcThreads = 256;

/// A block per utterance, a thread per state (or several): one frame after the other.
__global__ void __launch_bounds__(kCtcThreads)
    alpha_kernel(CtcBatch b, bool zero, View<const double, 2> normaliser, View<double, 3> alpha, double* log_likelihood,
                 float* loss) {
  const long n = blockIdx.x, time = b.time(n), rows = alpha.shape[1];
  const CtcStates states = b.states(n);
  const double none = detail::log_zero<double>();
  const auto row = [&](long t) { return alpha.data + n * alpha.stride[0] + t % rows * alpha.stride[1]; };
  for (long t = 0; t < time; ++t) {
    const double* before = t > 0 ? row(t - 1) : nullptr;
    double* now = row(t);
    for (long s = threadIdx.x; s < states.count; s += kCtcThreads) {
      double reached = before ? before[s] : s < 2 ? 0 : none;
      if (before && s > 0) reached = log_add(reached, before[s - 1]);
      if (before && states.jumps_to(s)) reached = log_add(reached, before[s - 2]);
      now[s] = reached == none ? none : reached + (b.logit(n, t, states[s]) - normaliser(n, t));
    }
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  double total = states.count == 1 ? 0 : none;  // without a frame only silence is possible
  if (time > 0) {
    const double* last = row(time - 1) + states.count - 1;
    total = states.count > 1 ? log_add(last[0], last[-1]) : last[0];
  }
  log_likelihood[n] = total;
  loss[n] = zero && total == none ? 0.f : static_cast<float>(-total);
}

/// The way back; `visits` (N, T, S) gets how probable each state is at each time.
__global__ void __launch_bounds__(kCtcThreads)
    beta_kernel(CtcBatch b, View<const double, 2> normaliser, View<const double, 3> alpha, const double* log_likelihood,
                View<double, 2> scratch, float* visits) {
  const long n = blockIdx.x, time = b.time(n);
  const CtcStates states = b.states(n);
  const double none = detail::log_zero<double>(), total = log_likelihood[n];
  const long last = states.count - 1;
  if (total == none) return;
  const auto beta = [&](long t) { return scratch.row(n) + t % 2 * alpha.shape[2]; };
  for (long t = time; t-- > 0;) {
    for (long s = threadIdx.x; s <= last; s += kCtcThreads) {
      double after = t == time - 1 && s + 2 > last ? 0 : none;
      for (long next = s; t < time - 1 && next <= last && next <= s + 2; ++next) {
        if (next == s + 2 && !states.jumps_to(next)) continue;
        const double ahead = beta(t + 1)[next];
        if (ahead != none) after = log_add(after, ahead + (b.logit(n, t + 1, states[next]) - normaliser(n, t + 1)));
      }
      beta(t)[s] = after;
      visits[(n * b.x.shape[1] + t) * alpha.shape[2] + s] =
          static_cast<float>(math::exp(alpha(n, t, s) + after - total));
    }
    __syncthreads();
  }
}

}  // namespace

void ctc_forward(const Cuda& cuda, long blank, bool zero, View<const float, 3> x, const long* lengths,
                 View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 2> normaliser,
                 View<double, 3> alpha, double* log_likelihood, float* loss) {
  const long batch = x.shape[0], time = x.shape[1], classes = x.shape[2];
  if (batch == 0) return;
  const cuda::Brought<long> frames(cuda, lengths, batch), label_counts(cuda, label_lengths, batch);
  const CtcBatch b{x, labels, frames.data(), label_counts.data(), blank};
  cuda::for_each_row(cuda, "ctc", batch * time, classes, [=] __device__(const cuda::Team& team, long row) {
    const long n = row / time, t = row % time;
    if (t >= b.time(n)) return;
    const cuda::Exponentials e = cuda::exponentials(team, &b.x(n, t, 0), classes);
    if (team.rank == 0) normaliser(n, t) = static_cast<double>(e.largest) + math::log(e.sum);
  });
  cuda::launch(cuda, "ctc", cuda::Grid{batch, kCtcThreads}, alpha_kernel, b, zero, normaliser, alpha, log_likelihood,
               loss);
}

void ctc_backward(const Cuda& cuda, long blank, bool zero, const float* dloss, View<const float, 3> x,
                  const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                  View<const double, 2> normaliser, View<const double, 3> alpha, const double* log_likelihood,
                  View<double, 2> scratch, Sink<float, 3> dx) {
  const long batch = x.shape[0], time = x.shape[1], classes = x.shape[2], states = alpha.shape[2];
  const long most_labels = labels.shape[1];
  if (batch == 0 || !dx) return;
  const cuda::Brought<long> frames(cuda, lengths, batch), label_counts(cuda, label_lengths, batch);
  const CtcBatch b{x, labels, frames.data(), label_counts.data(), blank};
  const cuda::Scratch<float> visit_room(cuda, batch * time * states);
  float* const visits = visit_room.data();
  cuda::launch(cuda, "ctc", cuda::Grid{batch, kCtcThreads}, beta_kernel, b, normaliser, alpha, log_likelihood, scratch,
               visits);
  cuda::for_each_at(cuda, "ctc", batch * time, classes, [=] __device__(long row, long c) {
    const long n = row / time, t = row % time;
    const bool possible = log_likelihood[n] != detail::log_zero<double>();
    float g = 0;
    if (t < b.time(n) && possible) g = dloss[n] * static_cast<float>(math::exp(b.logit(n, t, c) - normaliser(n, t)));
    else if (t < b.time(n) && !zero) g = NAN;
    cuda::put(dx(n, t, c), g, dx.add);
  });
  // A label may stand in several states of an utterance. Its first place adds up all of them, in order.
  const cuda::Scratch<int> chain_room(cuda, 2 * batch * most_labels);
  int *const next = chain_room.data(), *const first = next + batch * most_labels;
  cuda::for_each_at(cuda, "ctc", batch, most_labels, [=] __device__(long n, long u) {
    const long count = b.label_lengths[n], at = n * most_labels + u;
    const std::int32_t* label = b.labels.row(n);
    bool seen = u >= count;
    for (long v = 0; v < u && !seen; ++v) seen = label[v] == label[u];
    first[at] = !seen;
    next[at] = -1;
    for (long v = u + 1; v < count && next[at] < 0; ++v)
      if (label[v] == label[u]) next[at] = static_cast<int>(v);
  });
  cuda::for_each_row(cuda, "ctc", batch * time, states, [=] __device__(const cuda::Team& team, long row) {
    const long n = row / time, t = row % time, count = b.label_lengths[n];
    if (t >= b.time(n) || log_likelihood[n] == detail::log_zero<double>()) return;
    const float* visit = visits + row * states;
    double blanks = 0;
    for (long s = 2 * team.rank; s < 2 * count + 1; s += 2 * team.size) blanks += static_cast<double>(visit[s]);
    blanks = team.sum(blanks);
    if (team.rank == 0) dx(n, t, blank) -= dloss[n] * static_cast<float>(blanks);
    for (long u = team.rank; u < count; u += team.size) {
      if (!first[n * most_labels + u]) continue;
      float total = 0;
      for (long v = u; v >= 0; v = next[n * most_labels + v]) total += visit[2 * v + 1];
      dx(n, t, b.labels.row(n)[u]) -= dloss[n] * total;
    }
  });
}

}  // namespace phonaut::kernel
