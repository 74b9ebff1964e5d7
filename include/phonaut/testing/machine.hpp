#pragma once
// What this machine can do at most, measured now: the yardstick of every benchmark.
#include "phonaut/core/backend.hpp"

namespace phonaut::testing {

/// Limits with the threads and instruction set of one backend object.
struct Machine {
  double flops = 0;         ///< single-precision operations per second, fused multiply-adds on registers
  double copy_bytes = 0;    ///< bytes read plus written per second by a copy between arrays of 64 MB (memory)
  double cached_bytes = 0;  ///< the same between arrays of 128 KiB per thread (L2)
};

/// Measures for about `seconds`. Other work on the machine lowers the result: measure beside what is compared with it.
Machine measure_machine(const Cpu& cpu, double seconds = 0.3);

}  // namespace phonaut::testing

namespace phonaut::kernel {

/// `rounds` × 12 registers × lanes fused multiply-adds on every thread; `sink` (threads floats) keeps them alive.
/// Returns nothing; `lanes` receives the width of a register.
void probe_multiply_add(const Cpu& cpu, long rounds, float* sink, long* lanes);
/// y = x over n floats, cut into one stretch per thread, `rounds` times.
void probe_copy(const Cpu& cpu, long rounds, const float* x, float* y, long n);

}  // namespace phonaut::kernel
