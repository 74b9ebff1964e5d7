#pragma once
// Whether somebody else took this program's processors while it was timed.
#include <filesystem>
#include <fstream>

namespace phonaut {

/// How long threads of this process were ready to run and had no processor, so far, in seconds; 0 where the kernel does
/// not tell.
inline double waited_seconds() {
  double total = 0;
  std::error_code none;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", none)) {
    std::ifstream file(task.path() / "schedstat");
    double ran = 0, waited = 0;
    if (file >> ran >> waited) total += 1e-9 * waited;
  }
  return total;
}

}  // namespace phonaut
