// Handlers of discriminators: files keep weights as PyTorch does, channels before taps.
#include "golden.hpp"
#include "phonaut/layers/spectral_norm.hpp"
#include "phonaut/losses/discriminators/period.hpp"
#include "phonaut/losses/discriminators/stft.hpp"

namespace phonaut::golden {
namespace {

/// (N, 1, samples) of the file.
template <class B>
Waveform<B> waveform_in(Golden<B>& g) {
  const auto x = g.input("x", rank<3>);
  return {reshape(x, Shape<2>{x.extent(0), x.extent(2)}), {}, 0};
}

const Register spectral_norm_op("loss.spectral_norm", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  auto& ctx = g.context();
  const auto weight = g.input("weight", "NCT");  // (out, in, taps) in the file
  const Shape<3> shape = weight.shape();
  const long width = shape[1] * shape[2];
  // v goes with the weight's elements: the file has them channels before taps.
  const Layout<3> row("NCT");
  const auto v = row.values_to_ours(g.values("input.v"), Shape<3>{1, shape[1], shape[2]});
  const Tensor<B, 1> us = phonaut::input(ctx, Shape<1>{shape[0]}, g.values("input.u")).tensor(),
                     vs = phonaut::input(ctx, Shape<1>{width}, v).tensor();
  const auto wide = ctx.template empty_of<kernel::Wide<typename B::Scalar>>(Shape<1>{width});
  kernel::power_iteration(ctx.backend(), View<const typename B::Scalar, 2>(weight.in().data, {shape[0], width}),
                          g.config.integer("rounds"), us.out(), vs.out(), wide.data());
  const auto numbers = [&](const Tensor<B, 1>& t) {
    const auto values = values_of(ctx, t);
    return std::vector<double>(values.begin(), values.end());
  };
  g.output("u", numbers(us));
  g.output("v", row.values_to_file(numbers(vs), Shape<3>{1, shape[1], shape[2]}));
  g.output("weight", spectral_norm(weight, us, vs), "NCT");
});

const Register period_op("loss.disc_mpd", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  typename PeriodDiscriminator<B>::Config config{.period = g.config.integer("period"),
                                                 .channels = {},
                                                 .taps = g.config.integers("kernel").front(),
                                                 .stride = g.config.integers("stride").front(),
                                                 .last_stride = g.config.integer("last_stride"),
                                                 .leak = static_cast<float>(g.config.number("slope")),
                                                 .normed = false};
  const auto name = [](size_t i) { return "conv" + std::to_string(i); };
  size_t layers = 0;
  while (g.has("param." + name(layers) + ".weight")) ++layers;
  for (size_t i = 0; i + 1 < layers; ++i) config.channels.push_back(g.shape("param." + name(i) + ".weight")[0]);
  PeriodDiscriminator<B> model(g.context(), config);
  for (size_t i = 0; i < layers; ++i) g.load_transposed(model.layers[i], name(i));
  const auto said = model(waveform_in(g));
  for (size_t i = 0; i < layers; ++i) g.output("fmap" + std::to_string(i), said.maps[i], "NCTH");
});

const Register stft_op("loss.disc_msstft", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  using Config = typename StftDiscriminator<B>::Config;
  Config config{.stft = Config::encodec_stft(g.config.integer("n_fft")),
                .channels = g.config.integer("filters"),
                .kernel = {g.config.integers("kernel")[0], g.config.integers("kernel")[1]},
                .dilations = g.config.integers("dilations"),
                .leak = static_cast<float>(g.config.number("leaky_slope"))};
  config.stft.hop = g.config.integer("hop");
  config.stft.window_length = g.config.integer("win");
  StftDiscriminator<B> model(g.context(), config);
  for (size_t i = 0; i < model.convs.size(); ++i)
    g.load_transposed(model.convs[i], "convs." + std::to_string(i) + ".conv");
  g.load_transposed(model.post, "conv_post.conv");
  const auto said = model(waveform_in(g));
  for (size_t i = 0; i < said.maps.size(); ++i) g.output("fmap" + std::to_string(i), said.maps[i], "NCTF");
  g.output("logits", said.score, "NCTF");
});

}  // namespace
}  // namespace phonaut::golden
