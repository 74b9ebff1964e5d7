#pragma once
// Floats on the device, for tests of kernels that take addresses.
#include <vector>

#include "phonaut/core/param.hpp"

namespace phonaut::testing {

struct Floats {
  explicit Floats(const std::vector<float>& values)
      : memory(Tensor<Cuda, 1>::persistent({static_cast<long>(values.size())})) {
    assign(Cuda{}, memory, values);
  }
  std::vector<float> values() const {
    std::vector<float> host(static_cast<size_t>(memory.size()));
    kernel::download(Cuda{}, host.data(), memory.data(), host.size() * sizeof(float));
    return host;
  }
  Tensor<Cuda, 1> memory;
};

}  // namespace phonaut::testing
