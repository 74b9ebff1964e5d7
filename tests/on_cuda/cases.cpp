// Checks every case of tests/cases on Cuda: on a GPU, or on the emulated one.
#include <set>
#include <string>

#include "check_case.hpp"
#include "no_gpu.hpp"

using namespace phonaut;
using namespace phonaut::testing;

// For scripts that ask before they begin.
TEST_CASE("there is a GPU", "[.]") { REQUIRE(cuda_available()); }

TEST_CASE("ops on Cuda agree with double precision and dual numbers", "[cases]") {
  std::set<std::string> ops;
  for (const Case& c : all_cases()) ops.insert(c.op);
  REQUIRE_FALSE(ops.empty());
  if (no_gpu()) return;
  for (const std::string& op : ops) DYNAMIC_SECTION(op) {
      for (const Case& c : all_cases()) {
        if (c.op != op || !c.limits.check) continue;
        check_on_cuda(c);
      }
    }
}
