#include <sched.h>

#include <cstdlib>
#include <thread>

#include "cpu/processors.hpp"
#include "phonaut/core/backend.hpp"

namespace phonaut {

int processors() noexcept {
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0) return CPU_COUNT(&allowed);
#endif
  const unsigned n = std::thread::hardware_concurrency();
  return n > 0 ? static_cast<int>(n) : 1;
}

int default_threads() noexcept {
  // The first number counts where OMP_NUM_THREADS is a list (one entry per nesting level).
  if (const char* wish = std::getenv("OMP_NUM_THREADS")) {
    const long n = std::strtol(wish, nullptr, 10);
    if (n > 0 && n < 65536) return static_cast<int>(n);
  }
  return processors();
}

}  // namespace phonaut
