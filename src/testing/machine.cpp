#include "phonaut/testing/machine.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

namespace phonaut::testing {

namespace {

/// The best rate, in units per second, of `run`, which does `units` of work a call.
template <class F>
double best_rate(double seconds, double units, const F& run) {
  using Clock = std::chrono::steady_clock;
  run();  // warm: pages, caches, threads, clock speed
  double best = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  do {
    const auto start = Clock::now();
    run();
    best = std::max(best, units / std::chrono::duration<double>(Clock::now() - start).count());
  } while (Clock::now() < end);
  return best;
}

}  // namespace

Machine measure_machine(const Cpu& cpu, double seconds) {
  Machine machine;
  std::vector<float> sink(static_cast<size_t>(cpu.threads));
  constexpr long rounds = 400'000;
  long lanes = 0;
  kernel::probe_multiply_add(cpu, 1, sink.data(), &lanes);
  machine.flops = best_rate(seconds / 3, 2.0 * 12 * static_cast<double>(rounds * lanes * cpu.threads),
                            [&] { kernel::probe_multiply_add(cpu, rounds, sink.data(), &lanes); });
  const auto copy = [&](long floats, long times) {
    std::vector<float> x(static_cast<size_t>(floats), 1.f), y(x.size());
    return best_rate(seconds / 3, 8.0 * static_cast<double>(floats * times),
                     [&] { kernel::probe_copy(cpu, times, x.data(), y.data(), floats); });
  };
  machine.copy_bytes = copy(16L << 20, 1);
  machine.cached_bytes = copy(cpu.threads * 32L << 10, 200);
  return machine;
}

}  // namespace phonaut::testing
