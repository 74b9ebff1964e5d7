#include "log_sum_exp.hpp"
#include "parallel.hpp"
#include "phonaut/losses/rnnt_nodes.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void rnnt_arcs(const Cpu& cpu, long blank, View<const float, 4> x, const NodeWindow& window, const long* lengths,
               View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 3> normaliser,
               View<float, 3> symbols, View<float, 3> blanks) {
  constexpr float none = -__builtin_inff();
  const long time = x.shape[1], nodes = blanks.shape[2];
  parallel_for(cpu.threads, x.shape[0] * time, [&](long row) {
    const long n = row / time, t = row % time;
    float* symbol = symbols.data + n * symbols.stride[0] + t * symbols.stride[1];
    float* on = blanks.data + n * blanks.stride[0] + t * blanks.stride[1];
    double* norm = normaliser.data + n * normaliser.stride[0] + t * normaliser.stride[1];
    for (long s = 0; s + 1 < nodes; ++s) symbol[s] = none;
    for (long s = 0; s < nodes; ++s) on[s] = none;
    if (t >= (lengths ? lengths[n] : time)) return;
    const long first = window.first(n, t), count = window.count(first, label_lengths[n]);
    for (long r = 0; r < count; ++r) {
      const float* from = x.data + n * x.stride[0] + t * x.stride[1] + r * x.stride[2];
      norm[r] = log_sum_exp(from, x.shape[3]);
      on[first + r] = static_cast<float>(static_cast<double>(from[blank]) - norm[r]);
      if (first + r < label_lengths[n])
        symbol[first + r] = static_cast<float>(static_cast<double>(from[labels.row(n)[first + r]]) - norm[r]);
    }
  });
}

void rnnt_backward(const Cpu& cpu, long blank, const float* dloss, View<const float, 4> x, const NodeWindow& window,
                   const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                   View<const double, 3> normaliser, View<const float, 3> symbols, View<const float, 3> blanks,
                   Sink<float, 4> dx) {
  const long time = x.shape[1], width = x.shape[2], classes = x.shape[3];
  parallel_for(cpu.threads, x.shape[0] * time, [&](long row) {
    const long n = row / time, t = row % time, first = window.first(n, t);
    const long nodes = t < (lengths ? lengths[n] : time) ? window.count(first, label_lengths[n]) : 0;
    const float* symbol = symbols.data + n * symbols.stride[0] + t * symbols.stride[1];
    const float* on = blanks.data + n * blanks.stride[0] + t * blanks.stride[1];
    for (long r = 0; r < width; ++r) {
      float* to = dx.data + (row * width + r) * classes;
      if (r >= nodes) {
        each_register(classes, [&](long v, long m) PHONAUT_FORCE_INLINE { put_some(to + v, Vec(0.0f), dx.add, m); });
        continue;
      }
      const float* from = x.data + n * x.stride[0] + t * x.stride[1] + r * x.stride[2];
      const bool labelled = first + r < label_lengths[n];
      const float by_symbol = labelled ? dloss[n] * symbol[first + r] : 0.0f, by_blank = dloss[n] * on[first + r];
      const Vec both(by_symbol + by_blank);
      // Exponents as differences of what is exact: a normaliser rounded to float would be off by an ulp of its size.
      const double norm = normaliser.data[n * normaliser.stride[0] + t * normaliser.stride[1] + r];
      const Vec high(static_cast<float>(norm));
      const Vec low(static_cast<float>(norm - static_cast<double>(static_cast<float>(norm))));
      each_register(classes, [&](long v, long m) PHONAUT_FORCE_INLINE {
        put_some(to + v, both * exp(load_some(from + v, m) - high - low), dx.add, m);
      });
      to[blank] -= by_blank;
      if (labelled) to[labels.row(n)[first + r]] -= by_symbol;
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/losses/rnnt.hpp"
#endif

PHONAUT_DISPATCH(rnnt_arcs,
                 (const Cpu& cpu, long blank, View<const float, 4> x, const NodeWindow& window, const long* lengths,
                  View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 3> normaliser,
                  View<float, 3> symbols, View<float, 3> blanks),
                 (cpu, blank, x, window, lengths, labels, label_lengths, normaliser, symbols, blanks))
PHONAUT_DISPATCH(rnnt_backward,
                 (const Cpu& cpu, long blank, const float* dloss, View<const float, 4> x, const NodeWindow& window,
                  const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                  View<const double, 3> normaliser, View<const float, 3> symbols, View<const float, 3> blanks,
                  Sink<float, 4> dx),
                 (cpu, blank, dloss, x, window, lengths, labels, label_lengths, normaliser, symbols, blanks, dx))
