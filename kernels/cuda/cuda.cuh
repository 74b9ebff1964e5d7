#pragma once
// What every CUDA kernel file needs: launches, scratch memory, and numbers of the host brought to the device.
#include <algorithm>
#include <string>
#include <type_traits>

#include "capture.cuh"
#include "device.cuh"
#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/view.hpp"
#include "runtime.cuh"
#ifndef PHONAUT_EMULATE_GPU
#include "native/check.cuh"
#endif

namespace phonaut::cuda {

/// Blocks of a grid, and threads of each.
struct Grid {
  long blocks = 1;
  long threads = 256;
  long rows = 1;    ///< blocks along y
  long shared = 0;  ///< bytes of dynamic shared memory
};

/// What a launch was asked to do: the op, the shapes of its views and its counts, as far as they are arguments.
template <class... Arguments>
std::string described(const char* what, const Arguments&... arguments) {
  std::string all = what;
  [[maybe_unused]] const auto add = [&](const auto& x) {
    using T = std::remove_cvref_t<decltype(x)>;
    if constexpr (std::is_integral_v<T>) {
      all += concat(" ", x);
    } else if constexpr (requires { x.shape, x.stride; }) {
      for (std::size_t i = 0; i < x.shape.size(); ++i) all += concat(i == 0 ? " (" : ", ", x.shape[i]);
      all += x.shape.size() == 0 ? " ()" : ")";
    }
  };
  (add(arguments), ...);
  return all;
}

/// Queues kernel(arguments…) on the stream. Throws Error, naming `what` and its shapes, where CUDA refuses, and
/// StateError if the calling thread captures another stream.
template <class... Parameters, class... Arguments>
void launch(const Cuda& cuda, const char* what, const Grid& grid, void (*kernel)(Parameters...),
            const Arguments&... arguments) {
  check_captured(cuda, what);
#ifdef PHONAUT_EMULATE_GPU
  emulator::launch_on(
      cuda.stream, what, emulator::Dim(static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.rows)),
      emulator::Dim(static_cast<unsigned>(grid.threads)), static_cast<std::size_t>(grid.shared), kernel, arguments...);
#else
  kernel<<<dim3(static_cast<unsigned>(grid.blocks), static_cast<unsigned>(grid.rows)),
           static_cast<unsigned>(grid.threads), static_cast<std::size_t>(grid.shared), stream_of(cuda)>>>(arguments...);
  if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess)
    check(status, described(what, arguments...).c_str());
#endif
}

/// Blocks that fill any GPU several times over; a grid with more work than this strides through it.
constexpr long most_blocks = 32 * 1024;

inline long blocks_for(long n, long each) { return std::min((n + each - 1) / each, most_blocks); }

/// Memory that this call's kernels share; goes back to the stream's pool where it ends.
template <class T>
class Scratch {
 public:
  Scratch(const Cuda& cuda, long n) : cuda_(cuda) {
    if (n > 0) data_ = static_cast<T*>(take_scratch(cuda, static_cast<std::size_t>(n) * sizeof(T)));
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    if (data_) give_scratch(cuda_, data_);
  }
  T* data() const { return data_; }

 private:
  const Cuda& cuda_;
  T* data_ = nullptr;
};

template <class F>
__global__ void for_each_kernel(long n, F f) {
  for (long i = static_cast<long>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += static_cast<long>(gridDim.x) * blockDim.x)
    f(i);
}

/// Runs f(i) for i = 0 … n-1 on the stream of `cuda`.
template <class F>
void for_each(const Cuda& cuda, const char* what, long n, F f) {
  if (n <= 0) return;
  launch(cuda, what, Grid{blocks_for(n, 256)}, for_each_kernel<F>, n, f);
}

template <class Index, class F>
__global__ void for_each_at_kernel(Index n, Index width, F f) {
  for (Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x; i < n;
       i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index row = i / width;
    f(static_cast<long>(row), static_cast<long>(i - row * width));
  }
}

/// Runs f(row, column) for every element of a matrix. Divisions are of 32 bits where the count has no more.
template <class F>
void for_each_at(const Cuda& cuda, const char* what, long rows, long width, F f) {
  const long n = rows * width;
  if (n <= 0) return;
  const Grid grid{blocks_for(n, 256)};
  // A thread's index goes one stride of the grid past the end before it stops.
  if (n < 0x7fffffffL - most_blocks * 256)
    launch(cuda, what, grid, for_each_at_kernel<unsigned, F>, static_cast<unsigned>(n), static_cast<unsigned>(width),
           f);
  else launch(cuda, what, grid, for_each_at_kernel<long, F>, n, width, f);
}

/// Numbers of the host, carried along by a launch.
struct Parcel {
  static constexpr long room = 480;
  unsigned long long word[room];
};
template <class Word>
__global__ void unpack_kernel(Parcel parcel, long words, Word* to) {
  for (long i = threadIdx.x; i < words; i += blockDim.x) to[i] = parcel.word[i];
}

/// A copy of `n` values of the host on the device, for the kernels of this call. Null stays null. Few values travel as
/// the argument of a launch: nobody waits, and a captured graph keeps them.
template <class T>
class Brought {
 public:
  static_assert(std::is_trivially_copyable_v<T>);

  Brought(const Cuda& cuda, const T* host, long n) : scratch_(cuda, host && n > 0 ? padded(n) : 0) {
    const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(T);
    if (!scratch_.data() || bytes == 0) return;
    if (bytes > 128 * sizeof(Parcel)) {
      bring_in(cuda, scratch_.data(), host, bytes);
      return;
    }
    const auto* from = reinterpret_cast<const char*>(host);
    auto* to = reinterpret_cast<unsigned long long*>(scratch_.data());
    for (std::size_t done = 0; done < bytes; done += sizeof(Parcel)) {
      Parcel parcel{};
      const std::size_t part = std::min(bytes - done, sizeof(Parcel));
      std::copy_n(from + done, part, reinterpret_cast<char*>(parcel.word));
      launch(cuda, "bringing numbers to the device", Grid{1, 128}, unpack_kernel<unsigned long long>, parcel,
             static_cast<long>((part + 7) / 8), to + done / 8);
    }
  }
  const T* data() const { return scratch_.data(); }

 private:
  /// Whole words are written.
  static long padded(long n) { return n + static_cast<long>((8 + sizeof(T) - 1) / sizeof(T)); }
  Scratch<T> scratch_;
};

}  // namespace phonaut::cuda
