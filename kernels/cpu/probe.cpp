// The machine's limits: what no kernel can beat.
#include "isa.hpp"

#ifdef PHONAUT_ISA
#include "amx.hpp"
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

void probe_read(const Cpu& cpu, long rounds, const float* x, long n, float* sink) {
  const long per_thread = n / cpu.threads;
  parallel_for(cpu.threads, cpu.threads, [&](long thread) {
    const float* from = x + thread * per_thread;
    // Independent sums, so that loads are what there is to wait for.
    Vec s0(0.f), s1(0.f), s2(0.f), s3(0.f), s4(0.f), s5(0.f), s6(0.f), s7(0.f);
    constexpr long step = 8 * Vec::lanes;
    for (long round = 0; round < rounds; ++round) {
      for (long i = 0; i + step <= per_thread; i += step) {
        const float* p = from + i;
        s0 += Vec::load(p), s1 += Vec::load(p + Vec::lanes), s2 += Vec::load(p + 2 * Vec::lanes);
        s3 += Vec::load(p + 3 * Vec::lanes), s4 += Vec::load(p + 4 * Vec::lanes), s5 += Vec::load(p + 5 * Vec::lanes);
        s6 += Vec::load(p + 6 * Vec::lanes), s7 += Vec::load(p + 7 * Vec::lanes);
      }
      asm volatile("" ::: "memory");  // every round reads again
    }
    sink[thread] = sum(((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7)));
  });
}

void probe_bf16_products([[maybe_unused]] const Cpu& cpu, [[maybe_unused]] long rounds, [[maybe_unused]] float* sink,
                         long* operations) {
#if defined(PHONAUT_AMX)
  *operations = 4 * 2 * amx_rows * amx_words * 2 * amx_words;
  parallel_for(cpu.threads, cpu.threads, [&](long thread) {
    alignas(64) float words[amx_rows * amx_words] = {};
    amx_configure();
    amx_zero<0>(), amx_zero<1>(), amx_zero<2>(), amx_zero<3>();
    amx_load<4>(words, amx_words), amx_load<5>(words, amx_words);
    amx_load<6>(words, amx_words), amx_load<7>(words, amx_words);
    for (long i = 0; i < rounds; ++i) {  // four tiles of results, as a matrix product has them
      amx_multiply_add<0, 4, 6>(), amx_multiply_add<1, 4, 7>();
      amx_multiply_add<2, 5, 6>(), amx_multiply_add<3, 5, 7>();
    }
    amx_store<0>(words, amx_words);
    amx_release();
    sink[thread] = words[0];
  });
#elif defined(__AVX512BF16__)
  *operations = 12 * 4 * Vec::lanes;
  parallel_for(cpu.threads, cpu.threads, [&](long thread) {
    const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1e-3f), _mm512_set1_ps(1e-3f));
    __m512 s[12];
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) s[j] = _mm512_set1_ps(static_cast<float>(j));
    for (long i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
      for (int j = 0; j < 12; ++j) s[j] = _mm512_dpbf16_ps(s[j], a, a);
    }
    Vec total(0.f);
#pragma GCC unroll 12
    for (int j = 0; j < 12; ++j) total += Vec(Vec::Batch(s[j]));
    sink[thread] = sum(total);
  });
#else
  *operations = 0;
#endif
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/testing/machine.hpp"
#endif

PHONAUT_DISPATCH(probe_multiply_add, (const Cpu& cpu, long rounds, float* sink, long* lanes),
                 (cpu, rounds, sink, lanes))
PHONAUT_DISPATCH(probe_copy, (const Cpu& cpu, long rounds, const float* x, float* y, long n), (cpu, rounds, x, y, n))
PHONAUT_DISPATCH(probe_read, (const Cpu& cpu, long rounds, const float* x, long n, float* sink),
                 (cpu, rounds, x, n, sink))
PHONAUT_DISPATCH_PRODUCTS(probe_bf16_products, (const Cpu& cpu, long rounds, float* sink, long* operations),
                          (cpu, rounds, sink, operations))
