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

/// Ones, from a cache line on: loads and stores that cross lines take twice as long.
struct Floats {
  float* data;
  explicit Floats(long n) : data(static_cast<float*>(HostMemory::allocate(static_cast<size_t>(n) * sizeof(float)))) {
    std::fill_n(data, n, 1.f);
  }
  Floats(const Floats&) = delete;
  Floats& operator=(const Floats&) = delete;
  ~Floats() { HostMemory::release(data); }
};

/// Rounds over `floats` numbers that take long enough to be timed.
long rounds_over(long floats) { return std::max(1L, (6L << 20) / floats); }

}  // namespace

double measure_multiply_adds(const Cpu& cpu, double seconds) {
  std::vector<float> sink(static_cast<size_t>(cpu.threads));
  constexpr long rounds = 400'000;
  long lanes = 0;
  kernel::probe_multiply_add(cpu, 1, sink.data(), &lanes);
  return best_rate(seconds, 2.0 * 12 * static_cast<double>(rounds * lanes * cpu.threads),
                   [&] { kernel::probe_multiply_add(cpu, rounds, sink.data(), &lanes); });
}

double measure_bf16_products(const Cpu& cpu, double seconds) {
  Cpu lower = cpu;
  lower.precision = Precision::bf16;
  std::vector<float> sink(static_cast<size_t>(cpu.threads));
  constexpr long rounds = 100'000;
  long operations = 0;
  kernel::probe_bf16_products(lower, 1, sink.data(), &operations);
  if (operations == 0) return 0;
  return best_rate(seconds, static_cast<double>(operations) * static_cast<double>(rounds * cpu.threads),
                   [&] { kernel::probe_bf16_products(lower, rounds, sink.data(), &operations); });
}

double measure_reads(const Cpu& cpu, long bytes, double seconds) {
  const long floats = std::max(1024L, bytes / 4) * cpu.threads, rounds = rounds_over(floats);
  const Floats x(floats);
  std::vector<float> sink(static_cast<size_t>(cpu.threads));
  return best_rate(seconds, 4.0 * static_cast<double>(floats * rounds),
                   [&] { kernel::probe_read(cpu, rounds, x.data, floats, sink.data()); });
}

double measure_copies(const Cpu& cpu, long bytes, double seconds) {
  const long floats = std::max(1024L, bytes / 8) * cpu.threads, rounds = rounds_over(floats);
  const Floats x(floats), y(floats);
  return best_rate(seconds, 8.0 * static_cast<double>(floats * rounds),
                   [&] { kernel::probe_copy(cpu, rounds, x.data, y.data, floats); });
}

Machine measure_machine(const Cpu& cpu, double seconds) {
  return {.flops = measure_multiply_adds(cpu, seconds / 3),
          .copy_bytes = measure_copies(cpu, (128L << 20) / cpu.threads, seconds / 3),
          .cached_bytes = measure_copies(cpu, 256L << 10, seconds / 3)};
}

}  // namespace phonaut::testing
