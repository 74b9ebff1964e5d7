#include <cstdint>

#include "parallel.hpp"
#include "partial.hpp"
#include "rows.hpp"
#include "scratch.hpp"

// Rows of v are read a thousand numbers at a time from wherever they were chosen: what counts is that each is read as
// seldom as possible, and that nothing but sums is written.

#ifdef PHONAUT_ISA
#include "gemm_dot.hpp"

namespace phonaut::kernel::PHONAUT_ISA {

namespace {

/// Registers of a row that a sum over rows keeps at a time.
constexpr int sum_registers = Vec::lanes == 16 ? 16 : 8;

/// Four dot products of a with rows of v at a time, the row that ends the list standing in for those behind it.
PHONAUT_INLINE void dots(const float* a, View<const float, 2> v, const std::int32_t* rows, long count, float* y) {
  const long width = v.shape[1];
  for (long k = 0; k < count; k += 4) {
    const float* b[4];
#pragma GCC unroll 4
    for (long j = 0; j < 4; ++j) b[j] = v.row(rows[k + j < count ? k + j : count - 1]);
    Vec sums[4] = {Vec(0.0f), Vec(0.0f), Vec(0.0f), Vec(0.0f)};
    along(width, [&](long c, auto n) PHONAUT_FORCE_INLINE {
      const Vec x = load(a + c, n);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) sums[j] = fma(x, load(b[j] + c, n), sums[j]);
    });
    float total[4];
    sum_each(sums, total);
    for (long j = 0; j < 4 && k + j < count; ++j) y[k + j] = total[j];
  }
}

/// to[c] (=, +=) Σ_k weight(k) · row(k)[c], for `count` rows of `width` numbers.
template <class Weight, class Row>
PHONAUT_INLINE void weighted_sum(long count, long width, const Weight& weight, const Row& row, float* to, bool add) {
  long c = 0;
  for (; c + sum_registers * Vec::lanes <= width; c += sum_registers * Vec::lanes) {
    Vec sums[sum_registers];
#pragma GCC unroll 16
    for (Vec& sum : sums) sum = Vec(0.0f);
    for (long k = 0; k < count; ++k) {
      const Vec w(weight(k));
      const float* from = row(k) + c;
#pragma GCC unroll 16
      for (int r = 0; r < sum_registers; ++r) sums[r] = fma(w, Vec::load(from + r * Vec::lanes), sums[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < sum_registers; ++r) put(to + c + r * Vec::lanes, sums[r], add);
  }
  along(width - c, [&](long i, auto n) PHONAUT_FORCE_INLINE {
    Vec sum(0.0f);
    for (long k = 0; k < count; ++k) sum = fma(Vec(weight(k)), load(row(k) + c + i, n), sum);
    put(to + c + i, sum, add, n);
  });
}

/// Rows whose products are one task: the row itself once, and those that it chose.
PHONAUT_INLINE long rows_per_task(long chosen, long width) {
  const long rows = elements_per_block / ((chosen + 1) * width + 1);
  return rows < 1 ? 1 : rows;
}
template <class Run>
PHONAUT_INLINE void each_row(const Cpu& cpu, long rows, long per_task, const Run& run) {
  parallel_for(cpu.threads, blocks_of(rows, per_task), [&](long task) {
    const long last = (task + 1) * per_task < rows ? (task + 1) * per_task : rows;
    for (long i = task * per_task; i < last; ++i) run(i);
  });
}

}  // namespace

void gathered_products_forward(const Cpu& cpu, View<const float, 2> u, View<const float, 2> v,
                               View<const std::int32_t, 2> choice, View<float, 2> y) {
  each_row(cpu, y.shape[0], rows_per_task(y.shape[1], u.shape[1]),
           [&](long i) { dots(u.row(i), v, choice.row(i), y.shape[1], y.row(i)); });
}

// A row of dv gathers what its choosers give it, in their order: they are listed first, so that no two threads add to
// one row and the order of sums does not depend on the threads.
void gathered_products_backward(const Cpu& cpu, View<const float, 2> dy, View<const float, 2> u, View<const float, 2> v,
                                View<const std::int32_t, 2> choice, Sink<float, 2> du, Sink<float, 2> dv) {
  const long rows = dy.shape[0], chosen = dy.shape[1], width = u.shape[1];
  if (du)
    each_row(cpu, rows, rows_per_task(chosen, width), [&](long i) {
      const std::int32_t* const own = choice.row(i);
      weighted_sum(
          chosen, width, [&](long k) PHONAUT_FORCE_INLINE { return dy.row(i)[k]; },
          [&](long k) PHONAUT_FORCE_INLINE { return v.row(own[k]); }, du.row(i), du.add);
    });
  if (!dv) return;
  const long targets = v.shape[0];
  // begin[j] … begin[j + 1] in two lists: who chose row j, and with which gradient.
  float* const memory = scratch(Scratch::kernel, targets + 1 + 2 * rows * chosen);
  auto* const begin = reinterpret_cast<std::int32_t*>(memory);
  std::int32_t* const chooser = begin + targets + 1;
  float* const gradient = memory + targets + 1 + rows * chosen;
  for (long j = 0; j <= targets; ++j) begin[j] = 0;
  for (long i = 0; i < rows; ++i)
    for (long k = 0; k < chosen; ++k) ++begin[choice.row(i)[k] + 1];
  for (long j = 0; j < targets; ++j) begin[j + 1] += begin[j];
  for (long i = 0; i < rows; ++i)
    for (long k = 0; k < chosen; ++k) {
      const std::int32_t at = begin[choice.row(i)[k]]++;  // which leaves begin[j] at the end of j's list
      chooser[at] = static_cast<std::int32_t>(i);
      gradient[at] = dy.row(i)[k];
    }
  each_row(cpu, targets, rows_per_task(targets > 0 ? rows * chosen / targets : 0, width), [&](long j) {
    const std::int32_t first = j > 0 ? begin[j - 1] : 0;
    weighted_sum(
        begin[j] - first, width, [&](long k) PHONAUT_FORCE_INLINE { return gradient[first + k]; },
        [&](long k) PHONAUT_FORCE_INLINE { return u.row(chooser[first + k]); }, dv.row(j), dv.add);
  });
}

// Two rows are rarely equal in their first number, and all first numbers together fit the nearest cache.
void exclude_copies(const Cpu& cpu, View<const float, 2> q, View<const std::int32_t, 2> choice, View<const float, 2> x,
                    float value, Sink<float, 2> y) {
  const long chosen = x.shape[1], width = q.shape[1];
  float* const first = scratch(Scratch::kernel, q.shape[0]);
  for (long j = 0; j < q.shape[0]; ++j) first[j] = width > 0 ? q.row(j)[0] : 0.0f;
  each_row(cpu, x.shape[0], rows_per_task(1, chosen), [&](long i) {
    const std::int32_t* const own = choice.row(i);
    const float *const positive = q.row(own[0]), *const from = x.row(i);
    float* const to = y.row(i);
    const auto copied = [&](long k) PHONAUT_FORCE_INLINE {
      if (k == 0 || first[own[k]] != first[own[0]]) return false;
      const float* const other = q.row(own[k]);
      for (long c = 0; c < width; ++c)
        if (positive[c] != other[c]) return false;
      return true;
    };
    bool any_copied = false;
    for (long k = 1; k < chosen; ++k) any_copied = any_copied || copied(k);
    if (!any_copied) {
      along(chosen, [&](long k, auto n) PHONAUT_FORCE_INLINE { put(to + k, load(from + k, n), y.add, n); });
      return;
    }
    for (long k = 0; k < chosen; ++k) {
      const bool copy = copied(k);
      if (y.add) to[k] += copy ? 0.0f : from[k];
      else to[k] = copy ? value : from[k];
    }
  });
}

}  // namespace phonaut::kernel::PHONAUT_ISA
#else
#include "phonaut/ops/gathered_products.hpp"
#endif

PHONAUT_DISPATCH(gathered_products_forward,
                 (const Cpu& cpu, View<const float, 2> u, View<const float, 2> v, View<const std::int32_t, 2> choice,
                  View<float, 2> y),
                 (cpu, u, v, choice, y))
PHONAUT_DISPATCH(gathered_products_backward,
                 (const Cpu& cpu, View<const float, 2> dy, View<const float, 2> u, View<const float, 2> v,
                  View<const std::int32_t, 2> choice, Sink<float, 2> du, Sink<float, 2> dv),
                 (cpu, dy, u, v, choice, du, dv))
PHONAUT_DISPATCH(exclude_copies,
                 (const Cpu& cpu, View<const float, 2> q, View<const std::int32_t, 2> choice, View<const float, 2> x,
                  float value, Sink<float, 2> y),
                 (cpu, q, choice, x, value, y))
