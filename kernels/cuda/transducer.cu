#include "phonaut/losses/transducer.hpp"

#include "elementwise.cuh"
#include "phonaut/losses/rnnt.hpp"
#include "phonaut/losses/transducer_topology.hpp"
#include "softmax_row.cuh"

namespace phonaut::kernel {

namespace {

using detail::log_add;

constexpr int kLatticeThreads = 256;

/// A block per utterance. All nodes with the same t + s depend on those with one less only.
__global__ void __launch_bounds__(kLatticeThreads)
    lattice_alpha_kernel(View<const float, 3> symbols, View<const float, 3> blanks, const long* lengths,
                         const long* label_lengths, View<double, 3> alpha, double* log_likelihood, float* loss) {
  const long n = blockIdx.x, time = lengths ? lengths[n] : blanks.shape[1], labels = label_lengths[n];
  for (long d = 0; d < time + labels; ++d) {
    for (long s = threadIdx.x; s <= labels; s += kLatticeThreads) {
      const long t = d - s;
      if (t < 0 || t >= time) continue;
      double reached = d == 0 ? 0 : detail::log_zero<double>();
      if (s > 0) reached = log_add(reached, alpha(n, t, s - 1) + static_cast<double>(symbols(n, t, s - 1)));
      if (t > 0) reached = log_add(reached, alpha(n, t - 1, s) + static_cast<double>(blanks(n, t - 1, s)));
      alpha(n, t, s) = reached;
    }
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  const double total = time > 0 ? alpha(n, time - 1, labels) + static_cast<double>(blanks(n, time - 1, labels)) : 0;
  log_likelihood[n] = total;
  loss[n] = static_cast<float>(-total);
}

__global__ void __launch_bounds__(kLatticeThreads)
    lattice_beta_kernel(const float* gain, View<const float, 3> symbols, View<const float, 3> blanks,
                        const long* lengths, const long* label_lengths, View<const double, 3> alpha,
                        const double* log_likelihood, View<double, 2> beta, Sink<float, 3> symbol_share,
                        Sink<float, 3> blank_share) {
  const long n = blockIdx.x, time = lengths ? lengths[n] : blanks.shape[1], labels = label_lengths[n];
  const long nodes = blanks.shape[2];
  const double none = detail::log_zero<double>(), total = log_likelihood[n];
  const double factor = gain ? static_cast<double>(gain[n]) : 1;
  const auto diagonal = [&](long d) { return beta.row(n) + d % 2 * nodes; };
  for (long d = time + labels; d-- > 0;) {
    const double* ahead = diagonal(d + 1);
    for (long s = threadIdx.x; s <= labels; s += kLatticeThreads) {
      const long t = d - s;
      if (t < 0 || t >= time) continue;
      const double by_symbol = s < labels ? static_cast<double>(symbols(n, t, s)) + ahead[s + 1] : none;
      const double on = t + 1 < time ? ahead[s] : s == labels ? 0 : none;
      const double by_blank = static_cast<double>(blanks(n, t, s)) + on;
      diagonal(d)[s] = log_add(by_symbol, by_blank);
      const auto share = [&](double arc) {
        return arc == none || total == none ? 0.f
                                            : static_cast<float>(factor * math::exp(alpha(n, t, s) + arc - total));
      };
      if (symbol_share && s + 1 < nodes) cuda::put(symbol_share(n, t, s), share(by_symbol), symbol_share.add);
      if (blank_share) cuda::put(blank_share(n, t, s), share(by_blank), blank_share.add);
    }
    __syncthreads();
  }
}

/// Zeros for arcs that an utterance does not have.
void clear_absent(const Cuda& cuda, const Sink<float, 3>& arcs, const long* frames, const long* labels) {
  const Sink<float, 3> share = arcs;
  const long time = share.shape[1];
  if (!share || share.add) return;
  cuda::for_each_at(cuda, "transducer", share.shape[0] * time, share.shape[2], [=] __device__(long row, long s) {
    const long n = row / time, t = row % time;
    if (t >= (frames ? frames[n] : time) || s > labels[n]) share(n, t, s) = 0;
  });
}

}  // namespace

void lattice_forward(const Cuda& cuda, View<const float, 3> symbols, View<const float, 3> blanks, const long* lengths,
                     const long* label_lengths, View<double, 3> alpha, double* log_likelihood, float* loss) {
  const long batch = blanks.shape[0];
  if (batch == 0) return;
  const cuda::Brought<long> frames(cuda, lengths, batch), labels(cuda, label_lengths, batch);
  cuda::launch(cuda, "transducer", cuda::Grid{batch, kLatticeThreads}, lattice_alpha_kernel, symbols, blanks,
               frames.data(), labels.data(), alpha, log_likelihood, loss);
}

void lattice_backward(const Cuda& cuda, const float* gain, View<const float, 3> symbols, View<const float, 3> blanks,
                      const long* lengths, const long* label_lengths, View<const double, 3> alpha,
                      const double* log_likelihood, View<double, 2> beta, Sink<float, 3> symbol_share,
                      Sink<float, 3> blank_share) {
  const long batch = blanks.shape[0];
  if (batch == 0) return;
  const cuda::Brought<long> brought(cuda, lengths, batch), label_counts(cuda, label_lengths, batch);
  const long *frames = brought.data(), *labels = label_counts.data();
  clear_absent(cuda, symbol_share, frames, labels);
  clear_absent(cuda, blank_share, frames, labels);
  cuda::launch(cuda, "transducer", cuda::Grid{batch, kLatticeThreads}, lattice_beta_kernel, gain, symbols, blanks,
               frames, labels, alpha, log_likelihood, beta, symbol_share, blank_share);
}

void rnnt_arcs(const Cuda& cuda, long blank, View<const float, 4> x, const NodeWindow& nodes, const long* lengths,
               View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 3> normaliser,
               View<float, 3> symbols, View<float, 3> blanks) {
  const long batch = x.shape[0], time = x.shape[1], width = x.shape[2], classes = x.shape[3];
  const NodeWindow window = nodes;
  const cuda::Brought<long> brought(cuda, lengths, batch), label_counts(cuda, label_lengths, batch);
  const long *frames = brought.data(), *counts = label_counts.data();
  cuda::for_each_at(cuda, "rnnt", batch * time, blanks.shape[2], [=] __device__(long row, long s) {
    const long n = row / time, t = row % time;
    if (s + 1 < blanks.shape[2]) symbols(n, t, s) = detail::log_zero<float>();
    blanks(n, t, s) = detail::log_zero<float>();
  });
  cuda::for_each_row(cuda, "rnnt", batch * time * width, classes, [=] __device__(const cuda::Team& team, long row) {
    const long n = row / width / time, t = row / width % time, r = row % width;
    if (t >= (frames ? frames[n] : time)) return;
    const long first = window.first(n, t);
    if (r >= window.count(first, counts[n])) return;
    const float* from = &x(n, t, r, 0);
    const cuda::Exponentials e = cuda::exponentials(team, from, classes);
    if (team.rank != 0) return;
    const double norm = static_cast<double>(e.largest) + math::log(e.sum);
    normaliser(n, t, r) = norm;
    blanks(n, t, first + r) = static_cast<float>(static_cast<double>(from[blank]) - norm);
    if (first + r < counts[n])
      symbols(n, t, first + r) = static_cast<float>(static_cast<double>(from[labels(n, first + r)]) - norm);
  });
}

void rnnt_backward(const Cuda& cuda, long blank, const float* dloss, View<const float, 4> x, const NodeWindow& nodes,
                   const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                   View<const double, 3> normaliser, View<const float, 3> symbols, View<const float, 3> blanks,
                   Sink<float, 4> dx) {
  const long batch = x.shape[0], time = x.shape[1], width = x.shape[2];
  const NodeWindow window = nodes;
  const cuda::Brought<long> brought(cuda, lengths, batch), label_counts(cuda, label_lengths, batch);
  const long *frames = brought.data(), *counts = label_counts.data();
  cuda::for_each_at(cuda, "rnnt", batch * time * width, x.shape[3], [=] __device__(long row, long v) {
    const long n = row / width / time, t = row / width % time, r = row % width, first = window.first(n, t);
    float g = 0;
    if (t < (frames ? frames[n] : time) && r < window.count(first, counts[n])) {
      const bool labelled = first + r < counts[n];
      const float by_symbol = labelled ? dloss[n] * symbols(n, t, first + r) : 0.f;
      const float by_blank = dloss[n] * blanks(n, t, first + r);
      const double share = math::exp(static_cast<double>(x(n, t, r, v)) - normaliser(n, t, r));
      g = (by_symbol + by_blank) * static_cast<float>(share);
      if (v == blank) g -= by_blank;
      if (labelled && v == labels(n, first + r)) g -= by_symbol;
    }
    cuda::put(dx(n, t, r, v), g, dx.add);
  });
}

void shear_arcs(const Cuda& cuda, bool constrained, View<const float, 3> symbols, View<const float, 3> blanks,
                const long* lengths, const long* label_lengths, View<float, 3> sheared_symbols,
                View<float, 3> sheared_blanks) {
  const long batch = sheared_blanks.shape[0], times = sheared_blanks.shape[1], nodes = sheared_blanks.shape[2];
  const cuda::Brought<long> brought(cuda, lengths, batch), label_counts(cuda, label_lengths, batch);
  const long *frames = brought.data(), *counts = label_counts.data();
  cuda::for_each_at(cuda, "shear_arcs", batch * times, nodes, [=] __device__(long row, long s) {
    const float none = detail::log_zero<float>();
    const long n = row / times, t = row % times, labels = counts[n];
    const long last = (frames ? frames[n] : blanks.shape[1]) - labels;
    const bool exists = t <= last && s <= labels;
    if (s + 1 < nodes)
      sheared_symbols(n, t, s) = !exists || s == labels ? none
                                 : constrained          ? symbols(n, t + s, s) + blanks(n, t + s, s + 1)
                                                        : symbols(n, t + s, s);
    sheared_blanks(n, t, s) = !exists || (t == last && s < labels) ? none : t == last ? 0.f : blanks(n, t + s, s);
  });
}

void unshear_arcs(const Cuda& cuda, bool constrained, View<const float, 3> sheared_symbols,
                  View<const float, 3> sheared_blanks, const long* lengths, const long* label_lengths,
                  Sink<float, 3> symbols, Sink<float, 3> blanks, const Shape<3>& shape) {
  const long batch = shape[0], time = shape[1], nodes = shape[2];
  const cuda::Brought<long> brought(cuda, lengths, batch), label_counts(cuda, label_lengths, batch);
  const long *frames = brought.data(), *counts = label_counts.data();
  cuda::for_each_at(cuda, "unshear_arcs", batch * time, nodes, [=] __device__(long row, long s) {
    const long n = row / time, t = row % time, labels = counts[n], last = (frames ? frames[n] : time) - labels;
    const auto symbol = [&](long at) {
      return t - at >= 0 && t - at <= last && at >= 0 && at < labels ? sheared_symbols(n, t - at, at) : 0.f;
    };
    if (symbols && s + 1 < nodes) cuda::put(symbols(n, t, s), symbol(s), symbols.add);
    if (!blanks) return;
    const float own = t - s >= 0 && t - s < last && s <= labels ? sheared_blanks(n, t - s, s) : 0.f;
    cuda::put(blanks(n, t, s), constrained ? own + symbol(s - 1) : own, blanks.add);
  });
}

}  // namespace phonaut::kernel
