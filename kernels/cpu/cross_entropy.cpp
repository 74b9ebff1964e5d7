#include <cstdint>

#include "log_sum_exp.hpp"
#include "parallel.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void cross_entropy_forward(const Cpu& cpu, double smoothing, bool mean, View<const float, 2> x,
                           View<const std::int32_t, 1> label, float* normaliser, float* row_loss, float* scale,
                           float* loss) {
  const long rows = x.shape[0], classes = x.shape[1];
  parallel_rows(cpu.threads, rows, classes, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      normaliser[r] = row_loss[r] = 0;
      if (label.data[r] < 0) continue;
      const float* from = x.row(r);
      const double norm = log_sum_exp(from, classes);
      double row = (1 - smoothing) * (norm - static_cast<double>(from[label.data[r]]));
      if (smoothing != 0) {
        const double plain = row_total(
            classes, [&](Vec part, long i, long n) PHONAUT_FORCE_INLINE { return part + load_some(from + i, n); });
        row += smoothing * (norm - plain / static_cast<double>(classes));
      }
      normaliser[r] = static_cast<float>(norm);
      row_loss[r] = static_cast<float>(row);
    }
  });
  double total = 0;
  long counted = 0;
  for (long r = 0; r < rows; ++r) total += static_cast<double>(row_loss[r]), counted += label.data[r] >= 0;
  const double factor = !mean ? 1.0 : counted > 0 ? 1.0 / static_cast<double>(counted) : 0.0;
  *scale = static_cast<float>(factor);
  *loss = static_cast<float>(factor * total);
}

void cross_entropy_backward(const Cpu& cpu, double smoothing, const float* gain, const float* scale,
                            View<const float, 2> x, View<const std::int32_t, 1> label, const float* normaliser,
                            Sink<float, 2> dx) {
  const long rows = x.shape[0], classes = x.shape[1];
  const float factor = *gain * *scale;
  const Vec uniform(static_cast<float>(smoothing / static_cast<double>(classes)));
  parallel_rows(cpu.threads, rows, classes, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = x.row(r);
      float* to = dx.row(r);
      const bool ignored = label.data[r] < 0;
      const Vec shift(normaliser[r]), g(factor);
      each_register(classes, [&](long i, long n) PHONAUT_FORCE_INLINE {
        put_some(to + i, ignored ? Vec(0.0f) : g * (exp(load_some(from + i, n) - shift) - uniform), dx.add, n);
      });
      if (!ignored) to[label.data[r]] -= factor * static_cast<float>(1 - smoothing);
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/losses/cross_entropy.hpp"
#endif

PHONAUT_DISPATCH(cross_entropy_forward,
                 (const Cpu& cpu, double smoothing, bool mean, View<const float, 2> x,
                  View<const std::int32_t, 1> label, float* normaliser, float* row_loss, float* scale, float* loss),
                 (cpu, smoothing, mean, x, label, normaliser, row_loss, scale, loss))
PHONAUT_DISPATCH(cross_entropy_backward,
                 (const Cpu& cpu, double smoothing, const float* gain, const float* scale, View<const float, 2> x,
                  View<const std::int32_t, 1> label, const float* normaliser, Sink<float, 2> dx),
                 (cpu, smoothing, gain, scale, x, label, normaliser, dx))
