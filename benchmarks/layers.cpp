// Activations, norms and depthwise convolutions, to be timed beside the same in other libraries. See works.hpp.
#include "works.hpp"

using namespace phonaut;
using namespace phonaut::works;

namespace {

/// Frames x (N, T, C) and a gradient that comes back for them.
struct Frames {
  Tensor<B, 3> x, dy;
  std::string size;

  Frames(Context<B>& ctx, long batch, long time, long channels, long out_channels)
      : size(concat(batch, " x ", time, " x ", channels)) {
    Inputs in{ctx};
    x = in.normal(Shape<3>{batch, time, channels});
    dy = in.normal(Shape<3>{batch, time, out_channels});
  }
};

/// Forward and backward of call(x, weights…). `moved`: numbers that it must read and write.
template <class Call, size_t... R>
Work both_ways(Context<B>& ctx, const std::string& name, const std::string& title, const Frames& f, double moved,
               const Call& call, const std::pair<const char*, Tensor<B, R>>&... weights) {
  const auto step = std::make_shared<Step>(Step{ctx, {}});
  const std::string key = concat(name, "/", f.x.size());
  const auto forward = [=, &ctx] { return seeded(call(ctx.variable(f.x), ctx.variable(weights.second)...), f.dy); };
  return {.name = key,
          .title = concat(title, ", ", f.size, ", forward + backward"),
          .call = [=] { (*step)(forward); },
          .prove =
              [=, &ctx](Proof& proof) {
                proof.add(key + "/x", f.x);
                proof.add(key + "/dy", f.dy);
                (proof.add(key + "/" + weights.first, weights.second), ...);
                proof.add_rows(key + "/y", call(ctx.constant(f.x), ctx.constant(weights.second)...).tensor());
                (*step)(forward);
                proof.add_rows(key + "/gradient.x", step->gradients[ctx.constant(f.x)]);
                (proof.add(key + "/gradient." + weights.first, step->gradients[ctx.constant(weights.second)]), ...);
              },
          .bytes = 4 * moved};
}

void add_elementwise(Context<B>& ctx, long batch, long time, long channels, std::vector<Work>& works) {
  const Frames f(ctx, batch, time, channels, channels), doubled(ctx, batch, time, 2 * channels, channels);
  Inputs in{ctx, 9};
  const double n = static_cast<double>(f.x.size());
  const auto gain = in.normal(Shape<1>{channels}, 0.1f, 1), bias = in.normal(Shape<1>{channels}, 0.1f);
  const auto scale = in.normal(Shape<0>{}, 0.1f);
  const auto w = [](const char* name, const auto& t) { return std::pair{name, t}; };
  works.push_back(both_ways(ctx, "swoosh_l", "SwooshL", f, 5 * n, [](const auto& x) { return swoosh_l(x); }));
  works.push_back(both_ways(ctx, "swoosh_r", "SwooshR", f, 5 * n, [](const auto& x) { return swoosh_r(x); }));
  works.push_back(both_ways(
      ctx, "snake", "Snake", f, 5 * n, [](const auto& x, const auto& a) { return snake(x, Weight<B, 1>(a)); },
      w("alpha", gain)));
  works.push_back(both_ways(
      ctx, "bias_norm", "BiasNorm", f, 5 * n,
      [](const auto& x, const auto& b, const auto& s) { return bias_norm(x, Weight<B, 1>(b), Weight<B, 0>(s)); },
      w("bias", bias), w("log_scale", scale)));
  works.push_back(both_ways(
      ctx, "layer_norm", "LayerNorm", f, 5 * n,
      [](const auto& x, const auto& g, const auto& b) { return layer_norm(x, Weight<B, 1>(g), Weight<B, 1>(b)); },
      w("gain", gain), w("bias", bias)));
  works.push_back(both_ways(ctx, "glu", "GLU", doubled, 8 * n, [](const auto& x) { return glu(x); }));
}

void add_depthwise(Context<B>& ctx, long batch, long time, long channels, long taps, std::vector<Work>& works) {
  const Frames f(ctx, batch, time, channels, channels);
  Inputs in{ctx, 9};
  const auto weight = in.normal(Shape<3>{channels, 1, taps}, 0.3f);
  const auto bias = in.normal(Shape<1>{channels});
  const auto call = [=](const auto& x, const auto& w, const auto& b) {
    return depthwise_conv1d(x, Weight<B, 3>(w), Weight<B, 1>(b), taps / 2);
  };
  const std::string title = concat("depthwise convolution of ", taps, " taps"), name = concat("depthwise_", taps);
  const double flops = 2.0 * static_cast<double>(f.x.size() * taps);
  Work both = both_ways(ctx, name, title, f, 0, call, std::pair{"weight", weight}, std::pair{"bias", bias});
  Work forward = both;
  forward.name = concat(name, "_forward/", f.x.size());
  forward.title = concat(title, ", ", f.size, ", forward");
  forward.call = [=, &ctx] { call(ctx.constant(f.x), ctx.constant(weight), ctx.constant(bias)); };
  forward.prove = [](Proof&) {};  // that of both ways has its result
  forward.flops = flops;
  both.flops = 3 * flops;
  works.push_back(forward);
  works.push_back(both);
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, "phonaut-bench-layers", [](Context<B>& ctx, bool small) {
    std::vector<Work> works;
    if (small) {
      add_elementwise(ctx, 2, 5, 6, works);
      add_depthwise(ctx, 2, 5, 6, 3, works);
    } else {
      add_elementwise(ctx, 1, 250, 256, works);   // in the nearest caches
      add_elementwise(ctx, 8, 1000, 512, works);  // in memory
      add_depthwise(ctx, 1, 500, 192, 31, works);
      add_depthwise(ctx, 8, 500, 192, 31, works);
      add_depthwise(ctx, 8, 125, 384, 15, works);
      add_depthwise(ctx, 1, 1000, 512, 15, works);
    }
    return works;
  });
}
