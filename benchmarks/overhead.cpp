// What an op costs besides its arithmetic: chains of additions of eight numbers, to be timed beside the same in other
// libraries. See works.hpp.
#include "works.hpp"

using namespace phonaut;
using namespace phonaut::works;

namespace {

constexpr long links = 100;

Var<B, 1> chain(Var<B, 1> y, const Var<B, 1>& a) {
  for (long i = 0; i < links; ++i) y = y + a;
  return y;
}

std::vector<Work> chains(Context<B>& ctx) {
  Inputs in{ctx};
  const auto x = in.normal(Shape<1>{8}), a = in.normal(Shape<1>{8}), dy = in.normal(Shape<1>{8});
  const auto step = std::make_shared<Step>(Step{ctx, {}});
  const auto forward = [=, &ctx] { return chain(ctx.constant(x), ctx.constant(a)); };
  const auto both = [=, &ctx] { return seeded(chain(ctx.variable(x), ctx.variable(a)), dy); };
  const std::string title = concat(links, " additions of 8 numbers");
  const auto add_inputs = [=](Proof& proof, const std::string& name) {
    proof.add(name + "/x", x);
    proof.add(name + "/a", a);
    proof.add(name + "/dy", dy);
  };
  return {{.name = "infer",
           .title = title + ", without recording",
           .call = forward,
           .prove =
               [=](Proof& proof) {
                 add_inputs(proof, "infer");
                 proof.add("infer/y", forward());
               },
           .ops = links},
          {.name = "train",
           .title = title + ", forward + backward",
           .call = [=] { (*step)(both); },
           .prove =
               [=, &ctx](Proof& proof) {
                 add_inputs(proof, "train");
                 proof.add("train/y", forward());
                 (*step)(both);
                 proof.add("train/gradient.x", step->gradients[ctx.constant(x)]);
                 proof.add("train/gradient.a", step->gradients[ctx.constant(a)]);
               },
           .ops = links}};
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, "phonaut-bench-overhead", [](Context<B>& ctx, bool) { return chains(ctx); });
}
