// Times every case of tests/cases, forward and forward + backward, and says what share of the machine's limit it
// reaches.
//
//   phonaut-bench [--threads N] [--precision fp32|bf16] [--smoke] [Google Benchmark options, e.g.
//   --benchmark_filter=layer_norm]
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "cases/case.hpp"
#include "phonaut/testing/machine.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

Machine machine;

void time_case(benchmark::State& state, const Case& c, const Cpu& cpu, bool backward) {
  Context<Cpu> ctx(cpu);
  const auto run = c.timed(ctx);
  run(backward);  // fills the pool
  for ([[maybe_unused]] auto _ : state) run(backward);
  if (backward) return;  // how much a backward pass should move or compute is not in the table
  using benchmark::Counter;
  if (c.limits.flops > 0) {
    state.counters["GFLOP/s"] = Counter(1e-9 * c.limits.flops, Counter::kIsIterationInvariantRate);
    state.counters["%flops"] = Counter(100 * c.limits.flops / machine.flops, Counter::kIsIterationInvariantRate);
  }
  if (c.limits.bytes > 0) {
    // Small cases live in the L2 cache, large ones in memory; each is held against its own limit.
    const double limit = c.limits.bytes < 1e6 * cpu.threads ? machine.cached_bytes : machine.copy_bytes;
    state.counters["GB/s"] = Counter(1e-9 * c.limits.bytes, Counter::kIsIterationInvariantRate);
    state.counters["%copy"] = Counter(100 * c.limits.bytes / limit, Counter::kIsIterationInvariantRate);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Cpu cpu;
  bool smoke = false;
  const char* precision = "fp32";
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) smoke = true;
    else if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) cpu.threads = std::max(1, std::atoi(argv[++i]));
    else if (std::strcmp(argv[i], "--precision") == 0 && i + 1 < argc) precision = argv[++i];
    else argv[kept++] = argv[i];
  }
  argc = kept;
  try {
    cpu.precision = precision_named(precision);
  } catch (const ConfigError& error) {
    std::fprintf(stderr, "phonaut-bench: %s\n", error.what());
    return 2;
  }
  for (const Case& c : all_cases()) {
    if (!c.limits.time) continue;
    for (bool backward : {false, true}) {
      const std::string name = c.op + "/" + c.name + (backward ? "/forward+backward" : "/forward");
      auto* b = benchmark::RegisterBenchmark(
          name.c_str(), [&c, cpu, backward](benchmark::State& s) { time_case(s, c, cpu, backward); });
      b->UseRealTime()->Unit(benchmark::kMicrosecond);
      if (smoke) b->Iterations(1);
    }
  }
  machine = measure_machine(cpu, smoke ? 0.01 : 0.6);
  std::printf(
      "machine (%s, %d threads, products in %s): %.1f GFLOP/s fp32, copy %.1f GB/s in memory, %.1f GB/s in L2\n",
      name_of(cpu.isa), cpu.threads, name_of(cpu.precision), 1e-9 * machine.flops, 1e-9 * machine.copy_bytes,
      1e-9 * machine.cached_bytes);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  const Machine after = measure_machine(cpu, smoke ? 0.01 : 0.6);
  if (!smoke && (after.flops < 0.9 * machine.flops || after.flops > 1.1 * machine.flops))
    std::printf("note: the machine's peak moved from %.1f to %.1f GFLOP/s during the run; run again when it is quiet\n",
                1e-9 * machine.flops, 1e-9 * after.flops);
  return 0;
}
