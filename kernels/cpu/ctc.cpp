#include "log_sum_exp.hpp"
#include "parallel.hpp"
#include "phonaut/losses/ctc_states.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

constexpr double impossible = -__builtin_inf();

/// y[s] = log(e^first(s) + e^second(s) + e^third(s)) + offset(s), for states 0 … count - 1. Sizes are kept in double;
/// the differences that are exponentiated are small or do not matter, so that float does for them: the error of a step
/// is 1e-7 however small the probability of the states.
template <class First, class Second, class Third, class Offset>
PHONAUT_INLINE void log_add_states(long count, const First& first, const Second& second, const Third& third,
                                   const Offset& offset, double* y) {
  each_register(count, [&](long begin, long n) PHONAUT_FORCE_INLINE {
    alignas(64) float a[Vec::lanes], b[Vec::lanes], c[Vec::lanes], rest[Vec::lanes];
    double top[Vec::lanes];
    for (long i = 0; i < n; ++i) {
      const double x = first(begin + i), y2 = second(begin + i), z = third(begin + i);
      double most = x < y2 ? y2 : x;
      if (most < z) most = z;
      const double base = most == impossible ? 0.0 : most;
      top[i] = most;
      a[i] = static_cast<float>(x - base);
      b[i] = static_cast<float>(y2 - base);
      c[i] = static_cast<float>(z - base);
    }
    store_some(log(exp(load_some(a, n)) + exp(load_some(b, n)) + exp(load_some(c, n))), rest, n);
    for (long i = 0; i < n; ++i)
      y[begin + i] = top[i] == impossible ? impossible : top[i] + static_cast<double>(rest[i]) + offset(begin + i);
  });
}

void ctc_forward(const Cpu& cpu, long blank, bool zero, View<const float, 3> x, const long* lengths,
                 View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 2> normaliser,
                 View<double, 3> alpha, double* log_likelihood, float* loss) {
  parallel_for(cpu.threads, x.shape[0], [&](long n) {
    const CtcStates states(labels, label_lengths, blank, n);
    const long time = lengths ? lengths[n] : x.shape[1], rows = alpha.shape[1];
    const auto row = [&](long t)
                         PHONAUT_FORCE_INLINE { return alpha.data + n * alpha.stride[0] + t % rows * alpha.stride[1]; };
    for (long t = 0; t < time; ++t) {
      const float* from = x.data + n * x.stride[0] + t * x.stride[1];
      const double norm = normaliser.row(n)[t] = log_sum_exp(from, x.shape[2]);
      const auto here = [&](long s) PHONAUT_FORCE_INLINE { return static_cast<double>(from[states[s]]) - norm; };
      double* now = row(t);
      if (t == 0) {
        for (long s = 0; s < states.count; ++s) now[s] = s < 2 ? here(s) : impossible;
        continue;
      }
      const double* before = row(t - 1);
      log_add_states(
          states.count, [&](long s) PHONAUT_FORCE_INLINE { return before[s]; },
          [&](long s) PHONAUT_FORCE_INLINE { return s > 0 ? before[s - 1] : impossible; },
          [&](long s) PHONAUT_FORCE_INLINE { return states.jumps_to(s) ? before[s - 2] : impossible; }, here, now);
    }
    double total = states.count == 1 ? 0.0 : impossible;
    if (time > 0) {
      const double* end = row(time - 1) + states.count - 1;
      const auto none = [&](long) PHONAUT_FORCE_INLINE { return impossible; };
      log_add_states(
          1, [&](long) PHONAUT_FORCE_INLINE { return end[0]; },
          [&](long) PHONAUT_FORCE_INLINE { return states.count > 1 ? end[-1] : impossible; }, none,
          [&](long) PHONAUT_FORCE_INLINE { return 0.0; }, &total);
    }
    log_likelihood[n] = total;
    loss[n] = zero && total == impossible ? 0.0f : static_cast<float>(-total);
  });
}

void ctc_backward(const Cpu& cpu, long blank, bool zero, const float* dloss, View<const float, 3> x,
                  const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                  View<const double, 2> normaliser, View<const double, 3> alpha, const double* log_likelihood,
                  View<double, 2> scratch, Sink<float, 3> dx) {
  parallel_for(cpu.threads, x.shape[0], [&](long n) {
    const CtcStates states(labels, label_lengths, blank, n);
    const long time = lengths ? lengths[n] : x.shape[1], classes = x.shape[2], last = states.count - 1;
    const double total = log_likelihood[n];
    const float gain = dloss[n];
    for (long t = x.shape[1]; t-- > 0;) {
      float* to = dx.data + (n * x.shape[1] + t) * classes;
      if (t >= time || total == impossible) {
        const Vec g(t < time && !zero ? not_a_number() : 0.0f);
        each_register(classes, [&](long i, long m) PHONAUT_FORCE_INLINE { put_some(to + i, g, dx.add, m); });
        continue;
      }
      const float* from = x.data + n * x.stride[0] + t * x.stride[1];
      const Vec shift(static_cast<float>(normaliser.row(n)[t])), g(gain);
      each_register(classes, [&](long i, long m) PHONAUT_FORCE_INLINE {
        put_some(to + i, g * exp(load_some(from + i, m) - shift), dx.add, m);
      });

      double* beta = scratch.row(n) + t % 2 * alpha.shape[2];
      if (t == time - 1) {
        for (long s = 0; s <= last; ++s) beta[s] = s + 2 > last ? 0.0 : impossible;
      } else {
        double* ahead = scratch.row(n) + (t + 1) % 2 * alpha.shape[2];
        const float* next = from + x.stride[1];
        const double norm = normaliser.row(n)[t + 1];
        for (long s = 0; s <= last; ++s) ahead[s] += static_cast<double>(next[states[s]]) - norm;
        log_add_states(
            states.count, [&](long s) PHONAUT_FORCE_INLINE { return ahead[s]; },
            [&](long s) PHONAUT_FORCE_INLINE { return s < last ? ahead[s + 1] : impossible; },
            [&](long s)
                PHONAUT_FORCE_INLINE { return s + 2 < last && states.jumps_to(s + 2) ? ahead[s + 2] : impossible; },
            [&](long) PHONAUT_FORCE_INLINE { return 0.0; }, beta);
      }
      const double* forward = alpha.data + n * alpha.stride[0] + t * alpha.stride[1];
      double silent = 0;
      each_register(states.count, [&](long begin, long m) PHONAUT_FORCE_INLINE {
        alignas(64) float share[Vec::lanes];
        for (long i = 0; i < m; ++i) share[i] = static_cast<float>(forward[begin + i] + beta[begin + i] - total);
        store_some(exp(load_some(share, m)), share, m);
        for (long i = 0; i < m; ++i)
          if ((begin + i) % 2) to[states[begin + i]] -= gain * share[i];
          else silent += static_cast<double>(share[i]);
      });
      to[blank] -= gain * static_cast<float>(silent);
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/losses/ctc.hpp"
#endif

PHONAUT_DISPATCH(ctc_forward,
                 (const Cpu& cpu, long blank, bool zero, View<const float, 3> x, const long* lengths,
                  View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 2> normaliser,
                  View<double, 3> alpha, double* log_likelihood, float* loss),
                 (cpu, blank, zero, x, lengths, labels, label_lengths, normaliser, alpha, log_likelihood, loss))
PHONAUT_DISPATCH(ctc_backward,
                 (const Cpu& cpu, long blank, bool zero, const float* dloss, View<const float, 3> x,
                  const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                  View<const double, 2> normaliser, View<const double, 3> alpha, const double* log_likelihood,
                  View<double, 2> scratch, Sink<float, 3> dx),
                 (cpu, blank, zero, dloss, x, lengths, labels, label_lengths, normaliser, alpha, log_likelihood,
                  scratch, dx))
