#pragma once
// What a device can do at most, measured there: the yardstick of what is timed on it. And how to wait for a device.
#include <phonaut/core/context.hpp>
#include <phonaut/ops/gemm.hpp>
#include <phonaut/testing/machine.hpp>

#include <algorithm>
#include <chrono>
#include <string>

namespace phonaut::bench {

/// What a computation runs on, in a word.
inline std::string name_of(const Cpu& cpu) { return phonaut::name_of(cpu.isa); }
inline std::string name_of(const Cuda&) { return "cuda"; }

/// Whether calls return before their work is done, so that several are to be timed together, up to a wait.
template <class B>
constexpr bool works_behind = std::is_same_v<B, Cuda>;

template <class B>
class Yardstick;

/// Of the threads and the instruction set of a `Cpu`.
template <>
class Yardstick<Cpu> {
 public:
  explicit Yardstick(const Cpu& cpu) : cpu_(cpu) {}
  /// Operations per second.
  double peak(double seconds) { return testing::measure_multiply_adds(cpu_, seconds); }
  testing::Machine limits(double seconds) { return testing::measure_machine(cpu_, seconds); }

 private:
  Cpu cpu_;
};

/// Of one call, when as many are queued as take about `seconds` altogether.
template <class Call>
double seconds_of(const Cuda& cuda, double seconds, const Call& call) {
  const auto timed = [&](long count) {
    kernel::synchronise(cuda);
    const auto start = std::chrono::steady_clock::now();
    for (long i = 0; i < count; ++i) call();
    kernel::synchronise(cuda);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  timed(1);  // libraries and memory are made ready
  const double one = timed(1);
  const long count = std::clamp(static_cast<long>(seconds / one), 1L, 100000L);
  return timed(count) / static_cast<double>(count);
}

/// Of a GPU: `flops` are those of a square product by its library in the precision of `cuda`, `copy_bytes` of a copy
/// from one half of 256 MiB to the other, `cached_bytes` of one between halves of 1 MiB, where most of the time is the
/// launch.
template <>
class Yardstick<Cuda> {
 public:
#ifdef PHONAUT_EMULATE_GPU  // for a look at whether it works
  static constexpr long size = 16, large = 4096, cached = 2048;
#else
  static constexpr long size = 4096, large = 256L << 20, cached = 1L << 20;
#endif

  explicit Yardstick(const Cuda& cuda) : ctx_(cuda) {}

  double peak(double seconds) {
    const Shape<2> square{size, size};
    const auto a = ctx_.full(square, 0.5f), b = ctx_.full(square, 0.25f), c = ctx_.empty(square);
    const kernel::Gemm<float> product{.m = size,
                                      .n = size,
                                      .k = size,
                                      .a = a.data(),
                                      .a_row = size,
                                      .a_col = 1,
                                      .b = b.data(),
                                      .b_row = size,
                                      .b_col = 1,
                                      .c = c.data(),
                                      .c_row = size};
    const auto n = static_cast<double>(size);
    return 2 * n * n * n / seconds_of(ctx_.backend(), seconds, [&] { kernel::gemm(ctx_.backend(), product); });
  }
  /// Bytes read plus written per second by a copy between two arrays of `bytes` together.
  double copies(long bytes, double seconds) {
    const long count = bytes / 2 / static_cast<long>(sizeof(float));
    const Tensor<Cuda, 1> from = ctx_.full(Shape<1>{count}, 1), to = ctx_.empty(Shape<1>{count});
    const double each =
        seconds_of(ctx_.backend(), seconds, [&] { kernel::pack(ctx_.backend(), from.in(), to.data()); });
    return static_cast<double>(bytes) / each;
  }
  testing::Machine limits(double seconds) {
    return {.flops = peak(seconds / 3),
            .copy_bytes = copies(large, seconds / 3),
            .cached_bytes = copies(cached, seconds / 3)};
  }

 private:
  Context<Cuda> ctx_;
};

}  // namespace phonaut::bench
