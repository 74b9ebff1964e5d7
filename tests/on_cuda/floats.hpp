#pragma once
// Floats where a backend has its memory, for tests of kernels that take addresses.
#include <vector>

#include "phonaut/core/param.hpp"

namespace phonaut::testing {

template <class B>
struct FloatsOn {
  explicit FloatsOn(const std::vector<float>& values)
      : memory(Tensor<B, 1>::persistent({static_cast<long>(values.size())})) {
    assign(B{}, memory, values);
  }
  std::vector<float> values() const {
    std::vector<float> host(static_cast<size_t>(memory.size()));
    kernel::download(B{}, host.data(), memory.data(), host.size() * sizeof(float));
    return host;
  }
  Tensor<B, 1> memory;
};
using Floats = FloatsOn<Cuda>;

}  // namespace phonaut::testing
