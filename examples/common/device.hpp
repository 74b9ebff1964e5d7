#pragma once
// Which device a program computes on. A program is compiled for one backend: NAME for the processor, and where there is
// a CUDA toolkit NAME-cuda beside it for GPUs, so that nobody loads CUDA's libraries who does not ask for them.
#include <phonaut/core/backend.hpp>
#include <string>
#include <type_traits>

/// What `--device` says.
struct Device {
  bool cuda = false;
  int index = 0;  ///< of the GPU
};
/// "cpu", "cuda" (the first GPU) or "cuda:N". Throws ConfigError for anything else.
Device device_named(const std::string& text);

/// Ends this program and runs that for the other backend in its place, with the same arguments: the one that is called
/// as this one, with "-cuda" behind its name or without. Throws ConfigError if it is not there.
[[noreturn]] void run_for_other_backend(bool cuda);

/// Goes over to the program for the other backend if the device is of that. Throws ConfigError if it is not there.
template <class B>
void go_to_program_of(const Device& device) {
  if (device.cuda != std::is_same_v<B, phonaut::Cuda>) run_for_other_backend(device.cuda);
}
/// Sees to it that everything from here on is computed by that device: chooses the GPU, or goes over to the program for
/// the other backend. Throws ConfigError if there is no such device.
template <class B>
void compute_on(const Device& device) {
  go_to_program_of<B>(device);
  if constexpr (std::is_same_v<B, phonaut::Cuda>) phonaut::select_cuda_device(device.index);
}
