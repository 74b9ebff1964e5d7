#pragma once
// A grid of GPU threads on the host, for tests: kernels/cuda/device.cuh maps the words of CUDA to what is here, so that
// the very sources which nvcc compiles run without a GPU, under the sanitizers. Blocks run one after the other; the
// threads of a block are fibres, which switch at barriers and at exchanges within a warp. The emulator is strict where
// a GPU may hang or read garbage: see `launch`.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>

#include "stream.hpp"

// Arguments are searched for addresses, which stale bytes between their members may look like. Where a compiler cannot
// clear these (Clang 14), nothing is searched.
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define PHONAUT_FINDS_HOST_ADDRESSES 1
#endif
#endif

namespace phonaut::emulator {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
  constexpr Dim(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1)  // NOLINT(google-explicit-constructor): as in CUDA
      : x(x_), y(y_), z(z_) {}
};

/// What a thread knows of its place.
struct Place {
  Dim thread, block, block_size, grid_size;
};
extern thread_local Place here;

/// In which order the threads of a block, and the blocks of a grid, get their turns. Results may not depend on it.
enum class Order { ascending, descending };
void set_order(Order order);
/// Grids launched by this thread so far.
long launches();

/// Grids that a launch may ask for (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
constexpr unsigned warp_size = 32;
constexpr unsigned max_threads = 1024;
constexpr unsigned max_blocks_x = 0x7fffffffu;
constexpr unsigned max_blocks_yz = 65535;
/// Shared memory of a block without an opt-in, dynamic and static together.
constexpr std::size_t max_shared = 48 * 1024;

/// Where in the source a thread waits.
struct Site {
  const char* file;
  int line;
};

namespace detail {

/// Throws Error for a grid that a GPU refuses.
void check_grid(const char* name, const Dim& grid, const Dim& block, std::size_t shared);
void run(const char* name, const Dim& grid, const Dim& block, std::size_t shared, void (*call)(void*), void* body);
/// Throws Error if an argument holds the address of host memory, which a GPU cannot read. `cleared` is a copy of it
/// without what lies between its members, where stale bytes may be an address. An address counts if it stands in both:
/// GCC 12 takes some bytes of a struct with an array of structs in it for such a gap, and half of a device's address
/// may be the host's.
void look_for_host_addresses(const char* name, const void* argument, const void* cleared, std::size_t bytes);

void barrier(Site site);
/// Waits until all lanes of the warp have brought their value of at most 16 bytes, then returns all of them, 16 bytes
/// apart. They are there until the thread's next exchange.
const char* gather(Site site, unsigned mask, const void* value, std::size_t bytes);

/// Number of the block that runs, counted over all launches: shared memory of an earlier one is not valid any more.
long block_number();
/// Adds to what the running block has taken of shared memory.
void count_shared(std::size_t bytes);
void* dynamic_shared();

template <class Parameter>
void check_argument([[maybe_unused]] const char* name, [[maybe_unused]] const Parameter& parameter) {
  // Assignment does not matter, and GCC calls a closure over a constant trivial only until somebody asks about it.
  static_assert(std::is_trivially_copy_constructible_v<Parameter> && std::is_trivially_destructible_v<Parameter>,
                "arguments of kernels are copied as bytes");
#ifdef PHONAUT_FINDS_HOST_ADDRESSES
  // Of a parcel (kernels/cuda/cuda.cuh) nobody knows any more what lies between the members that were put in.
  if constexpr (!requires { Parameter::room; }) {
    auto copy = parameter;
    __builtin_clear_padding(&copy);
    look_for_host_addresses(name, &parameter, &copy, sizeof copy);
  }
#endif
}

}  // namespace detail

/// Runs kernel(arguments…) as a grid. Throws Error for what a GPU refuses (a size out of bounds, no threads at all),
/// for a block whose threads are no whole number of warps, and for faults of the kernel: a barrier or an exchange that
/// some threads do not reach or reach elsewhere, and more shared memory than a block has. An Error of this kind names
/// the kernel and where its threads wait.
template <class... Parameters, class... Arguments>
void launch(const char* name, const Dim& grid, const Dim& block, std::size_t shared, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  (detail::check_argument(name, static_cast<const Parameters&>(arguments)), ...);
  auto body = [&] { kernel(arguments...); };
  detail::run(
      name, grid, block, shared, [](void* b) { (*static_cast<decltype(body)*>(b))(); }, &body);
}
/// The same on a stream: at once, or, while the stream is captured, when the graph is launched.
template <class... Parameters, class... Arguments>
void launch_on(void* stream, const char* name, const Dim& grid, const Dim& block, std::size_t shared,
               void (*kernel)(Parameters...), const Arguments&... arguments) {
  Recording* const recording = recording_of(stream);
  if (!recording) {
    launch(name, grid, block, shared, kernel, arguments...);
    return;
  }
  (detail::check_argument(name, static_cast<const Parameters&>(arguments)), ...);
  detail::check_grid(name, grid, block, shared);
  recording->steps.emplace_back([name = std::string(name), grid, block, shared, kernel,
                                 ... copies = static_cast<std::remove_cvref_t<Parameters>>(arguments)] {
    launch(name.c_str(), grid, block, shared, kernel, copies...);
  });
}

/// One `__shared__` array: the same memory for all threads of a block, with bytes of all ones (NaN) where a block
/// begins.
template <class T, std::size_t N>
class Shared {
 public:
  T* of_block() {
    if (block_ != detail::block_number()) {
      block_ = detail::block_number();
      std::memset(static_cast<void*>(data_), 0xff, sizeof data_);
      detail::count_shared(sizeof data_);
    }
    return data_;
  }

 private:
  alignas(16) T data_[N];
  long block_ = -1;
};

template <class T>
T shuffle(Site site, unsigned mask, const T& value, unsigned from) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  T result;
  std::memcpy(&result, detail::gather(site, mask, &value, sizeof(T)) + 16 * from, sizeof(T));
  return result;
}

}  // namespace phonaut::emulator

// ---- the words of CUDA ----
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

#define threadIdx (::phonaut::emulator::here.thread)
#define blockIdx (::phonaut::emulator::here.block)
#define blockDim (::phonaut::emulator::here.block_size)
#define gridDim (::phonaut::emulator::here.grid_size)

struct alignas(16) float4 {
  float x, y, z, w;
};

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  ::phonaut::emulator::detail::barrier({file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const char token = 0;
  ::phonaut::emulator::shuffle({file, line}, mask, token, 0);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int = 32, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return ::phonaut::emulator::shuffle({file, line}, mask, value, static_cast<unsigned>(lane) % 32);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int = 32, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  const unsigned lane = threadIdx.x % 32;
  return ::phonaut::emulator::shuffle({file, line}, mask, value, (lane ^ static_cast<unsigned>(bits)) % 32);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int = 32, const char* file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
  const unsigned lane = threadIdx.x % 32;
  return ::phonaut::emulator::shuffle({file, line}, mask, value, lane < by ? lane : lane - by);
}
inline unsigned __ballot_sync(unsigned mask, bool vote, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
  const char* votes = ::phonaut::emulator::detail::gather({file, line}, mask, &vote, sizeof vote);
  unsigned bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane) bits |= static_cast<unsigned>(votes[16 * lane] != 0) << lane;
  return bits;
}
inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
