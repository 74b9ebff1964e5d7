// What kernels/cuda/native does with the CUDA runtime and cuBLASLt, done by the host on the emulator's memory.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "capture.cuh"
#include "device_memory.hpp"
#include "phonaut/core/backend.hpp"
#include "phonaut/core/cuda_stream.hpp"
#include "phonaut/core/error.hpp"
#include "runtime.cuh"
#include "stream.hpp"

namespace phonaut {

int cuda_devices() noexcept { return 1; }
void select_cuda_device(int index) {
  if (index != 0) throw ConfigError(concat("cuda: device ", index, " was asked for, but there are 1"));
}
void* CudaMemory::allocate(std::size_t bytes) {
  cuda::refuse_in_capture("memory is asked of the GPU, which the first run did not need");
  return emulator::allocate_device(bytes);
}
void CudaMemory::release(void* p) noexcept {
  if (!cuda::keep_in_capture(p)) emulator::release_device(p);
}

CudaStream::CudaStream() : stream_(new emulator::Stream) {}
CudaStream::~CudaStream() { delete static_cast<emulator::Stream*>(stream_); }
void CudaStream::wait() const { cuda::wait_for(backend()); }
void CudaStream::follow(const Cuda&) const {
  cuda::refuse_in_capture("a stream is told to follow another, which a launch would not do");
}

namespace emulator {

namespace {
thread_local Unknown unknown_products = Unknown::none;
thread_local long products_done = 0;
}  // namespace

void set_unknown_products(Unknown unknown) { unknown_products = unknown; }
long products() { return products_done; }

}  // namespace emulator

namespace cuda {

namespace {

/// Does `step` with device memory open: now, or when the graph that is captured is launched.
template <class Step>
void queue(const Cuda& cuda, const char* what, Step step) {
  check_captured(cuda, what);
  auto run = [step = std::move(step)] {
    const emulator::DeviceAccess access;
    step();
  };
  if (emulator::Recording* recording = emulator::recording_of(cuda.stream))
    recording->steps.emplace_back(std::move(run));
  else run();
}

/// The nearest number with `digits` binary digits behind the first, as tensor cores see a factor: of two that are as
/// near, the one further from zero in TensorFloat-32 (cvt.rna.tf32), the even one in bfloat16 (cvt.rn.bf16).
float rounded(float x, int digits, bool ties_to_even) {
  auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7f800000u) == 0x7f800000u) return x;  // infinite, or no number
  const int cut = 23 - digits;
  const std::uint32_t half = 1u << (cut - 1), last = (bits >> cut) & 1u;
  bits += ties_to_even ? half - 1 + last : half;
  return std::bit_cast<float>(bits >> cut << cut);
}
float factor(float x, Precision precision) {
  if (precision == Precision::tf32) return rounded(x, 10, false);
  if (precision == Precision::bf16) return rounded(x, 7, true);
  return x;
}

void multiply(const kernel::Gemm<float>& g, Precision precision) {
  // Factors once, row by row: what a sum reads lies together.
  const auto size = [](long rows, long columns) { return static_cast<std::size_t>(rows * columns); };
  std::vector<float> a(size(g.m, g.k)), b(size(g.n, g.k));
  for (long batch = 0; batch < g.batch; ++batch) {
    for (long i = 0; i < g.m; ++i)
      for (long p = 0; p < g.k; ++p)
        a[size(i, g.k) + static_cast<std::size_t>(p)] =
            factor(g.a[batch * g.a_batch + i * g.a_row + p * g.a_col], precision);
    for (long j = 0; j < g.n; ++j)
      for (long p = 0; p < g.k; ++p)
        b[size(j, g.k) + static_cast<std::size_t>(p)] =
            factor(g.b[batch * g.b_batch + p * g.b_row + j * g.b_col], precision);
    for (long i = 0; i < g.m; ++i)
      for (long j = 0; j < g.n; ++j) {
        float total = 0;
        const float *left = a.data() + size(i, g.k), *right = b.data() + size(j, g.k);
        for (long p = 0; p < g.k; ++p) total += left[p] * right[p];
        float& to = g.c[batch * g.c_batch + i * g.c_row + j];
        if (g.add) total += to;
        if (g.bias) total += g.bias[j];
        to = g.activation == kernel::Activation::relu ? std::max(total, 0.f) : total;
      }
  }
}

}  // namespace

// A captured allocation is part of the graph, and so is its end: nobody else gets the memory while the graph lives.
void* take_scratch(const Cuda& cuda, std::size_t bytes) {
  check_captured(cuda, "memory of a kernel");
  void* p = emulator::allocate_device(bytes);
  if (Capture* capture = current_capture()) capture->kept->push_back({p, emulator::release_device});
  return p;
}
void give_scratch(const Cuda&, void* p) noexcept {
  if (!current_capture()) emulator::release_device(p);
}
void bring_in(const Cuda& cuda, void* device, const void* host, std::size_t bytes) {
  const auto* from = static_cast<const char*>(host);
  queue(cuda, "a copy to the device",
        [device, copy = std::vector<char>(from, from + bytes)] { std::memcpy(device, copy.data(), copy.size()); });
}
void copy_out(const Cuda&, void* host, const void* device, std::size_t bytes) {
  refuse_in_capture("numbers are read back, but nothing is computed before a launch");
  const emulator::DeviceAccess access;
  std::memcpy(host, device, bytes);
}
void copy_within(const Cuda& cuda, void* to, const void* from, std::size_t bytes) {
  queue(cuda, "a copy on the device", [=] { std::memmove(to, from, bytes); });
}
void wait_for(const Cuda&) { refuse_in_capture("the stream is waited for, but nothing is queued before a launch"); }

void* begin_capture() { return new emulator::Stream{std::make_unique<emulator::Recording>()}; }
void* end_capture(void* stream) {
  const std::unique_ptr<emulator::Stream> ended(static_cast<emulator::Stream*>(stream));
  return ended->recording.release();
}
void abandon_capture(void* stream) noexcept { delete static_cast<emulator::Stream*>(stream); }
void launch_graph(const Cuda&, void* graph) {
  for (const auto& step : static_cast<emulator::Recording*>(graph)->steps) step();
}
void destroy_graph(const Cuda&, void* graph) noexcept { delete static_cast<emulator::Recording*>(graph); }

bool matrix_product(const Cuda& cuda, const kernel::Gemm<float>& g) {
  using emulator::Unknown;
  const Unknown unknown = emulator::unknown_products;
  const bool relu = g.activation == kernel::Activation::relu;
  if (!relu && g.activation != kernel::Activation::none)
    throw ConfigError("emulator: cuBLASLt is asked for an activation that it has not got");
  if (unknown == Unknown::all || (unknown == Unknown::with_epilogue && (g.bias || relu))) return false;
  queue(cuda, "a matrix product", [g, precision = cuda.precision] { multiply(g, precision); });
  ++emulator::products_done;
  return true;
}

}  // namespace cuda
}  // namespace phonaut
