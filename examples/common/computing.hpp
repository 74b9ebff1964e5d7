#pragma once
// How a program computes: options that all commands have.
#include <CLI/CLI.hpp>
#include <phonaut/core/context.hpp>
#include <string>

/// `--threads` and `--precision`.
inline void add_computing_options(CLI::App& app, int& threads, std::string& precision) {
  app.add_option("--threads", threads, "threads of the kernels; 0: all. Numbers do not depend on it")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  app.add_option("--precision", precision,
                 "of matrix products: fp32, or bf16, which is faster where the processor has instructions for it")
      ->capture_default_str()
      ->check(CLI::IsMember({"fp32", "bf16"}));
}

template <class B>
phonaut::Context<B>& prepared(phonaut::Context<B>& ctx, int threads, const std::string& precision) {
  if (threads > 0) ctx.threads(threads);
  ctx.precision(phonaut::precision_named(precision.c_str()));
  return ctx;
}
