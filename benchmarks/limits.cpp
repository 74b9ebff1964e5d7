// The machine's limits as one line of JSON: what each instruction set computes, and what each level of memory gives.
//
//   phonaut-bench-limits [--threads N]… [--seconds S] [smoke]    S seconds for each number, 0.2 by default
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "phonaut/core/error.hpp"
#include "phonaut/testing/machine.hpp"
#include "program.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

struct Level {
  const char* name;
  long bytes;  ///< per thread, of what is read, or of source and target of a copy together
};

/// Bytes of the data cache of level `level`, as the kernel knows it, or `otherwise`. (sysconf tells the caches of the
/// whole machine where a virtual one has a part of it.)
long cache_bytes(int level, long otherwise) {
  for (int i = 0; i < 8; ++i) {
    const std::string folder = concat("/sys/devices/system/cpu/cpu0/cache/index", i, "/");
    int found = 0;
    std::string type;
    long size = 0;
    if (std::ifstream(folder + "level") >> found && found == level && std::ifstream(folder + "type") >> type &&
        type != "Instruction" && std::ifstream(folder + "size") >> size && size > 0)
      return size << 10;
  }
  return otherwise;
}

/// Arrays that fill half of each level.
std::vector<Level> levels(int threads) {
  const long l1 = cache_bytes(1, 32L << 10), l2 = cache_bytes(2, 1L << 20), l3 = cache_bytes(3, 32L << 20);
  // The third level is shared. A virtual machine may be told of a cache that it shares with others too, so nothing
  // below eight times that counts as memory.
  return {{"L1", l1 / 2}, {"L2", l2 / 2}, {"L3", std::max(l3 / 2 / threads, 2 * l2)}, {"memory", 8 * l3 / threads}};
}

template <class Measure>
std::string by_threads(const std::vector<int>& threads, Cpu cpu, double unit, const Measure& measure) {
  std::string text;
  for (int n : threads) {
    cpu.threads = n;
    text += concat(text.empty() ? "" : ", ", "\"", n, "\": ", unit * measure(cpu));
  }
  return "{" + text + "}";
}

void print_limits(const std::vector<int>& threads, double seconds) {
  const Cpu cpu;
  std::string sets;
  const auto add = [&](const std::string& name, const std::string& rates) {
    sets += concat(sets.empty() ? "" : ", ", "\"", name, "\": ", rates);
  };
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!can_run(isa)) continue;
    Cpu one = cpu;
    one.isa = isa;
    add(name_of(isa), by_threads(threads, one, 1e-9, [&](const Cpu& c) { return measure_multiply_adds(c, seconds); }));
  }
  for (Bf16Unit unit : {Bf16Unit::avx512, Bf16Unit::amx}) {
    if (cpu.isa != Isa::avx512 || !can_run(unit)) continue;
    Cpu one = cpu;
    one.bf16_unit = unit;
    add(concat("bf16 ", name_of(unit)),
        by_threads(threads, one, 1e-9, [&](const Cpu& c) { return measure_bf16_products(c, seconds); }));
  }
  std::string memory;
  for (size_t i = 0; i < levels(1).size(); ++i) {
    const auto bytes = [&](const Cpu& c) { return levels(c.threads)[i].bytes; };
    memory +=
        concat(i ? ", " : "", "\"", levels(1)[i].name, "\": {\"bytes\": ", levels(1)[i].bytes, ", \"read\": ",
               by_threads(threads, cpu, 1e-9, [&](const Cpu& c) { return measure_reads(c, bytes(c), seconds); }),
               ", \"copy\": ",
               by_threads(threads, cpu, 1e-9, [&](const Cpu& c) { return measure_copies(c, bytes(c), seconds); }), "}");
  }
  std::printf("{\"isa\": \"%s\", \"gflops\": {%s}, \"gbytes\": {%s}}\n", name_of(cpu.isa), sets.c_str(),
              memory.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int> threads;
  double seconds = 0.2;
  std::string command;
  CLI::App app("What this machine can do at most", "phonaut-bench-limits");
  bench::add_command(app, command, {"smoke"});
  app.add_option("--threads", threads, "numbers of threads; 1 and all without it")
      ->allow_extra_args(false)
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds", seconds, "for each number")->capture_default_str()->check(CLI::PositiveNumber);
  return bench::run_program(app, argc, argv, [&] {
    if (command == "smoke") seconds = 0.001;
    if (threads.empty()) threads = {1, default_threads()};
    print_limits(threads, seconds);
    return 0;
  });
}
