#pragma once
// Learning rates (and decays, and loss weights) as functions of the step. `step` counts from 0.
#include <algorithm>
#include <cmath>
#include <functional>

namespace phonaut {

/// Any of the structs below, or a lambda.
using Schedule = std::function<double(double step)>;

namespace detail {

constexpr double pi = 3.14159265358979323846;
/// How much of [first, last] lies behind `step`, in 0 … 1; all of it if the interval is empty.
inline double share(double step, double first, double last) {
  return last > first ? std::clamp((step - first) / (last - first), 0.0, 1.0) : step >= last ? 1.0 : 0.0;
}
/// From 1 to 0 on half a cosine.
inline double half_cosine(double share) { return 0.5 * (1 + std::cos(pi * share)); }

}  // namespace detail

/// The same at every step.
struct ConstantSchedule {
  double value = 1;
  double operator()(double) const { return value; }
};

/// Linear from 0 to `peak` over `warmup` steps, then as it is.
struct WarmupConstant {
  double peak = 1e-3, warmup = 0;
  double operator()(double step) const { return step < warmup ? peak * step / warmup : peak; }
};

/// Linear warm-up to `peak`, then half a cosine down to `floor` at step `total` (Loshchilov and Hutter, "SGDR", 2017).
struct WarmupCosine {
  double peak = 1e-3, floor = 0, warmup = 0, total = 1;
  double operator()(double step) const {
    if (step < warmup) return peak * step / warmup;
    return floor + (peak - floor) * detail::half_cosine(detail::share(step, warmup, total));
  }
};

/// Linear warm-up to `peak`, then (1 - t)^power down to `floor` at step `total`; power 1 is a straight line.
struct WarmupPolynomial {
  double peak = 1e-3, floor = 0, warmup = 0, total = 1, power = 1;
  double operator()(double step) const {
    if (step < warmup) return peak * step / warmup;
    return floor + (peak - floor) * std::pow(1 - detail::share(step, warmup, total), power);
  }
};

/// Linear warm-up to `peak`, `peak` until step `stable`, a straight line to `floor` over `decay` steps.
struct WarmupStableDecay {
  double peak = 1e-3, floor = 0, warmup = 0, stable = 0, decay = 1;
  double operator()(double step) const {
    if (step < warmup) return peak * step / warmup;
    return floor + (peak - floor) * (1 - detail::share(step, stable, stable + decay));
  }
};

/// factor · dim^-1/2 · min(n^-1/2, n · warmup^-3/2) with n = step + 1 (Vaswani et al., "Attention is all you need",
/// 2017).
struct Noam {
  double factor = 1, dim = 256, warmup = 1000;
  double operator()(double step) const {
    const double n = step + 1;
    return factor / std::sqrt(dim) * std::min(1 / std::sqrt(n), n * std::pow(warmup, -1.5));
  }
};

/// Linear from `start` to `peak`, then peak · √(warmup / step).
struct InverseSquareRoot {
  double peak = 1e-3, start = 0, warmup = 1000;
  double operator()(double step) const {
    if (step < warmup) return start + step * (peak - start) / warmup;
    return peak * std::sqrt(warmup / std::max(step, 1.0));
  }
};

/// Linear from start · peak, `hold` steps of `peak`, then exponential to finish · peak over `decay` steps
/// (Park et al., "SpecAugment", 2019).
struct TriStage {
  double peak = 1e-3, start = 0.01, finish = 0.05, warmup = 0, hold = 0, decay = 1;
  double operator()(double step) const {
    if (step < warmup) return peak * (start + (1 - start) * step / warmup);
    return peak * std::pow(finish, detail::share(step, warmup + hold, warmup + hold + decay));
  }
};

/// start · gamma^step.
struct Exponential {
  double start = 1e-3, gamma = 0.999;
  double operator()(double step) const { return start * std::pow(gamma, step); }
};

/// From `start` to `finish` on half a cosine over `total` steps: the teacher's decay of JEPA (0.996 -> 1).
struct CosineRamp {
  double start = 0.996, finish = 1, total = 1;
  double operator()(double step) const {
    return finish - (finish - start) * detail::half_cosine(detail::share(step, 0, total));
  }
};

/// From `start` to `finish` on a straight line over `total` steps: the teacher's decay of data2vec (0.999 -> 0.9999).
struct LinearRamp {
  double start = 0, finish = 1, total = 1;
  double operator()(double step) const { return start + (finish - start) * detail::share(step, 0, total); }
};

/// Eden, the schedule of the Zipformer recipe, which looks at batches and epochs (Yao et al., "Zipformer", 2023):
/// base · ((b² + B²) / B²)^-1/4 · ((e² + E²) / E²)^-1/4 · warm-up, linear from `warmup_start` to 1.
struct Eden {
  double base = 0.045, batches = 7500, epochs = 3.5, warmup = 500, warmup_start = 0.5;
  double operator()(double batch, double epoch) const {
    const double b = batch / batches, e = epoch / epochs;
    const double warm = batch >= warmup ? 1 : warmup_start + (1 - warmup_start) * batch / warmup;
    return base * std::pow(b * b + 1, -0.25) * std::pow(e * e + 1, -0.25) * warm;
  }
  /// The same for a Trainer, whose steps count from 0: batches count from 1, epochs of so many steps from 0.
  Schedule with_epochs_of(double steps) const {
    return [eden = *this, steps](double step) { return eden(step + 1, std::floor(step / steps)); };
  }
};

/// Eden without epochs, and with the exponent -1/2 instead.
struct Eden2 {
  double base = 0.045, batches = 7500, warmup = 500, warmup_start = 0.5;
  double operator()(double batch) const {
    const double b = batch / batches;
    const double warm = batch >= warmup ? 1 : warmup_start + (1 - warmup_start) * batch / warmup;
    return base * std::pow(b * b + 1, -0.5) * warm;
  }
};

}  // namespace phonaut
