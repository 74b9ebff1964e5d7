// A step that is left out, because its loss or gradients are not finite, says where the numbers were lost.
#include <cmath>

#include "catch.hpp"
#include "phonaut/core/recompute.hpp"
#include "phonaut/ops/activations.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/dropout.hpp"
#include "phonaut/ops/reduce.hpp"
#include "phonaut/training/trainer.hpp"

using namespace phonaut;

namespace {

using V = Var<Cpu, 1>;

/// sum(second * dropout(first * x)), element by element.
struct Chain {
  Param<Cpu, 1> first, second;

  explicit Chain(Context<Cpu>& ctx)
      : first(make_param(ctx, Shape<1>{4}, Init::constant(0.5))),
        second(make_param(ctx, Shape<1>{4}, Init::constant(0.5))) {}
  static void visit(auto& self, auto&& f) {
    f("first", self.first);
    f("second", self.second);
  }
};

struct Training {
  Context<Cpu> ctx;
  Chain model{ctx};
  Trainer<Cpu> trainer{
      ctx, model, AdamW<Cpu>(ctx.backend(), model, {.weight_decay = 0}), {.rate = ConstantSchedule{0}}};

  static void set(const Param<Cpu, 1>& p, float value) { p.tensor().data()[1] = value; }
  V numbers(float x) { return input(ctx, Shape<1>{4}, std::vector{1.0f, x, 1.0f, 1.0f}); }
  Var<Cpu, 0> loss(const V& x, bool again = false) {
    const auto run = [this](const V& in) { return dropout(ctx.lift(model.first) * in, 0.5); };
    const V y = again ? recompute(x, run) : run(x);  // before the second weight is looked at
    return sum(ctx.lift(model.second) * y);
  }
};

}  // namespace

TEST_CASE("a loss that is not finite names the weight behind which that began", "[training]") {
  Training t;
  const bool again = GENERATE(false, true);
  // Where dropout keeps it, twice as large, this is too much for a float: only the same draws show it again.
  Training::set(t.model.first, 3e38f);
  int dropped = 0;
  for (int i = 0; i < 16; ++i) {
    Random before = t.ctx.random();
    const TrainStep done = t.trainer.step([&] { return t.loss(t.numbers(1), again); });
    CHECK(t.ctx.random().take(1).first > before.take(1).first);
    CHECK(t.ctx.recorded_ops() == 0);
    CHECK(done.skipped == !std::isfinite(done.loss));
    if (!done.skipped) continue;
    ++dropped;
    CHECK(done.reason == "loss inf, first behind first");
  }
  CHECK((dropped > 0 && dropped < 16));
  Training::set(t.model.first, 10);
  Training::set(t.model.second, 3e38f);
  TrainStep done;
  for (int i = 0; i < 16 && !done.skipped; ++i) done = t.trainer.step([&] { return t.loss(t.numbers(1), again); });
  CHECK(done.reason == "loss inf, first behind second");
}

TEST_CASE("a loss can be lost before the first weight, or in a weight", "[training]") {
  Training t;
  const auto lost_early = [&] {
    const V lost = log(t.numbers(-1));
    return sum(t.ctx.lift(t.model.first) * lost);
  };
  CHECK(t.trainer.step(lost_early).reason == "loss nan, already before the first weight");
  Training::set(t.model.second, std::nanf(""));
  CHECK(t.trainer.step([&] { return t.loss(t.numbers(1)); }).reason == "loss nan, and the weight second is not finite");
  // A loss that was computed elsewhere can be judged, not searched.
  CHECK(t.trainer.step(t.loss(t.numbers(1))).reason == "loss nan");
  CHECK(t.trainer.dropped() == 3);
}

TEST_CASE("gradients that are not finite name the last weight that has such", "[training]") {
  Context<Cpu> ctx;
  const auto weight = [&](double value) { return make_param(ctx, Shape<1>{1}, Init::constant(value)); };
  const auto x = [&](double value) { return input(ctx, Shape<1>{1}, std::vector{value}); };
  std::vector<Param<Cpu, 1>> model = {weight(1e-30), weight(1e20)};
  Trainer trainer(ctx, model, AdamW<Cpu>(ctx.backend(), model), {});
  TrainStep done = trainer.step([&] { return sum(ctx.lift(model[1]) * (ctx.lift(model[0]) * x(1e25))); });
  CHECK(std::isfinite(done.loss));
  CHECK(done.reason == "norm of the gradients inf, first in that of 0");

  model[0].tensor().data()[0] = 3e20f, model[1].tensor().data()[0] = 0;
  done = trainer.step([&] {
    const auto y = ctx.lift(model[0]) * x(1e18);
    return sum(ctx.lift(model[1]) * y) + sum(ctx.lift(model[1]) * y);
  });
  CHECK(std::isfinite(done.loss));
  CHECK(done.reason == "norm of the gradients inf, first in that of 1");
}

TEST_CASE("a loss that cannot be computed again leaves the context as it was", "[training]") {
  Training t;
  int calls = 0;
  auto before = t.ctx.random();
  CHECK_THROWS_AS(t.trainer.step([&] {
    if (++calls == 2) throw StateError("once only");
    return sum(t.ctx.lift(t.model.first) * log(t.numbers(-1)));
  }),
                  StateError);
  CHECK(t.ctx.recorded_ops() == 0);
  CHECK(t.ctx.random().take(1).first >= before.take(1).first);
  CHECK(t.trainer.step([&] { return t.loss(t.numbers(1)); }).updated);
}
