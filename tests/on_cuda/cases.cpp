// Checks every case of tests/cases on Cuda: on a GPU, or on the emulated one.
#include "cases/case.hpp"

#include <set>
#include <string>

#include "catch.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "emulator.hpp"
#endif

using namespace phonaut;
using namespace phonaut::testing;

namespace {

void check_case(const char* where, const Case& c) {
  INFO(c.op << " " << c.name << " on " << where);
  Comparison got;
  REQUIRE_NOTHROW(got = c.cuda());
  INFO("values differ by " << got.value << " (limit " << c.limits.tolerance << "), gradients by "
                           << got.worst_gradient() << " (limit " << c.limits.gradient << ")");
  CHECK(got.value <= c.limits.tolerance);
  for (double g : got.gradients) CHECK(g <= c.limits.gradient);
}

}  // namespace

// For scripts that ask before they begin.
TEST_CASE("there is a GPU", "[.]") { REQUIRE(cuda_available()); }

TEST_CASE("ops on Cuda agree with double precision and dual numbers", "[cases]") {
  std::set<std::string> ops;
  for (const Case& c : all_cases()) ops.insert(c.op);
  REQUIRE_FALSE(ops.empty());
  if (!cuda_available()) {
    WARN("no GPU here: the kernels were compiled and linked, not run");
    return;
  }
  for (const std::string& op : ops) DYNAMIC_SECTION(op) {
      for (const Case& c : all_cases()) {
        if (c.op != op || !c.limits.check) continue;
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
    }
}
