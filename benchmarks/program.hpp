#pragma once
// The frame of a benchmark's program: options by CLI11, faults as one sentence, and no GPU as what a test takes for
// "skipped".
#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>

#include "common/computing.hpp"

namespace phonaut::bench {

/// Exit status of a program for GPUs where there is none, which CTest and automake take for "skipped".
constexpr int no_gpu = 77;

/// Reads the options, then runs `body` and returns its status: 1 if it throws, 2 for wrong usage.
inline int run_program(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  try {
    app.parse(argc, argv);
    if constexpr (std::is_same_v<Backend, Cuda>)
      if (!cuda_available()) {
        std::fprintf(stderr, "%s: no GPU here\n", app.get_name().c_str());
        return no_gpu;
      }
    return body();
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", app.get_name().c_str(), error.what());
    return 1;
  }
}

/// The first word of a command line: what is to be done.
inline CLI::Option* add_command(CLI::App& app, std::string& command, const std::vector<std::string>& known) {
  return app.add_option("command", command, "what to do")->check(CLI::IsMember(known));
}

}  // namespace phonaut::bench
