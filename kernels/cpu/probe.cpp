// The machine's limits: what no kernel can beat.
#include "isa.hpp"

#ifdef PHONAUT_ISA
#include "parallel.hpp"
#include "vec.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

void probe_multiply_add(const Cpu& cpu, long rounds, float* sink, long* lanes) {
  *lanes = Vec::lanes;
  parallel_for(cpu.threads, cpu.threads, [&](long thread) {
    // Twelve independent sums hide the latency of a multiply-add on all current cores.
    const Vec a(0.999999f), b(1e-6f);
    Vec s0(1.f), s1(2.f), s2(3.f), s3(4.f), s4(5.f), s5(6.f), s6(7.f), s7(8.f), s8(9.f), s9(10.f), s10(11.f), s11(12.f);
    for (long i = 0; i < rounds; ++i) {
      s0 = fma(s0, a, b), s1 = fma(s1, a, b), s2 = fma(s2, a, b), s3 = fma(s3, a, b);
      s4 = fma(s4, a, b), s5 = fma(s5, a, b), s6 = fma(s6, a, b), s7 = fma(s7, a, b);
      s8 = fma(s8, a, b), s9 = fma(s9, a, b), s10 = fma(s10, a, b), s11 = fma(s11, a, b);
    }
    sink[thread] = sum(((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)) + ((s8 + s9) + (s10 + s11)));
  });
}

void probe_copy(const Cpu& cpu, long rounds, const float* x, float* y, long n) {
  const long per_thread = n / cpu.threads;
  parallel_for(cpu.threads, cpu.threads, [&](long thread) {
    const float* from = x + thread * per_thread;
    float* to = y + thread * per_thread;
    for (long round = 0; round < rounds; ++round) {
      for (long i = 0; i + Vec::lanes <= per_thread; i += Vec::lanes) Vec::load(from + i).store(to + i);
      asm volatile("" ::: "memory");  // every round copies again
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/testing/machine.hpp"
#endif

PHONAUT_DISPATCH(probe_multiply_add, (const Cpu& cpu, long rounds, float* sink, long* lanes),
                 (cpu, rounds, sink, lanes))
PHONAUT_DISPATCH(probe_copy, (const Cpu& cpu, long rounds, const float* x, float* y, long n), (cpu, rounds, x, y, n))
