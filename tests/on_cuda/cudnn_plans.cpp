// What cuDNN proposes for our convolutions on GPUs that need not be here: it plans by the properties of a device.
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "catch.hpp"
#include "native/dnn_plan.hpp"
#include "phonaut/core/error.hpp"

using namespace phonaut;
using cuda::Convolution;
using cuda::dnn::Descriptor;
using cuda::dnn::Plan;
using cuda::dnn::Problem;

namespace {

struct Gpu {
  const char* name;
  int compute_capability, processors, clock_khz, memory_khz;
  long memory, l2, shared;
};
// Of the data sheets.
const Gpu gpus[] = {{"A100", 800, 108, 1410000, 1593000, 85'000'000'000, 41'943'040, 166'912},
                    {"H100", 900, 132, 1980000, 2619000, 85'000'000'000, 52'428'800, 232'448},
                    {"B200", 1000, 148, 1965000, 3996000, 192'000'000'000, 132'644'864, 232'448}};

std::string properties(const Gpu& gpu) {
  return concat(
      "{\"deviceName\": \"", gpu.name, "\", \"deviceVer\": ", gpu.compute_capability, ", \"driverVer\": 13000, ",
      "\"cudaDeviceId\": 0, \"pciDeviceId\": 0, \"isTccDriver\": 0, \"supportCoopLaunch\": 1, \"warpSize\": 32, ",
      "\"multiProcessorCount\": ", gpu.processors, ", \"smClockRateKHz\": ", gpu.clock_khz,
      ", \"memClockRateKHz\": ", gpu.memory_khz, ", \"totalGlobalMem\": ", gpu.memory, ", \"l2CacheSize\": ", gpu.l2,
      ", \"maxSharedMemoryPerBlockOptin\": ", gpu.shared, ", \"maxSharedMemoryPerBlock\": 49152, ",
      "\"reservedSharedMemoryPerBlock\": 1024, \"regsPerBlock\": 65536, \"maxRegistersPerSM\": 65536, ",
      "\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], ",
      "\"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048, \"maxCtasPerSM\": 32}");
}

/// Nothing where this cuDNN wants to know other properties: their names are its own affair.
std::optional<Descriptor> device(const Gpu& gpu) {
  try {
    return cuda::dnn::described_device(properties(gpu).c_str());
  } catch (const Error& e) {
    WARN("cuDNN " << cudnnGetVersion() << " does not plan for a " << gpu.name << " that is described so: " << e.what());
    return {};
  }
}

Convolution convolution(long batch, long frames, long in, long out, long taps, long stride, long dilation) {
  Convolution c;
  c.batch = batch;
  c.frames = frames;
  c.in = in;
  c.out = out;
  c.taps = taps;
  c.stride = stride;
  c.dilation = dilation;
  c.x_frame = in;
  c.y_frame = out;
  c.x_batch = (c.frames_seen() + 3) * in;
  c.y_batch = frames * out;
  return c;
}

std::vector<cudnnBackendNumericalNote_t> notes(const Plan& plan) {
  const auto inner = [](const Descriptor& from, cudnnBackendAttributeName_t what, cudnnBackendDescriptorType_t type) {
    Descriptor to(type);
    cudnnBackendDescriptor_t handle = to.get();
    from.get(what, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
    return to;
  };
  const Descriptor chosen =
      inner(plan.plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  const Descriptor engine = inner(chosen, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  std::vector<cudnnBackendNumericalNote_t> all(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  all.resize(static_cast<size_t>(engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                            static_cast<std::int64_t>(all.size()), all.data())));
  return all;
}

}  // namespace

TEST_CASE("cuDNN has a plan for each pass of our convolutions, and one that keeps to our rules") {
  constexpr std::int64_t room = std::int64_t{256} << 20;
  for (const Gpu& gpu : gpus) {
    const auto properties_of = device(gpu);
    if (!properties_of) continue;
    long on_tensor_cores = 0;
    for (const Convolution& shape :
         {convolution(8, 3000, 64, 64, 7, 1, 3), convolution(8, 48000, 32, 32, 3, 1, 9),
          convolution(8, 6400, 1, 512, 10, 5, 1), convolution(2, 500, 48, 48, 128, 1, 1),
          convolution(8, 1500, 512, 512, 3, 2, 1), convolution(1, 1, 3, 5, 3, 1, 2), convolution(3, 77, 5, 1, 4, 3, 1)})
      for (const auto pass : {Convolution::Pass::forward, Convolution::Pass::data, Convolution::Pass::filter})
        for (const auto precision : {Precision::fp32, Precision::tf32, Precision::bf16, Precision::int8})
          for (const bool add : {false, true})
            for (const long groups : {1L, 3L}) {
              Problem problem;
              problem.convolution = shape;
              problem.convolution.pass = pass;
              problem.convolution.add = add;
              problem.convolution.y_frame *= groups;
              problem.convolution.y_batch *= groups;
              problem.precision = precision;
              if (shape.in % 4 == 0 && shape.out % 4 == 0)
                problem.x_aligned = problem.w_aligned = problem.y_aligned = 16;
              INFO(gpu.name << ", " << shape.frames << " frames of " << shape.in << " -> " << shape.out << ", "
                            << shape.taps << " taps, stride " << shape.stride << ", dilation " << shape.dilation
                            << ", pass " << static_cast<int>(pass) << " in " << name_of(precision)
                            << (add ? ", added" : "") << ", groups " << groups);
              const auto plan = cuda::dnn::plan({.properties = &*properties_of}, problem, room);
              REQUIRE(plan);
              CHECK(plan->workspace <= room);
              const bool rounded = precision == Precision::tf32 || precision == Precision::bf16;
              for (const auto note : notes(*plan)) {
                const bool tensor_cores = note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
                on_tensor_cores += tensor_cores;
                CHECK((note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP || (tensor_cores && rounded)));
              }
            }
    CHECK(on_tensor_cores > 0);
  }
}

TEST_CASE("a plan that may take no memory takes none") {
  const auto properties_of = device(gpus[1]);
  if (!properties_of) return;
  Problem problem;
  problem.convolution = convolution(8, 3000, 64, 64, 7, 1, 3);
  const auto plan = cuda::dnn::plan({.properties = &*properties_of}, problem, 0);
  REQUIRE(plan);
  CHECK(plan->workspace == 0);
}

TEST_CASE("what cuDNN refuses is an Error that says why") {
  CHECK_THROWS_AS(cuda::dnn::described_device("{}"), Error);
  const auto properties_of = device(gpus[1]);
  if (!properties_of) return;
  Problem problem;
  problem.convolution = convolution(1, 0, 4, 4, 3, 1, 1);  // no frames
  CHECK_THROWS_AS(cuda::dnn::plan({.properties = &*properties_of}, problem, 0), Error);
}
