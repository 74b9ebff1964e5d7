// Memory services of the CUDA backend.
#include "phonaut/core/primitives.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut::kernel {

namespace {

constexpr int kMaxRank = 6;

/// Shape and strides by value, so that a launch carries them along.
struct Layout {
  long shape[kMaxRank], x_stride[kMaxRank], y_stride[kMaxRank];
  int rank;
};

/// Axes of extent 1 are left out, and neighbours that lie without a gap in both tensors become one: fewer divisions for
/// each element.
Layout layout_of(const long* shape, const long* x_stride, const long* y_stride, int rank) {
  if (rank > kMaxRank) throw ShapeError(concat("cuda: rank ", rank, " is above the limit of ", kMaxRank));
  Layout l{};
  for (int i = 0; i < rank; ++i) {
    if (shape[i] == 1) continue;
    const int last = l.rank - 1;
    if (last >= 0 && l.x_stride[last] == shape[i] * x_stride[i] && l.y_stride[last] == shape[i] * y_stride[i]) {
      l.shape[last] *= shape[i];
      l.x_stride[last] = x_stride[i];
      l.y_stride[last] = y_stride[i];
      continue;
    }
    l.shape[l.rank] = shape[i];
    l.x_stride[l.rank] = x_stride[i];
    l.y_stride[l.rank] = y_stride[i];
    ++l.rank;
  }
  return l;
}

void strided_copy(const Cuda& cuda, const float* x, float* y, const Layout& l, bool add) {
  long n = 1;
  for (int i = 0; i < l.rank; ++i) n *= l.shape[i];
  if (l.rank == 0 || (l.rank == 1 && l.x_stride[0] == 1 && l.y_stride[0] == 1)) {
    cuda::map_flat(
        cuda, "a copy", y, n, add, [=] __device__(float v) { return v; }, x);
    return;
  }
  const long width = l.shape[l.rank - 1];
  cuda::for_each_at(cuda, "a copy between layouts", width > 0 ? n / width : 0, width, [=] __device__(long r, long c) {
    long from = c * l.x_stride[l.rank - 1], to = c * l.y_stride[l.rank - 1];
    for (int axis = l.rank - 1; axis-- > 0;) {
      const long rest = r / l.shape[axis], at = r - rest * l.shape[axis];
      r = rest;
      from += at * l.x_stride[axis];
      to += at * l.y_stride[axis];
    }
    cuda::put(y[to], x[from], add);
  });
}

}  // namespace

void fill(const Cuda& cuda, float* data, long n, float value) {
  cuda::map_flat(cuda, "fill", data, n, false, [=] __device__() { return value; });
}
void accumulate(const Cuda& cuda, View<const float, 1> x, float* y) {
  cuda::map_flat(
      cuda, "accumulate", y, x.size(), true, [=] __device__(float v) { return v; }, x.data);
}
void pack(const Cuda& cuda, const float* x, const long* shape, const long* stride, int rank, float* y) {
  long packed[kMaxRank] = {}, n = 1;
  if (rank > kMaxRank) throw ShapeError(concat("cuda: rank ", rank, " is above the limit of ", kMaxRank));
  for (int i = rank; i-- > 0;) {
    packed[i] = n;
    n *= shape[i];
  }
  strided_copy(cuda, x, y, layout_of(shape, stride, packed, rank), false);
}
void copy_block(const Cuda& cuda, const float* x, const long* x_stride, float* y, const long* y_stride,
                const long* shape, int rank, bool add) {
  strided_copy(cuda, x, y, layout_of(shape, x_stride, y_stride, rank), add);
}
void upload(const Cuda& cuda, void* device, const void* host, size_t bytes) {
  if (bytes > 0) cuda::copy_in(cuda, device, host, bytes);
}
void upload_table(const Cuda& cuda, void* device, const void* host, size_t bytes) {
  if (bytes > 0) cuda::bring_in(cuda, device, host, bytes);
}
void download(const Cuda& cuda, void* host, const void* device, size_t bytes) {
  if (bytes > 0) cuda::copy_out(cuda, host, device, bytes);
}
void synchronise(const Cuda& cuda) { cuda::wait_for(cuda); }

}  // namespace phonaut::kernel
