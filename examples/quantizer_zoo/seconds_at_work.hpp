#pragma once
// Time that was spent at work, whatever else the machine was doing.
#include <chrono>
#include <ctime>
#include <phonaut/phonaut.hpp>
#include <type_traits>

/// Seconds of processor time of the calling thread so far. Where a GPU works, seconds on the clock, once it has done
/// what it was given.
template <class B>
double seconds_at_work(const phonaut::Context<B>& ctx) {
  if constexpr (std::is_same_v<B, phonaut::Cuda>) {
    phonaut::kernel::synchronise(ctx.backend());
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  } else {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
  }
}
