// The grid emulator itself: it runs what is right, and says what is wrong.
#include "emulator.hpp"

#include <numeric>
#include <vector>

#include "catch.hpp"
#include "cuda.cuh"
#include "device_memory.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/primitives.hpp"

using namespace phonaut;
using emulator::Dim;

namespace {

/// Ints on the device, and back.
struct DeviceInts {
  explicit DeviceInts(long count) : n(count), data(static_cast<int*>(emulator::allocate_device(bytes()))) {
    const std::vector<int> none(static_cast<size_t>(n), -1);
    kernel::upload(Cuda{}, data, none.data(), bytes());
  }
  DeviceInts(const DeviceInts&) = delete;
  DeviceInts& operator=(const DeviceInts&) = delete;
  ~DeviceInts() { emulator::release_device(data); }
  size_t bytes() const { return static_cast<size_t>(n) * sizeof(int); }
  std::vector<int> values() const {
    std::vector<int> host(static_cast<size_t>(n));
    kernel::download(Cuda{}, host.data(), data, bytes());
    return host;
  }
  long n;
  int* data;
};

/// What `run` says when it fails.
template <class F>
std::string fault(const F& run) {
  try {
    run();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// Each thread leaves its number in shared memory and takes that of its mirror image.
void mirror(int* to) {
  PHONAUT_SHARED(int, number, 1024);
  const int n = static_cast<int>(blockDim.x * blockDim.y), t = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  number[t] = t;
  __syncthreads();
  to[static_cast<int>(blockIdx.x) * n + t] = number[n - 1 - t];
}
void mirror_without_barrier(int* to) {
  PHONAUT_SHARED(int, number, 1024);
  const int n = static_cast<int>(blockDim.x), t = static_cast<int>(threadIdx.x);
  number[t] = t;
  to[t] = number[n - 1 - t];
}
void warp_sums(int* to) {
  int value = static_cast<int>(threadIdx.x);
  for (int bits = 16; bits > 0; bits /= 2) value += __shfl_xor_sync(0xffffffffu, value, bits);
  to[threadIdx.x] = value;
}
void shifted(int* to) {
  const int value = static_cast<int>(threadIdx.x);
  to[threadIdx.x] = 100 * __shfl_up_sync(0xffffffffu, value, 3) + __shfl_sync(0xffffffffu, value, 5);
}
void some_skip_the_barrier(int* to) {
  if (threadIdx.x < 40) __syncthreads();
  to[threadIdx.x] = 1;
}
void two_barriers(int* to) {
  if (threadIdx.x < 32) {
    __syncthreads();
    to[threadIdx.x] = 1;
  } else {
    __syncthreads();
    to[threadIdx.x] = 2;
  }
}
void some_skip_the_exchange(int* to) {
  int value = 1;
  if (threadIdx.x % 2 == 0) value = __shfl_xor_sync(0xffffffffu, value, 1);
  to[threadIdx.x] = value;
}
void half_a_warp(int* to) { to[threadIdx.x] = __shfl_xor_sync(0xffffu, 1, 1); }
void too_much_shared(int* to) {
  PHONAUT_SHARED(double, many, 8 * 1024);
  many[threadIdx.x] = 1;
  to[threadIdx.x] = 1;
}
void read_shared(int* to) {
  PHONAUT_SHARED(int, number, 32);
  to[threadIdx.x] = number[threadIdx.x];
  number[threadIdx.x] = 7;
}

}  // namespace

TEST_CASE("what a launch was asked for is said with its shapes") {
  float number = 0;
  const View<const float, 3> x(&number, {2, 1, 5});
  const Sink<float, 1> sink(&number, {7}, false);
  const View<float, 0> scalar(&number, Shape<0>{});
  const auto nothing_to_say = [] {};
  CHECK(cuda::described("stft", 12L, x, sink, scalar, nothing_to_say, &number) == "stft 12 (2, 1, 5) (7) ()");
  CHECK(cuda::described("stft") == "stft");
}

TEST_CASE("threads of an emulated block meet at barriers and exchange values", "[emulator]") {
  for (const auto order : {emulator::Order::ascending, emulator::Order::descending}) {
    emulator::set_order(order);
    DeviceInts out(3 * 64);
    emulator::launch("mirror", Dim(3), Dim(16, 4), 0, mirror, out.data);
    const auto got = out.values();
    for (int i = 0; i < 3 * 64; ++i) CHECK(got[static_cast<size_t>(i)] == 63 - i % 64);

    DeviceInts sums(64);
    emulator::launch("warp_sums", Dim(1), Dim(64), 0, warp_sums, sums.data);
    CHECK(sums.values()[7] == 31 * 32 / 2);
    CHECK(sums.values()[40] == 31 * 32 / 2 + 32 * 32);

    DeviceInts moved(32);
    emulator::launch("shifted", Dim(1), Dim(32), 0, shifted, moved.data);
    CHECK(moved.values()[1] == 105);
    CHECK(moved.values()[20] == 1705);
  }
  emulator::set_order(emulator::Order::ascending);
}

TEST_CASE("a block begins with shared memory that holds no number", "[emulator]") {
  DeviceInts out(32);
  for (int i = 0; i < 2; ++i) {
    emulator::launch("read_shared", Dim(1), Dim(32), 0, read_shared, out.data);
    CHECK(out.values()[3] == -1);
  }
}

TEST_CASE("a missing barrier shows in one of the two orders", "[emulator]") {
  int wrong = 0;
  for (const auto order : {emulator::Order::ascending, emulator::Order::descending}) {
    emulator::set_order(order);
    DeviceInts out(64);
    emulator::launch("mirror_without_barrier", Dim(1), Dim(64), 0, mirror_without_barrier, out.data);
    const auto got = out.values();
    for (int i = 0; i < 64; ++i) wrong += got[static_cast<size_t>(i)] != 63 - i;
  }
  emulator::set_order(emulator::Order::ascending);
  CHECK(wrong > 0);
}

TEST_CASE("the emulator refuses what would hang a GPU or read garbage there", "[emulator]") {
  DeviceInts out(64);
  const auto of = [&](void (*kernel)(int*), Dim block = Dim(64), size_t shared = 0) {
    return fault([&] { emulator::launch("k", Dim(1), block, shared, kernel, out.data); });
  };
  CHECK(of(some_skip_the_barrier).find("24 of the 64 threads never reach (24 have ended)") != std::string::npos);
  CHECK(of(two_barriers).find("while others wait at the one in") != std::string::npos);
  CHECK(of(some_skip_the_exchange).find("never reach") != std::string::npos);
  CHECK(of(half_a_warp).find("only some lanes") != std::string::npos);
  CHECK(of(too_much_shared).find("65536 bytes of shared memory") != std::string::npos);
  CHECK(of(warp_sums, Dim(48)).find("no whole number of warps") != std::string::npos);
  CHECK(of(warp_sums, Dim(2048)).find("at most 1024 threads") != std::string::npos);
  CHECK(of(warp_sums, Dim(32), 1 << 20).find("are more than") != std::string::npos);
  CHECK(fault([&] { emulator::launch("k", Dim(0), Dim(32), 0, warp_sums, out.data); }).find("nothing to run") !=
        std::string::npos);
#ifdef PHONAUT_FINDS_HOST_ADDRESSES
  int on_host[64];
  CHECK(fault([&] {
          emulator::launch("k", Dim(1), Dim(64), 0, warp_sums, static_cast<int*>(on_host));
        }).find("the address of memory of the host") != std::string::npos);
#endif
  // After all of these it still works.
  CHECK(of(warp_sums).empty());
  CHECK(out.values()[7] == 31 * 32 / 2);
}
