#pragma once
// Holds a case against its limits on a GPU, or on the emulated one.
#ifndef PHONAUT_CASES_ON_CUDA  // whoever reads this on its own
#define PHONAUT_CASES_ON_CUDA 1
#endif
#include "cases/case.hpp"
#include "catch.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "emulator.hpp"
#endif

namespace phonaut::testing {

inline void check_case(const char* where, const Case& c) {
  INFO(c.op << " " << c.name << " on " << where);
  Comparison got;
  REQUIRE_NOTHROW(got = c.cuda());
  INFO("values differ by " << got.value << " (limit " << c.limits.tolerance << "), gradients by "
                           << got.worst_gradient() << " (limit " << c.limits.gradient << ")");
  CHECK(got.value <= c.limits.tolerance);
  for (double g : got.gradients) CHECK(g <= c.limits.gradient);
}

inline void check_on_cuda(const Case& c) {
#ifdef PHONAUT_EMULATE_GPU
  // A result that depends on who comes first is a missing barrier.
  emulator::set_order(emulator::Order::descending);
  check_case("the emulated GPU, last thread first", c);
  emulator::set_order(emulator::Order::ascending);
  check_case("the emulated GPU", c);
#else
  check_case("the GPU", c);
#endif
}

}  // namespace phonaut::testing
