// What a stranger's program would do first: a layer of its own, one training step, one inference.
#include <cstdio>
#include <phonaut/phonaut.hpp>

using namespace phonaut;

template <class B>
struct Tiny {
  Param<B, 2> weight;
  Param<B, 1> bias;
  explicit Tiny(Context<B>& ctx)
      : weight(make_param(ctx, Shape<2>{4, 8}, Init::fan_in(8))),
        bias(make_param(ctx, Shape<1>{4}, Init::constant(0))) {}
  Var<B, 3> operator()(const Var<B, 3>& x) const { return swoosh_r(linear(x, weight, bias)); }
  static void visit(auto& self, auto&& f) {
    f("weight", self.weight);
    f("bias", self.bias);
  }
};

int main() {
  Context<Cpu> ctx;
  const Tiny<Cpu> model(ctx);
  const auto x = input(ctx, Shape<3>{2, 5, 8}, std::vector<float>(80, 0.5f));
  ctx.train();
  const auto y = model(x);
  const auto gradients = ctx.backward(mean(y * y));
  std::printf("phonaut " PHONAUT_VERSION ": %ld parameters, gradient of the weight has %ld elements\n",
              parameter_count(model), gradients[model.weight].size());
  return gradients[model.weight].size() == 32 ? 0 : 1;
}
