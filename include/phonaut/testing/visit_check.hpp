#pragma once
// Whether a layer's `visit` names every weight, and every weight once. For the tests of phonaut and for those of
// users' own layers:
//
//   CHECK(testing::visit_problem<Reference>([](auto& ctx) { return MyLayer<Reference>(ctx, {.dim = 8}); }) == "");
#include <map>
#include <set>
#include <string>

#include "phonaut/core/param.hpp"
#include "phonaut/core/visit.hpp"

namespace phonaut::testing {

/// Builds a layer with `make(context)` and compares the weights that it made with those that its `visit` shows. An
/// empty string if they agree; otherwise a sentence that says how they differ.
template <class B, class Make>
std::string visit_problem(const Make& make) {
  Context<B> ctx;
  const auto layer = make(ctx);
  long visited = 0;
  std::set<std::string> names;
  std::map<const void*, std::string> seen;
  std::string problem;
  for_each_weight(layer, [&](const std::string& name, const auto& weight) {
    ++visited;
    if (name.empty()) problem = "visit gives a weight no name";
    if (!names.insert(name).second) problem = "visit shows two weights as " + name;
    const auto [at, fresh] = seen.emplace(weight.tensor().data(), name);
    if (!fresh) problem = "visit shows one weight twice, as " + at->second + " and " + name;
  });
  if (problem.empty() && visited != ctx.weights_made())
    problem = concat("the layer made ", ctx.weights_made(), " weights, but visit shows ", visited);
  return problem;
}

}  // namespace phonaut::testing
