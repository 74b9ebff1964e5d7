#pragma once
// How cuDNN computes a convolution: its operation graph, the engines that it proposes for it, and the plan of the first
// one that keeps to our rules. A device is cuDNN's handle, or its properties alone: so tests can plan for GPUs that are
// not there.
#include <cudnn.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "../convolution.hpp"
#include "phonaut/core/backend.hpp"
#include "phonaut/core/error.hpp"

namespace phonaut::cuda::dnn {

/// What cuDNN can do, but this version of it, this GPU or this driver cannot.
class Unsupported : public Error {
 public:
  using Error::Error;
};
/// Throws Unsupported or Error, with what cuDNN says itself, where `status` is none of success.
void check(cudnnStatus_t status, const char* what);

/// A descriptor of cuDNN's backend. Its functions throw as `check` does where cuDNN refuses.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  Descriptor(Descriptor&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Descriptor();

  Descriptor& set(cudnnBackendAttributeName_t what, cudnnBackendAttributeType_t type, std::int64_t count,
                  const void* values);
  Descriptor& set(cudnnBackendAttributeName_t what, const Descriptor& other);
  Descriptor& set(cudnnBackendAttributeName_t what, std::int64_t value);
  /// Whether cuDNN takes it: of what cuDNN itself has proposed, it need not take all.
  bool finalize_if_possible();
  Descriptor& finalize();
  /// Values of an attribute, `most` at most; how many there are.
  std::int64_t get(cudnnBackendAttributeName_t what, cudnnBackendAttributeType_t type, std::int64_t most,
                   void* values) const;
  cudnnBackendDescriptor_t get() const { return handle_; }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
};

/// A GPU that is described as cuDNN describes one: JSON of its properties. Throws Error where something is missing.
Descriptor described_device(const char* json);

/// What plans are made for: a GPU that is here, by the handle that will execute them, or one that is described, whose
/// plans cannot be executed.
struct Device {
  cudnnHandle_t handle = nullptr;
  const Descriptor* properties = nullptr;  ///< if there is no handle
};

/// A convolution with what else the choice of an engine depends on.
struct Problem {
  Convolution convolution;
  Precision precision = Precision::fp32;
  int x_aligned = 4, w_aligned = 4, y_aligned = 4;  ///< bytes that the address is a multiple of, up to 16
  auto operator<=>(const Problem&) const = default;
};

/// What is executed, with x, w and y under the numbers 1, 2 and 3.
struct Plan {
  Descriptor plan;
  std::int64_t workspace = 0;  ///< bytes
};

/// The first plan that cuDNN's heuristics propose among those that
/// - give the same bits every time,
/// - in fp32 (and int8) multiply floats as they are: no tensor cores, no transforms that round otherwise; in tf32 and
///   bf16 round factors to TensorFloat-32 at most,
/// - need no more than `most_workspace` bytes.
/// Null where there is none. The device must outlive the plan.
std::unique_ptr<Plan> plan(const Device& device, const Problem& problem, std::int64_t most_workspace);

}  // namespace phonaut::cuda::dnn
