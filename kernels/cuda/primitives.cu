// Memory services of the CUDA backend.
#include "cuda.cuh"
#include "phonaut/core/primitives.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

bool cuda_available() noexcept {
  int devices = 0;
  return cudaGetDeviceCount(&devices) == cudaSuccess && devices > 0;
}
void* CudaMemory::allocate(std::size_t bytes) {
  void* p = nullptr;
  cuda::check(cudaMalloc(&p, bytes), "cudaMalloc");
  return p;
}
void CudaMemory::release(void* p) noexcept { cudaFree(p); }

namespace kernel {

namespace {

constexpr int kMaxRank = 6;

/// Shape and strides by value, so that a launch carries them along.
struct Layout {
  long shape[kMaxRank], x_stride[kMaxRank], y_stride[kMaxRank];
  int rank;
};

Layout layout_of(const long* shape, const long* x_stride, const long* y_stride, int rank) {
  if (rank > kMaxRank) throw ShapeError(concat("cuda: rank ", rank, " is above the limit of ", kMaxRank));
  Layout l{};
  l.rank = rank;
  for (int i = 0; i < rank; ++i) {
    l.shape[i] = shape[i];
    l.x_stride[i] = x_stride[i];
    l.y_stride[i] = y_stride[i];
  }
  return l;
}

void strided_copy(const Cuda& backend, const float* x, float* y, const Layout& l, bool add) {
  long n = 1;
  for (int i = 0; i < l.rank; ++i) n *= l.shape[i];
  cuda::for_each(backend, n, [=] __device__(long i) {
    long from = 0, to = 0;
    for (int axis = l.rank; axis-- > 0;) {
      const long at = i % l.shape[axis];
      i /= l.shape[axis];
      from += at * l.x_stride[axis];
      to += at * l.y_stride[axis];
    }
    y[to] = add ? y[to] + x[from] : x[from];
  });
}

}  // namespace

void fill(const Cuda& backend, float* data, long n, float value) {
  cuda::for_each(backend, n, [=] __device__(long i) { data[i] = value; });
}
void accumulate(const Cuda& backend, View<const float, 1> x, float* y) {
  const float* from = x.data;
  cuda::for_each(backend, x.size(), [=] __device__(long i) { y[i] += from[i]; });
}
void pack(const Cuda& backend, const float* x, const long* shape, const long* stride, int rank, float* y) {
  long packed[kMaxRank] = {}, n = 1;
  if (rank > kMaxRank) throw ShapeError(concat("cuda: rank ", rank, " is above the limit of ", kMaxRank));
  for (int i = rank; i-- > 0;) {
    packed[i] = n;
    n *= shape[i];
  }
  strided_copy(backend, x, y, layout_of(shape, stride, packed, rank), false);
}
void copy_block(const Cuda& backend, const float* x, const long* x_stride, float* y, const long* y_stride,
                const long* shape, int rank, bool add) {
  strided_copy(backend, x, y, layout_of(shape, x_stride, y_stride, rank), add);
}
void upload(const Cuda& backend, void* device, const void* host, size_t bytes) {
  if (bytes == 0) return;
  cuda::check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, cuda::stream_of(backend)), "an upload");
  synchronise(backend);  // the host memory may go away as soon as this returns
}
void download(const Cuda& backend, void* host, const void* device, size_t bytes) {
  if (bytes == 0) return;
  cuda::check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, cuda::stream_of(backend)), "a download");
  synchronise(backend);
}
void synchronise(const Cuda& backend) {
  cuda::check(cudaStreamSynchronize(cuda::stream_of(backend)), "waiting for the stream");
}

}  // namespace kernel
}  // namespace phonaut
