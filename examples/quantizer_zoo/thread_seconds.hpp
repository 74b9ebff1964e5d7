#pragma once
// Time that a thread spent at work, whatever else the machine was doing.
#include <ctime>

/// Seconds of processor time of the calling thread so far.
inline double thread_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}
