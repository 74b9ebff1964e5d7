// Checks every case of tests/cases on the reference and on each instruction set that this machine runs.
#include "cases/case.hpp"

#include <set>

#include "catch.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

std::vector<Isa> runnable() {
  std::vector<Isa> sets;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
    if (isa <= best_isa()) sets.push_back(isa);
  return sets;
}

void check_case(const std::string& where, const Case& c, const Comparison& got) {
  INFO(c.op << " " << c.name << " on " << where << ": values differ by " << got.value << " (limit "
            << c.limits.tolerance << "), gradients by " << got.worst_gradient() << " (limit " << c.limits.gradient
            << ")");
  CHECK(got.value <= c.limits.tolerance);
  for (double g : got.gradients) CHECK(g <= c.limits.gradient);
}

}  // namespace

TEST_CASE("ops agree with double precision and dual numbers", "[cases]") {
  REQUIRE_FALSE(all_cases().empty());
  std::set<std::string> ops;
  for (const Case& c : all_cases()) ops.insert(c.op);
  for (const std::string& op : ops) DYNAMIC_SECTION(op) {  // test_cases -c softmax checks one op
      for (const Case& c : all_cases()) {
        if (c.op != op || !c.limits.check) continue;
        check_case("reference", c, c.reference());
        for (Isa isa : runnable())
          for (int threads : {1, 2}) check_case(name_of(isa), c, c.cpu(Cpu{{}, threads, isa}));
      }
    }
}
