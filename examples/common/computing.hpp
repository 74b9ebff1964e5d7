#pragma once
// How a program computes: options that all commands have.
#include <CLI/CLI.hpp>
#include <phonaut/core/error.hpp>
#include <phonaut/phonaut.hpp>
#include <string>
#include <thread>

#include "common/device.hpp"

/// `--device`, which acts where it is read: the rest of the command is computed there.
inline void add_device_option(CLI::App& app) {
  constexpr bool cuda = std::is_same_v<phonaut::Backend, phonaut::Cuda>;
  const auto choose = [](const std::string& text) {
    try {
      compute_on<phonaut::Backend>(device_named(text));
    } catch (const phonaut::ConfigError& error) {
      throw CLI::ValidationError("--device", error.what());
    }
  };
  app.add_option_function<std::string>("--device", choose, "what computes: cpu, or cuda or cuda:N for a GPU")
      ->default_str(cuda ? "cuda" : "cpu");
}

/// `--threads`.
inline void add_threads_option(CLI::App& app, int& threads) {
  app.add_option("--threads", threads, "threads of the kernels; 0: all. Numbers do not depend on it")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
}

/// `--threads` and `--precision`.
inline void add_computing_options(CLI::App& app, int& threads, std::string& precision) {
  add_threads_option(app, threads);
  if (std::is_same_v<phonaut::Backend, phonaut::Cuda>)
    app.add_option("--precision", precision, "of matrix products: fp32, tf32 or bf16, each faster than the one before")
        ->capture_default_str()
        ->check(CLI::IsMember({"fp32", "tf32", "bf16"}));
  else
    app.add_option("--precision", precision,
                   "of matrix products: fp32, or bf16, which is faster where the processor has instructions for it")
        ->capture_default_str()
        ->check(CLI::IsMember({"fp32", "bf16"}));
}

/// A GPU counts its threads itself.
template <class B>
void use_threads(phonaut::Context<B>& ctx, int threads) {
  if constexpr (requires { ctx.threads(1); })
    if (threads > 0) ctx.threads(threads);
}
/// How many threads this program has for its own work on the host.
template <class B>
int host_threads(const phonaut::Context<B>& ctx) {
  if constexpr (requires { ctx.backend().threads; }) return ctx.backend().threads;
  else return phonaut::default_threads();
}

template <class B>
phonaut::Context<B>& prepared(phonaut::Context<B>& ctx, int threads, const std::string& precision) {
  use_threads(ctx, threads);
  ctx.precision(phonaut::precision_named(precision.c_str()));
  return ctx;
}

/// What computes, in words.
template <class B>
std::string computing_text(const phonaut::Context<B>& ctx) {
  const B& backend = ctx.backend();
  if constexpr (requires { backend.isa; })
    return phonaut::concat(backend.threads, " threads of ", std::thread::hardware_concurrency(), ", ",
                           phonaut::name_of(backend.isa), ", ", phonaut::name_of(backend.precision));
  else return phonaut::concat("a GPU, by CUDA, ", phonaut::name_of(backend.precision));
}
