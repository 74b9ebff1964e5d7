// Times every case of tests/cases, forward and forward + backward, and says what share of the machine's limit it
// reaches. phonaut-bench does so on the processor, phonaut-bench-cuda on a GPU, where calls are queued one behind the
// other and the clock stops when the last has ended.
//
//   phonaut-bench [--threads N] [--precision fp32|tf32|bf16] [--smoke] [Google Benchmark options, e.g.
//   --benchmark_filter=layer_norm]
//
// With --benchmark_out=FILE each repetition tells besides its time what it must compute and move (flops, bytes), the
// machine's peak around it (peak_before, peak_after: operations per second) and how long others kept it from its
// processors (waited: a share of its time), so that the reader can leave out what was disturbed.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>

#include "cases/case.hpp"
#include "quiet.hpp"
#include "yardstick.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

/// Seconds of each look at the machine's peak between two repetitions.
constexpr double glance = 0.002;

using B = CaseBackend;
using Yardstick = bench::Yardstick<B>;

Machine machine;

template <class Device>
int threads_of(const Device& device) {
  if constexpr (requires { device.threads; }) return device.threads;
  else return 1;
}
template <class Device>
void set_threads([[maybe_unused]] Device& device, [[maybe_unused]] int threads) {
  if constexpr (requires { device.threads; }) device.threads = std::max(1, threads);
}

/// What a pass must compute and move at least.
struct Work {
  double flops, bytes;
};

Work work_of(const Case& c, const Timed& timed, bool backward) {
  const double in = timed.numbers_in, out = timed.numbers_out;
  const double bytes = c.limits.bytes > 0 ? c.limits.bytes : 4 * (in + out);
  if (!backward) return {c.limits.flops, bytes};
  // Backward computes the gradient of either factor of a product, as much as forward each. It reads the gradient of
  // the output and the inputs once more, and writes the gradients of the inputs.
  return {3 * c.limits.flops, bytes + 4 * (2 * in + out)};
}

void time_case(benchmark::State& state, const Case& c, const B& backend, Yardstick& yardstick, bool backward) {
  using benchmark::Counter;
  Context<B> ctx(backend);
  const Timed timed = c.timed(ctx);
  timed.run(backward);  // fills the pool
  const double before = yardstick.peak(glance);
  const double waited = waited_seconds();
  kernel::synchronise(backend);
  const auto start = std::chrono::steady_clock::now();
  auto left = state.max_iterations;
  for ([[maybe_unused]] auto _ : state) {
    timed.run(backward);
    if (--left == 0) kernel::synchronise(backend);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  state.counters["waited"] = (waited_seconds() - waited) / (took.count() * threads_of(backend));
  state.counters["peak_before"] = before;
  state.counters["peak_after"] = yardstick.peak(glance);

  const auto [flops, bytes] = work_of(c, timed, backward);
  state.counters["flops"] = flops;
  state.counters["bytes"] = bytes;
  if (flops > 0) {
    state.counters["GFLOP/s"] = Counter(1e-9 * flops, Counter::kIsIterationInvariantRate);
    state.counters["%flops"] = Counter(100 * flops / machine.flops, Counter::kIsIterationInvariantRate);
  }
  if (bytes > 0) {
    // Small cases live in the L2 cache, large ones in memory; each is held against its own limit.
    const double limit = bytes < 1e6 * threads_of(backend) ? machine.cached_bytes : machine.copy_bytes;
    state.counters["GB/s"] = Counter(1e-9 * bytes, Counter::kIsIterationInvariantRate);
    state.counters["%copy"] = Counter(100 * bytes / limit, Counter::kIsIterationInvariantRate);
  }
}

}  // namespace

int main(int argc, char** argv) {
  B backend;
  bool smoke = false, list = false;
  const char* precision = "fp32";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) smoke = true;
    else if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) set_threads(backend, std::atoi(argv[++i]));
    else if (std::strcmp(argv[i], "--precision") == 0 && i + 1 < argc) precision = argv[++i];
    else {
      list |= std::strncmp(argv[i], "--benchmark_list_tests", 22) == 0;
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  try {
    backend.precision = precision_named(precision);
  } catch (const ConfigError& error) {
    std::fprintf(stderr, "phonaut-bench: %s\n", error.what());
    return 2;
  }
  if constexpr (std::is_same_v<B, Cuda>)
    if (!cuda_available()) {
      std::fprintf(stderr, "phonaut-bench-cuda: no GPU here\n");
      return 77;  // what CTest and automake take for "skipped"
    }
  Yardstick yardstick(backend);
  for (const Case& c : all_cases()) {
    if (!c.limits.time || !c.timed) continue;
    for (bool backward : {false, true}) {
      const std::string name = c.op + "/" + c.name + (backward ? "/forward+backward" : "/forward");
      auto* b = benchmark::RegisterBenchmark(name.c_str(), [&c, &yardstick, backend, backward](benchmark::State& s) {
        time_case(s, c, backend, yardstick, backward);
      });
      b->UseRealTime()->Unit(benchmark::kMicrosecond);
      if (smoke) b->Iterations(1);
    }
  }
  const double seconds = smoke || list ? 0.01 : 0.6;
  machine = yardstick.limits(seconds);
  std::printf("machine (%s, %d threads, products in %s): %.1f GFLOP/s %s, copy %.1f GB/s in memory, %.1f GB/s in L2\n",
              bench::name_of(backend).c_str(), threads_of(backend), name_of(backend.precision), 1e-9 * machine.flops,
              std::is_same_v<B, Cuda> ? "of a large product" : "fp32", 1e-9 * machine.copy_bytes,
              1e-9 * machine.cached_bytes);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("copy_bytes", std::to_string(machine.copy_bytes));
  benchmark::AddCustomContext("cached_bytes", std::to_string(machine.cached_bytes));
  benchmark::RunSpecifiedBenchmarks();
  const Machine after = yardstick.limits(seconds);
  if (!smoke && !list && (after.flops < 0.9 * machine.flops || after.flops > 1.1 * machine.flops))
    std::printf("note: the machine's peak moved from %.1f to %.1f GFLOP/s during the run; run again when it is quiet\n",
                1e-9 * machine.flops, 1e-9 * after.flops);
  return 0;
}
