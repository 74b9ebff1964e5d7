#include "phonaut/ops/embedding.hpp"

#include "elementwise.cuh"
#include "phonaut/ops/frames.hpp"
#include "scatter.cuh"

namespace phonaut::kernel {

namespace {

template <class I>
void rows_at(const Cuda& cuda, View<const float, 2> x, const I* at, View<float, 2> y) {
  cuda::for_each_at(cuda, "rows by number", y.shape[0], y.shape[1],
                    [=] __device__(long i, long c) { y.row(i)[c] = x.row(static_cast<long>(at[i]))[c]; });
}
template <class I>
void table_gradient(const Cuda& cuda, View<const float, 2> dy, View<const I, 1> ids, Sink<float, 2> dtable) {
  const I* of = ids.data;
  cuda::scatter(
      cuda, "embedding", dtable.shape[0], dtable.shape[1], ids.size(), [=] __device__(long i) { return of[i]; },
      [=] __device__(long i, long c) { return dy.row(i)[c]; },
      [=] __device__(long entry, long c, double total) {
        cuda::put(dtable.row(entry)[c], static_cast<float>(total), dtable.add);
      });
}

}  // namespace

void embedding_forward(const Cuda& cuda, View<const float, 2> table, View<const std::int32_t, 1> ids,
                       View<float, 2> y) {
  rows_at(cuda, table, ids.data, y);
}
void embedding_forward(const Cuda& cuda, View<const float, 2> table, View<const std::int64_t, 1> ids,
                       View<float, 2> y) {
  rows_at(cuda, table, ids.data, y);
}
void embedding_backward(const Cuda& cuda, View<const float, 2> dy, View<const std::int32_t, 1> ids,
                        Sink<float, 2> dtable) {
  table_gradient(cuda, dy, ids, dtable);
}
void embedding_backward(const Cuda& cuda, View<const float, 2> dy, View<const std::int64_t, 1> ids,
                        Sink<float, 2> dtable) {
  table_gradient(cuda, dy, ids, dtable);
}

void take_rows(const Cuda& cuda, View<const float, 2> x, View<const std::int32_t, 1> rows, View<float, 2> y) {
  rows_at(cuda, x, rows.data, y);
}
void add_rows(const Cuda& cuda, View<const float, 2> x, View<const std::int32_t, 1> rows, View<float, 2> y) {
  const std::int32_t* to = rows.data;  // each once, see FrameRows
  cuda::for_each_at(cuda, "add_rows", x.shape[0], x.shape[1],
                    [=] __device__(long i, long c) { y.row(to[i])[c] += x.row(i)[c]; });
}

}  // namespace phonaut::kernel
