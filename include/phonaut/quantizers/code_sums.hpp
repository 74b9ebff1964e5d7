#pragma once
// How many points each entry of a codebook got, and their sum.
#include <algorithm>
#include <cstdint>

#include "phonaut/core/backend.hpp"
#include "phonaut/core/view.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut::kernel {

/// count[j] = how many codes are j, sum[j] = Σ of their rows of x. Codes below zero take no part.
template <class S>
void code_sums(const Reference&, View<const S, 2> x, const std::int32_t* code, View<Wide<S>, 1> count,
               View<Wide<S>, 2> sum) {
  std::fill_n(count.data, count.size(), Wide<S>(0));
  std::fill_n(sum.data, sum.size(), Wide<S>(0));
  for (long i = 0; i < x.shape[0]; ++i) {
    if (code[i] < 0) continue;
    count.data[code[i]] += Wide<S>(1);
    Wide<S>* to = sum.row(code[i]);
    for (long d = 0; d < x.shape[1]; ++d) to[d] += Wide<S>(x.row(i)[d]);
  }
}

void code_sums(const Cuda& cuda, View<const float, 2> x, const std::int32_t* code, View<double, 1> count,
               View<double, 2> sum);

}  // namespace phonaut::kernel
