#pragma once
// Which row of a table is nearest: the search of every vector quantizer.
#include <cstdint>

#include "phonaut/ops/shape.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

namespace kernel {

/// code[n] = argmin_j |x[n] - table[j]|², the first of equals, as argmin_j |table[j]|²/2 - <x[n], table[j]>: no square
/// root and no |x|². A row of x with a NaN gets code 0. `scratch` has nearest_code_scratch(entries) numbers.
template <class S>
void nearest_code(const Reference&, View<const S, 2> x, View<const S, 2> table, S* scratch, std::int32_t* code) {
  using W = Wide<S>;
  for (long j = 0; j < table.shape[0]; ++j) {
    W square = 0;
    for (long d = 0; d < table.shape[1]; ++d) square += W(table.row(j)[d]) * W(table.row(j)[d]);
    scratch[j] = S(W(0.5) * square);
  }
  for (long n = 0; n < x.shape[0]; ++n) {
    W best = 0;
    code[n] = 0;
    for (long j = 0; j < table.shape[0]; ++j) {
      W score = W(scratch[j]);
      for (long d = 0; d < x.shape[1]; ++d) score -= W(x.row(n)[d]) * W(table.row(j)[d]);
      if (j == 0 || score < best) best = score, code[n] = static_cast<std::int32_t>(j);
    }
  }
}
void nearest_code(const Cpu& cpu, View<const float, 2> x, View<const float, 2> table, float* scratch,
                  std::int32_t* code);

/// A number for each entry, with room for whole tiles.
inline long nearest_code_scratch(long entries) { return entries + 16; }

void nearest_code(const Cuda& cuda, View<const float, 2> x, View<const float, 2> table, float* scratch,
                  std::int32_t* code);

}  // namespace kernel

/// For each row of x (rows, D), the nearest row of `table` (K, D): the first of equals, by Euclidean distance. Never
/// more of the distance matrix exists than a tile. A row with a NaN gets 0. Throws ShapeError if the dimensions differ
/// or the table is empty.
template <class B>
Tensor<B, 1, std::int32_t> nearest_code(Context<B>& ctx, const Tensor<B, 2>& x, const Tensor<B, 2>& table) {
  check_channels("nearest_code", x.shape(), table.extent(1), "the table ", table.shape());
  if (table.extent(0) == 0) throw ShapeError("nearest_code: the table has no rows to choose from");
  auto code = ctx.template empty_of<std::int32_t, 1>({x.extent(0)});
  const Tensor<B, 1> scratch = ctx.empty(Shape<1>{kernel::nearest_code_scratch(table.extent(0))});
  kernel::nearest_code(ctx.backend(), x.in(), table.in(), scratch.data(), code.data());
  return code;
}

}  // namespace phonaut
