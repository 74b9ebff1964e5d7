#include <cstdint>

#include "parallel.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

namespace {

constexpr double none = -__builtin_inf();

/// log(e^a + e^b). Every node waits for its neighbour, so that there is nothing to do side by side.
PHONAUT_INLINE double log_add(double a, double b) {
  const double top = a < b ? b : a, low = a < b ? a : b;
  return low == none ? top : top + __builtin_log1p(__builtin_exp(low - top));
}

}  // namespace

void lattice_forward(const Cpu& cpu, View<const float, 3> symbols, View<const float, 3> blanks, const long* lengths,
                     const long* label_lengths, View<double, 3> alpha, double* log_likelihood, float* loss) {
  parallel_for(cpu.threads, blanks.shape[0], [&](long n) {
    const long time = lengths ? lengths[n] : blanks.shape[1], labels = label_lengths[n];
    double* before = nullptr;
    for (long t = 0; t < time; ++t) {
      double* now = alpha.data + n * alpha.stride[0] + t * alpha.stride[1];
      const float* symbol = symbols.data + n * symbols.stride[0] + t * symbols.stride[1];
      const float* blank = blanks.data + n * blanks.stride[0] + (t - 1) * blanks.stride[1];
      now[0] = t > 0 ? before[0] + static_cast<double>(blank[0]) : 0.0;
      for (long s = 1; s <= labels; ++s) {
        const double by_symbol = now[s - 1] + static_cast<double>(symbol[s - 1]);
        now[s] = t > 0 ? log_add(by_symbol, before[s] + static_cast<double>(blank[s])) : by_symbol;
      }
      before = now;
    }
    const double total =
        time > 0 ? before[labels] +
                       static_cast<double>(blanks.data[n * blanks.stride[0] + (time - 1) * blanks.stride[1] + labels])
                 : 0.0;
    log_likelihood[n] = total;
    loss[n] = static_cast<float>(-total);
  });
}

void lattice_backward(const Cpu& cpu, const float* gain, View<const float, 3> symbols, View<const float, 3> blanks,
                      const long* lengths, const long* label_lengths, View<const double, 3> alpha,
                      const double* log_likelihood, View<double, 2> beta, Sink<float, 3> symbol_share,
                      Sink<float, 3> blank_share) {
  parallel_for(cpu.threads, blanks.shape[0], [&](long n) {
    const long nodes = blanks.shape[2], time = lengths ? lengths[n] : blanks.shape[1], labels = label_lengths[n];
    const double factor = gain ? static_cast<double>(gain[n]) : 1.0, total = log_likelihood[n];
    for (long t = blanks.shape[1]; t-- > 0;) {
      const long symbol_row = (n * blanks.shape[1] + t) * (nodes - 1), blank_row = (n * blanks.shape[1] + t) * nodes;
      double* now = beta.row(n) + t % 2 * nodes;
      const double* next = beta.row(n) + (t + 1) % 2 * nodes;
      const double* reached = alpha.data + n * alpha.stride[0] + t * alpha.stride[1];
      const float* symbol_arc = symbols.data + n * symbols.stride[0] + t * symbols.stride[1];
      const float* blank_arc = blanks.data + n * blanks.stride[0] + t * blanks.stride[1];
      for (long s = nodes; s-- > 0;) {
        double symbol = 0, blank = 0;
        if (t < time && s <= labels) {
          const double by_symbol = s < labels ? static_cast<double>(symbol_arc[s]) + now[s + 1] : none;
          const double on = t + 1 < time ? next[s] : s == labels ? 0.0 : none;
          const double by_blank = static_cast<double>(blank_arc[s]) + on;
          now[s] = log_add(by_symbol, by_blank);
          if (by_symbol != none && total != none) symbol = factor * __builtin_exp(reached[s] + by_symbol - total);
          if (by_blank != none && total != none) blank = factor * __builtin_exp(reached[s] + by_blank - total);
        }
        if (symbol_share && s + 1 < nodes) symbol_share.put(symbol_row + s, static_cast<float>(symbol));
        if (blank_share) blank_share.put(blank_row + s, static_cast<float>(blank));
      }
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/losses/transducer.hpp"
#endif

PHONAUT_DISPATCH(lattice_forward,
                 (const Cpu& cpu, View<const float, 3> symbols, View<const float, 3> blanks, const long* lengths,
                  const long* label_lengths, View<double, 3> alpha, double* log_likelihood, float* loss),
                 (cpu, symbols, blanks, lengths, label_lengths, alpha, log_likelihood, loss))
PHONAUT_DISPATCH(lattice_backward,
                 (const Cpu& cpu, const float* gain, View<const float, 3> symbols, View<const float, 3> blanks,
                  const long* lengths, const long* label_lengths, View<const double, 3> alpha,
                  const double* log_likelihood, View<double, 2> beta, Sink<float, 3> symbol_share,
                  Sink<float, 3> blank_share),
                 (cpu, gain, symbols, blanks, lengths, label_lengths, alpha, log_likelihood, beta, symbol_share,
                  blank_share))
