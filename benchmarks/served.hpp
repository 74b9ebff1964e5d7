#pragma once
// A program that works when it is asked, so that a comparison can let two of them run in turn. See peers/served.py for
// the few words that they speak.
#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "phonaut/testing/machine.hpp"

namespace phonaut::served {

/// Name -> calls, which are made in turn, going on where the last request ended.
using Work = std::map<std::string, std::vector<std::function<void()>>>;

/// Answers requests until standard input ends. `about` is JSON without its braces. Besides the given work there is
/// `probe`, whose answer is what the machine can do at this moment: GFLOP/s, GB/s of a copy in memory and in L2.
inline void serve(Work work, const std::string& about, const Cpu& cpu) {
  std::string names = "\"probe\"";
  std::map<std::string, size_t> next;
  for (const auto& [name, calls] : work) names += ", \"" + name + "\"";
  std::printf("{%s, \"work\": [%s]}\n", about.c_str(), names.c_str());
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string name;
    long count = 0;
    words >> name >> count;
    const auto found = work.find(name);
    if (name == "probe") {
      const testing::Machine machine = testing::measure_machine(cpu, 0.03);
      std::printf("[%.6g, %.6g, %.6g]\n", 1e-9 * machine.flops, 1e-9 * machine.copy_bytes, 1e-9 * machine.cached_bytes);
    } else if (found == work.end()) {
      std::printf("{\"error\": \"there is no work of this name\"}\n");
    } else {
      std::string answer;
      for (long i = 0; i < count; ++i) {
        const auto& call = found->second[next[name]++ % found->second.size()];
        const auto start = std::chrono::steady_clock::now();
        call();
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
        char text[32];
        std::snprintf(text, sizeof text, "%.9g", spent.count());
        answer += (i ? ", " : "") + std::string(text);
      }
      std::printf("[%s]\n", answer.c_str());
    }
    std::fflush(stdout);
  }
}

}  // namespace phonaut::served
