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

// Single limits, each measured for about `seconds`, for the threads and the instruction set of `cpu`.

/// Single-precision operations per second, fused multiply-adds on registers.
double measure_multiply_adds(const Cpu& cpu, double seconds);
/// The same of products of bfloat16 with the unit of `cpu`; 0 if it has none, or kernels for none.
double measure_bf16_products(const Cpu& cpu, double seconds);
/// Bytes per second that are read from an array of `bytes` per thread.
double measure_reads(const Cpu& cpu, long bytes, double seconds);
/// Bytes read plus written per second by a copy between two arrays that have `bytes` per thread together.
double measure_copies(const Cpu& cpu, long bytes, double seconds);

}  // namespace phonaut::testing

namespace phonaut::kernel {

/// `rounds` × 12 registers × lanes fused multiply-adds on every thread; `sink` (threads floats) keeps them alive.
/// Returns nothing; `lanes` receives the width of a register.
void probe_multiply_add(const Cpu& cpu, long rounds, float* sink, long* lanes);
/// Products of bfloat16 with the unit of a `cpu` that asks for bf16, `rounds` times; `operations` receives how many
/// multiplications and additions a round is on each thread, 0 where nothing is done for want of a unit.
void probe_bf16_products(const Cpu& cpu, long rounds, float* sink, long* operations);
/// y = x over n floats, cut into one stretch per thread, `rounds` times.
void probe_copy(const Cpu& cpu, long rounds, const float* x, float* y, long n);
/// The sum of n floats, cut into one stretch per thread, `rounds` times; `sink` (threads floats) keeps it alive.
void probe_read(const Cpu& cpu, long rounds, const float* x, long n, float* sink);

}  // namespace phonaut::kernel
