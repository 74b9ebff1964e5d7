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

#include "yardstick.hpp"

namespace phonaut::served {

/// Name -> calls, which are made in turn, going on where the last request ended.
using Work = std::map<std::string, std::vector<std::function<void()>>>;

/// Seconds of each of `count` calls. Of work that goes on behind a call, all of them take the same: their mean, up to
/// the end of the last.
template <class B, class Next>
std::vector<double> timed(const B& backend, long count, const Next& next) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds(static_cast<size_t>(std::max(0L, count)));
  const auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  if constexpr (bench::works_behind<B>) {
    kernel::synchronise(backend);
    const auto start = Clock::now();
    for (long i = 0; i < count; ++i) next()();
    kernel::synchronise(backend);
    std::fill(seconds.begin(), seconds.end(), since(start) / static_cast<double>(std::max(1L, count)));
  } else {
    for (double& each : seconds) {
      const auto& call = next();
      const auto start = Clock::now();
      call();
      each = since(start);
    }
  }
  return seconds;
}

/// Answers requests until standard input ends. `about` is JSON without its braces. Besides the given work there is
/// `probe`, whose answer is what the device of `backend` can do at this moment: GFLOP/s, GB/s of a copy in memory and
/// in L2 (see yardstick.hpp).
template <class B>
void serve(Work work, const std::string& about, const B& backend) {
  bench::Yardstick<B> yardstick(backend);
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
      const testing::Machine machine = yardstick.limits(0.03);
      std::printf("[%.6g, %.6g, %.6g]\n", 1e-9 * machine.flops, 1e-9 * machine.copy_bytes, 1e-9 * machine.cached_bytes);
    } else if (found == work.end()) {
      std::printf("{\"error\": \"there is no work of this name\"}\n");
    } else {
      std::string answer;
      const auto& calls = found->second;
      const auto each =
          timed(backend, count, [&]() -> const std::function<void()>& { return calls[next[name]++ % calls.size()]; });
      for (const double seconds : each) {
        char text[32];
        std::snprintf(text, sizeof text, "%.9g", seconds);
        answer += (answer.empty() ? "" : ", ") + std::string(text);
      }
      std::printf("[%s]\n", answer.c_str());
    }
    std::fflush(stdout);
  }
}

}  // namespace phonaut::served
