#pragma once
// The command line of programs that have no option but `--device`.
#include <cstddef>
#include <phonaut/core/error.hpp>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "common/device.hpp"

/// Wrong usage, in one sentence: the program prints it and ends with status 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Calls work(); its ConfigError becomes a UsageError, for what could not be done is what the user asked for.
template <class Work>
auto or_usage_error(const Work& work) {
  try {
    return work();
  } catch (const phonaut::ConfigError& error) {
    throw UsageError(error.what());
  }
}

/// What such a program was called with.
struct Arguments {
  Device device;
  std::vector<std::string> words;  ///< all but the device, in their order

  /// The word at `place` as a whole number above 0, `otherwise` if the command ends before it. Throws UsageError for
  /// another word; `what` says of what.
  long count(std::size_t place, const char* what, long otherwise) const;
  /// The same for numbers that need not be whole.
  double number(std::size_t place, const char* what, double otherwise) const;
};

/// Takes a command apart. Throws UsageError for options that are not `--device`, and for more than `most` words.
Arguments arguments_of(int argc, char** argv, std::size_t most, const Device& unless_told);

/// The same, in the program of the device that was named; with none, in this one. Throws UsageError if that is not
/// there.
template <class B>
Arguments arguments_of(int argc, char** argv, std::size_t most) {
  Arguments arguments = arguments_of(argc, argv, most, {.cuda = std::is_same_v<B, phonaut::Cuda>});
  or_usage_error([&] { go_to_program_of<B>(arguments.device); });
  return arguments;
}
/// The same; from here on everything is computed by that device. Throws UsageError if there is none.
template <class B>
Arguments arguments_on_device(int argc, char** argv, std::size_t most) {
  Arguments arguments = arguments_of<B>(argc, argv, most);
  or_usage_error([&] { compute_on<B>(arguments.device); });
  return arguments;
}
