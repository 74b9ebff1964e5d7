#ifdef PHONAUT_CUDNN
#include "dnn_plan.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut::cuda::dnn {

namespace {

constexpr std::int64_t x_number = 1, w_number = 2, y_number = 3;

/// cuDNN knows images: ours have one row, and the channels lie innermost. Dimensions are batch, channels, rows,
/// columns.
Descriptor tensor(std::int64_t number, std::int64_t batch, std::int64_t channels, std::int64_t frames,
                  std::int64_t batch_stride, std::int64_t frame_stride, int aligned) {
  const std::array<std::int64_t, 4> extents{batch, channels, 1, frames};
  const std::array<std::int64_t, 4> strides{batch_stride, 1, frames * frame_stride, frame_stride};
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  Descriptor made(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  made.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, extents.data())
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides.data())
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, number)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, aligned)
      .finalize();
  return made;
}

Descriptor grid(const Convolution& c) {
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  const std::array<std::int64_t, 2> none{0, 0}, dilations{1, c.dilation}, strides{1, c.stride};
  Descriptor made(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  made.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2)
      .set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type)
      .set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode)
      .set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, none.data())
      .set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, none.data())
      .set(CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations.data())
      .set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, strides.data())
      .finalize();
  return made;
}

/// What a pass is called, and its attributes.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t alpha, beta, grid, x, w, y;
};
Names names(Convolution::Pass pass) {
  switch (pass) {
    case Convolution::Pass::data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY};
    case Convolution::Pass::filter:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY};
    case Convolution::Pass::forward:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y};
}

/// The graph of one operation.
Descriptor graph(const Device& device, const Problem& p) {
  const Convolution& c = p.convolution;
  const Descriptor x = tensor(x_number, c.batch, c.in, c.frames_seen(), c.x_batch, c.x_frame, p.x_aligned);
  const Descriptor w = tensor(w_number, c.out, c.in, c.taps, c.taps * c.in, c.in, p.w_aligned);
  const Descriptor y = tensor(y_number, c.batch, c.out, c.frames, c.y_batch, c.y_frame, p.y_aligned);
  const Descriptor shape = grid(c);
  const Names name = names(c.pass);
  const float alpha = 1, beta = c.add ? 1.f : 0.f;
  Descriptor operation(name.operation);
  operation.set(name.grid, shape)
      .set(name.x, x)
      .set(name.w, w)
      .set(name.y, y)
      .set(name.alpha, CUDNN_TYPE_FLOAT, 1, &alpha)
      .set(name.beta, CUDNN_TYPE_FLOAT, 1, &beta)
      .finalize();
  Descriptor made(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  made.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation);
  if (device.handle) made.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &device.handle);
  made.finalize();
  return made;
}

/// Engines with their settings, best first; none where cuDNN knows none.
std::vector<Descriptor> proposals(const Device& device, const Descriptor& graph, cudnnBackendHeurMode_t mode) {
  std::vector<Descriptor> made;
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  if (device.properties) heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device.properties);
  if (!heuristics.finalize_if_possible()) return made;
  const std::int64_t count = heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  std::vector<cudnnBackendDescriptor_t> handles;
  handles.reserve(static_cast<std::size_t>(count));
  made.reserve(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    handles.push_back(made.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
  const std::int64_t got =
      count == 0 ? 0
                 : heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, handles.data());
  made.erase(made.begin() + static_cast<std::ptrdiff_t>(got), made.end());
  return made;
}

bool keeps_to_the_rules(const Descriptor& proposal, Precision precision) {
  const Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.get();
  proposal.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
  std::array<cudnnBackendNumericalNote_t, CUDNN_NUMERICAL_NOTE_TYPE_COUNT> notes{};
  const std::int64_t count = engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                        static_cast<std::int64_t>(notes.size()), notes.data());
  const bool tensor_cores = precision == Precision::tf32 || precision == Precision::bf16;
  return std::none_of(notes.begin(), notes.begin() + count, [&](cudnnBackendNumericalNote_t note) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return !tensor_cores;
      case CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP:
        return false;
      default:  // not deterministic, halves as inputs, transforms
        return true;
    }
  });
}

}  // namespace

void check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> said{};
  cudnnGetLastErrorString(said.data(), said.size());
  const std::string text =
      concat("cuda: ", what, " failed: ", cudnnGetErrorString(status), said[0] != 0 ? ", " : "", said.data());
  constexpr int first = CUDNN_STATUS_NOT_SUPPORTED, next_kind = first + 1000;  // as cuDNN numbers its statuses
  if (status >= first && status < next_kind) throw Unsupported(text);
  throw Error(text);
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  check(cudnnBackendCreateDescriptor(type, &handle_), "a descriptor of cuDNN");
}
Descriptor::~Descriptor() {
  if (handle_) cudnnBackendDestroyDescriptor(handle_);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t what, cudnnBackendAttributeType_t type, std::int64_t count,
                            const void* values) {
  check(cudnnBackendSetAttribute(handle_, what, type, count, values), "an attribute for cuDNN");
  return *this;
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t what, const Descriptor& other) {
  return set(what, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.handle_);
}
Descriptor& Descriptor::set(cudnnBackendAttributeName_t what, std::int64_t value) {
  return set(what, CUDNN_TYPE_INT64, 1, &value);
}
bool Descriptor::finalize_if_possible() { return cudnnBackendFinalize(handle_) == CUDNN_STATUS_SUCCESS; }
Descriptor& Descriptor::finalize() {
  check(cudnnBackendFinalize(handle_), "a description for cuDNN");
  return *this;
}
std::int64_t Descriptor::get(cudnnBackendAttributeName_t what, cudnnBackendAttributeType_t type, std::int64_t most,
                             void* values) const {
  std::int64_t count = 0;
  check(cudnnBackendGetAttribute(handle_, what, type, most, &count, values), "an answer of cuDNN");
  return count;
}

Descriptor described_device(const char* json) {
  Descriptor made(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  const std::string text(json);
  made.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, static_cast<std::int64_t>(text.size()),
           text.data())
      .finalize();
  return made;
}

std::unique_ptr<Plan> plan(const Device& device, const Problem& problem, std::int64_t most_workspace) try {
  const Descriptor operations = graph(device, problem);
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (const Descriptor& proposal : proposals(device, operations, mode)) {
      if (!keeps_to_the_rules(proposal, problem.precision)) continue;
      Descriptor made(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      made.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal);
      if (device.handle) made.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &device.handle);
      else made.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device.properties);
      if (!made.finalize_if_possible()) continue;
      std::int64_t workspace = 0;
      made.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &workspace);
      if (workspace > most_workspace) continue;
      return std::make_unique<Plan>(Plan{std::move(made), workspace});
    }
  return nullptr;
} catch (const Unsupported&) {
  return nullptr;
}

}  // namespace phonaut::cuda::dnn
#endif
