#include "phonaut/ops/row_blocks.hpp"
#include "softmax_row.hpp"

#ifdef PHONAUT_ISA
namespace phonaut::kernel::PHONAUT_ISA {

void softmax_forward(const Cpu& cpu, View<const float, 2> x, const long* lengths, long rows_per_length,
                     View<float, 2> y) {
  parallel_rows(cpu.threads, x.shape[0], x.shape[1], [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const long width = row_length(lengths, rows_per_length, x.shape[1], r);
      const float* from = x.row(r);
      float* to = y.row(r);
      const float total = sum(exponentials_along(from, width, largest(largest_along(from, width)), to));
      scale_along(to, width, 1.0f / total, to);
      along(x.shape[1] - width, [&](long i, auto n) PHONAUT_FORCE_INLINE { store(to + width + i, Vec(0.0f), n); });
    }
  });
}

void softmax_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx) {
  const long width = y.shape[1];
  parallel_rows(cpu.threads, y.shape[0], width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *dy_row = dy.row(r), *y_row = y.row(r);
      const Vec dot(sum_along(
          width, [&](long i, auto n) PHONAUT_FORCE_INLINE { return load(dy_row + i, n) * load(y_row + i, n); }));
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        put(dx.row(r) + i, load(y_row + i, n) * (load(dy_row + i, n) - dot), dx.add, n);
      });
    }
  });
}

void log_softmax_forward(const Cpu& cpu, View<const float, 2> x, View<float, 2> y) {
  const long width = x.shape[1];
  parallel_rows(cpu.threads, x.shape[0], width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float* from = x.row(r);
      const Vec top(largest(largest_along(from, width)));
      const Vec total(sum_along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        return only(exp(load(from + i, n) - top), Vec(0.0f), n);
      }));
      const Vec rest = log(total);
      // Not x - (top + rest): that would round the two apart sizes together first.
      along(width,
            [&](long i, auto n) PHONAUT_FORCE_INLINE { store(y.row(r) + i, (load(from + i, n) - top) - rest, n); });
    }
  });
}

void log_softmax_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx) {
  const long width = y.shape[1];
  parallel_rows(cpu.threads, y.shape[0], width, [&](long first, long last) {
    for (long r = first; r < last; ++r) {
      const float *dy_row = dy.row(r), *y_row = y.row(r);
      const Vec total(sum_along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE { return load(dy_row + i, n); }));
      along(width, [&](long i, auto n) PHONAUT_FORCE_INLINE {
        put(dx.row(r) + i, load(dy_row + i, n) - exp(load(y_row + i, n)) * total, dx.add, n);
      });
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/log_softmax.hpp"
#include "phonaut/ops/softmax.hpp"
#endif

PHONAUT_DISPATCH(softmax_forward,
                 (const Cpu& cpu, View<const float, 2> x, const long* lengths, long rows_per_length, View<float, 2> y),
                 (cpu, x, lengths, rows_per_length, y))
PHONAUT_DISPATCH(softmax_backward, (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx),
                 (cpu, dy, y, dx))
PHONAUT_DISPATCH(log_softmax_forward, (const Cpu& cpu, View<const float, 2> x, View<float, 2> y), (cpu, x, y))
PHONAUT_DISPATCH(log_softmax_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> y, Sink<float, 2> dx), (cpu, dy, y, dx))
