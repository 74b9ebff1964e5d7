// Handlers of the golden files of optimisers, clipping, averages and schedules.
#include <cstdio>

#include "golden.hpp"
#include "phonaut/training/adamw.hpp"
#include "phonaut/training/clip.hpp"
#include "phonaut/training/ema.hpp"
#include "phonaut/training/lion.hpp"
#include "phonaut/training/muon.hpp"
#include "phonaut/training/scaled_adam.hpp"
#include "phonaut/training/schedule.hpp"
#include "phonaut/training/sgd.hpp"

namespace phonaut::golden {
namespace {

/// The parameters p0, p1 ... of a file. Elementwise rules do not look at shapes, so all are vectors but for Muon's.
template <class B, size_t R>
struct Parameters {
  std::vector<Param<B, R>> p;
  static void visit(auto& self, auto&& f) { f("p", self.p); }
};

template <size_t R, class B>
Param<B, R> parameter(Golden<B>& g, const std::string& key) {
  const std::vector<long>& in_file = g.shape(key);
  Shape<R> shape{};
  if constexpr (R == 1) shape[0] = static_cast<long>(g.values(key).size());
  else if (in_file.size() == R) std::copy(in_file.begin(), in_file.end(), shape.begin());
  else throw ShapeError(concat(key, " has rank ", in_file.size(), ", not ", R));
  return Param<B, R>(input(g.context(), shape, g.values(key)).tensor());
}

template <size_t R, class B>
Parameters<B, R> parameters(Golden<B>& g) {
  Parameters<B, R> all;
  for (size_t i = 0; g.has(concat("param.p", i)); ++i) all.p.push_back(parameter<R>(g, concat("param.p", i)));
  return all;
}

/// Gradients with the values of the file: those of Σ p · g.
template <class B, size_t R>
Gradients<B> gradients_of(Golden<B>& g, const Parameters<B, R>& model, const std::string& suffix) {
  Context<B>& ctx = g.context();
  ctx.train();
  Var<B, 0> loss;
  for (size_t i = 0; i < model.p.size(); ++i) {
    const Param<B, R>& p = model.p[i];
    const auto term = sum(ctx.lift(p) * input(ctx, p.shape(), g.values(concat("input.g", i, suffix))));
    loss = loss ? loss + term : term;
  }
  return ctx.backward(loss);
}

template <class B, class T>
std::vector<double> doubles(Golden<B>& g, const T& tensor) {
  const auto values = values_of(g.context(), tensor);
  return {values.begin(), values.end()};
}

/// All steps of a file, then the states at the end: `finish(slot, i)` outputs those.
template <class B, size_t R, class Optimiser, class Finish>
void run_steps(Golden<B>& g, const Parameters<B, R>& model, Optimiser optimiser, const Finish& finish) {
  const B& backend = g.context().backend();
  for (long step = 0; g.has(concat("input.g0_step", step)); ++step) {
    optimiser.step(backend, gradients_of(g, model, concat("_step", step)), g.config.number("lr"));
    for (size_t i = 0; i < model.p.size(); ++i)
      g.output(concat("p", i, "_step", step), doubles(g, model.p[i].tensor()));
  }
  for (size_t i = 0; i < model.p.size(); ++i) finish(optimiser.slots()[i], i);
}

/// The files decay every parameter, whatever it is called.
bool every(const std::string&, size_t) { return true; }

template <class B>
void adam(Golden<B>& g, bool decoupled) {
  const auto& c = g.config;
  const auto model = parameters<1>(g);
  AdamW<B> adamw(g.context().backend(), model,
                 {.beta1 = c.number("beta1"),
                  .beta2 = c.number("beta2"),
                  .epsilon = c.number("eps"),
                  .weight_decay = c.number("weight_decay"),
                  .decoupled = decoupled,
                  .decays = every});
  run_steps(g, model, std::move(adamw), [&](const auto& slot, size_t i) {
    g.output(concat("m", i, "_final"), doubles(g, slot.state[0]));
    g.output(concat("v", i, "_final"), doubles(g, slot.state[1]));
  });
}
const Register adamw_op("optim.adamw", [](auto& g) { adam(g, true); });
const Register adam_l2_op("optim.adam_l2", [](auto& g) { adam(g, false); });

const Register sgd_op("optim.sgd", []<class B>(Golden<B>& g) {
  const auto& c = g.config;
  if (c.text("first_buffer", "gradient") != "gradient") throw Unsupported("first_buffer " + c.text("first_buffer"));
  const auto model = parameters<1>(g);
  Sgd<B> sgd(g.context().backend(), model,
             {.momentum = c.number("momentum"),
              .nesterov = c.flag("nesterov", false),
              .weight_decay = c.number("weight_decay", 0),
              .decays = every});
  run_steps(g, model, std::move(sgd),
            [&](const auto& slot, size_t i) { g.output(concat("buf", i, "_final"), doubles(g, slot.state[0])); });
});

const Register lion_op("optim.lion", []<class B>(Golden<B>& g) {
  const auto& c = g.config;
  const auto model = parameters<1>(g);
  Lion<B> lion(g.context().backend(), model,
               {.beta1 = c.number("beta1"),
                .beta2 = c.number("beta2"),
                .weight_decay = c.number("weight_decay"),
                .decays = every});
  run_steps(g, model, std::move(lion),
            [&](const auto& slot, size_t i) { g.output(concat("m", i, "_final"), doubles(g, slot.state[0])); });
});

const Register muon_op("optim.muon", []<class B>(Golden<B>& g) {
  using Ratio = typename Muon<B>::Ratio;
  const auto& c = g.config;
  const std::vector<double> factors = c.numbers("coefficients");
  if (factors.size() != 3) throw Unsupported("Newton-Schulz of another degree");
  const auto model = parameters<2>(g);
  Muon<B> muon(g.context().backend(), model,
               {.momentum = c.number("momentum"),
                .nesterov = c.flag("nesterov"),
                .weight_decay = c.number("weight_decay"),
                .iterations = static_cast<int>(c.integer("ns_steps")),
                .coefficients = {factors[0], factors[1], factors[2]},
                .ratio = c.text("lr_ratio").starts_with("0.2") ? Ratio::match_rms : Ratio::original});
  if (g.has("output.newton_schulz_of_g0")) {
    const std::vector<long> shape = g.shape("input.g0_step0");
    const auto x = input(g.context(), Shape<2>{shape[0], shape[1]}, g.values("input.g0_step0")).tensor();
    muon.orthogonalise(g.context().backend(), x.data(), shape[0], shape[1]);
    g.output("newton_schulz_of_g0", doubles(g, x));
  }
  run_steps(g, model, std::move(muon),
            [&](const auto& slot, size_t i) { g.output(concat("buf", i, "_final"), doubles(g, slot.buffer)); });
});

const Register clip_op("optim.clip_grad_norm", []<class B>(Golden<B>& g) {
  using Norm = typename GradientClip<B>::Norm;
  const JsonValue& norm = g.config.json().at("norm");
  if (!norm.is_string() && norm.number() != 2) throw Unsupported(concat("the norm of order ", norm.number()));
  Parameters<B, 1> model;
  for (size_t i = 0; g.has(concat("input.g", i)); ++i) model.p.push_back(parameter<1>(g, concat("input.g", i)));
  const Gradients<B> gradients = gradients_of(g, model, "");
  GradientClip<B> clip(
      model, {.most = g.config.number("max_norm"), .norm = norm.is_string() ? Norm::largest : Norm::euclidean});
  const Clipping found = clip.clip(g.context().backend(), gradients);
  g.output("total_norm", std::vector{found.norm});
  g.output("coefficient", std::vector{found.coefficient});
  for (size_t i = 0; i < model.p.size(); ++i) g.output(concat("g", i), doubles(g, gradients[model.p[i]]));
});

const Register ema_op("optim.ema", []<class B>(Golden<B>& g) {
  double first = 0, last = 0, over = 1;
  const std::string annealed = g.config.text("annealed");
  if (std::sscanf(annealed.c_str(), "linear %lf to %lf over %lf steps", &first, &last, &over) != 3)
    throw Unsupported("annealed: " + annealed);
  const double decay = g.config.number("decay");
  const B& backend = g.context().backend();
  const auto follow = [&](const std::string& name, typename Ema<B>::Config config) {
    Parameters<B, 1> model;
    model.p.push_back(parameter<1>(g, "input.theta0"));
    const auto average = deep_copy(model, backend);
    Ema<B> ema(average, model, std::move(config));
    for (long n = 1; g.has(concat("input.theta", n)); ++n) {
      const auto now = input(g.context(), model.p[0].shape(), g.values(concat("input.theta", n))).tensor();
      kernel::pack(backend, now.in(), model.p[0].tensor().data());
      ema.update(backend);
      g.output(concat(name, n), doubles(g, average.p[0].tensor()));
    }
  };
  follow("constant", {.keep = ConstantSchedule{decay}, .warm_up = false});
  follow("warmup", {.keep = ConstantSchedule{decay}, .warm_up = true});
  // The file counts its first update as step 1.
  follow("annealed", {.keep = [=](double n) { return LinearRamp{first, last, over}(n + 1); }, .warm_up = false});
  follow("running_average", Ema<B>::running_mean());
});

const Register schedules_op("optim.schedules", [](auto& g) {
  const auto& c = g.config;
  const JsonValue &noam = c.json().at("noam"), &tri = c.json().at("tri_stage"), &wsd = c.json().at("wsd");
  const double base = c.number("base"), end = c.number("end"), warmup = c.number("warmup"), total = c.number("total");
  const auto compare = [&](const std::string& name, const Schedule& schedule) {
    std::vector<double> values;
    for (long n = 0; n < g.shape("output." + name)[0]; ++n) values.push_back(schedule(static_cast<double>(n)));
    g.output(name, values);
  };
  compare("linear_warmup_constant", WarmupConstant{base, warmup});
  compare("linear_warmup_linear", WarmupPolynomial{.peak = base, .warmup = warmup, .total = total});
  compare("cosine", WarmupCosine{.peak = base, .warmup = warmup, .total = total});
  compare("cosine_floor", WarmupCosine{.peak = base, .floor = end, .warmup = warmup, .total = total});
  compare("noam", Noam{.factor = noam.at("factor").number(), .dim = noam.at("dim").number(), .warmup = warmup});
  compare("inverse_sqrt", InverseSquareRoot{.peak = base, .start = c.number("inverse_sqrt_init"), .warmup = warmup});
  const double hold = tri.at("hold").number();
  compare("tri_stage", TriStage{.peak = base,
                                .start = tri.at("init_scale").number(),
                                .finish = tri.at("final_scale").number(),
                                .warmup = warmup,
                                .hold = hold,
                                .decay = total - warmup - hold});
  compare("polynomial", WarmupPolynomial{base, end, warmup, total, c.number("polynomial_power")});
  compare("exponential", Exponential{base, c.number("exponential_gamma")});
  compare("wsd", WarmupStableDecay{.peak = base,
                                   .warmup = warmup,
                                   .stable = wsd.at("stable_until").number(),
                                   .decay = wsd.at("decay_steps").number()});
  compare("jepa_momentum", CosineRamp{.start = c.number("jepa_start"), .finish = 1, .total = total});
});

const Register eden_op("optim.eden", [](auto& g) {
  const auto& c = g.config;
  const Eden eden{c.number("base"), c.number("lr_batches"), c.number("lr_epochs"), c.number("warmup_batches"),
                  c.number("warmup_start")};
  const Eden2 eden2{eden.base, eden.batches, eden.warmup, eden.warmup_start};
  const std::vector<double> batch = g.values("input.batch"), epoch = g.values("input.epoch");
  std::vector<double> values, values2;
  for (size_t i = 0; i < batch.size(); ++i) {
    values.push_back(eden(batch[i], epoch[i]));
    values2.push_back(eden2(batch[i]));
  }
  g.output("eden", values);
  g.output("eden2", values2);
});
const Register zipformer_eden_op("zipformer.eden", [](auto& g) {
  const auto& c = g.config;
  const Eden eden{c.number("base_lr"), c.number("lr_batches"), c.number("lr_epochs"), c.number("warmup_batches"),
                  c.number("warmup_start")};
  const Eden2 eden2{eden.base, eden.batches, eden.warmup, eden.warmup_start};
  const std::vector<double> points = g.values("input.points");  // pairs of batch and epoch
  std::vector<double> values, values2;
  for (size_t i = 0; i + 1 < points.size(); i += 2) {
    values.push_back(eden(points[i], points[i + 1]));
    values2.push_back(eden2(points[i]));
  }
  g.output("lr_eden", values);
  g.output("lr_eden2", values2);
});

/// The parameters of a file of ScaledAdam, under their names. Shapes play no role but for what has one element.
template <class B>
struct NamedParameters {
  std::vector<std::string> names;
  std::vector<Param<B, 1>> p;
  static void visit(auto& self, auto&& f) {
    for (size_t i = 0; i < self.names.size(); ++i) f(self.names[i].c_str(), self.p[i]);
  }
};

const Register scaled_adam_op("zipformer.scaled_adam", []<class B>(Golden<B>& g) {
  const auto& c = g.config;
  const B& backend = g.context().backend();
  const std::string prefix = "input.param.";
  NamedParameters<B> model;
  for (const SafetensorsInfo& entry : g.file().entries())
    if (entry.name.starts_with(prefix)) {
      model.names.push_back(entry.name.substr(prefix.size()));
      model.p.push_back(parameter<1>(g, entry.name));
    }
  const std::vector<double> betas = c.numbers("betas"), rates = g.values("input.lr");
  const bool clips = !c.json().at("clipping_scale").is_null();
  ScaledAdam<B> optimiser(backend, model,
                          {.beta1 = betas.at(0),
                           .beta2 = betas.at(1),
                           .scalar_rate = c.number("scalar_lr_scale"),
                           .size_period = c.integer("size_update_period"),
                           .clip = clips ? c.number("clipping_scale") : HUGE_VAL,
                           .clip_period = c.integer("clipping_update_period")});
  const auto gradients_at = [&](size_t step) {  // those of Σ p · g
    Context<B>& ctx = g.context();
    ctx.train();
    Var<B, 0> loss;
    for (size_t i = 0; i < model.p.size(); ++i) {
      const std::string key = "input.grad." + model.names[i];
      if (!g.has(key)) continue;
      const std::vector<double> all = g.values(key);
      const auto size = static_cast<std::ptrdiff_t>(model.p[i].size()), at = static_cast<std::ptrdiff_t>(step) * size;
      const std::vector<double> now(all.begin() + at, all.begin() + at + size);
      const auto term = sum(ctx.lift(model.p[i]) * input(ctx, model.p[i].shape(), now));
      loss = loss ? loss + term : term;
    }
    return ctx.backward(loss);
  };
  std::vector<std::vector<double>> after(model.p.size());
  std::vector<double> scales, thresholds;
  for (size_t step = 0; step < rates.size(); ++step) {
    optimiser.step(backend, gradients_at(step), rates[step]);
    for (size_t i = 0; i < model.p.size(); ++i)
      for (const double v : doubles(g, model.p[i].tensor())) after[i].push_back(v);
    scales.push_back(optimiser.clipped().scale);
    thresholds.push_back(optimiser.clipped().threshold);
  }
  for (size_t i = 0; i < model.p.size(); ++i) g.output("param." + model.names[i], after[i]);
  if (g.has("output.clip_scale")) g.output("clip_scale", scales);
  if (g.has("output.clip_threshold")) g.output("clip_threshold", thresholds);
});

}  // namespace
}  // namespace phonaut::golden
