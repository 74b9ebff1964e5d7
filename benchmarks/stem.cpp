// The waveform stem of wav2vec 2.0, in single precision and with products in bf16, to be timed beside the same in other
// libraries. See works.hpp.
#include "works.hpp"

using namespace phonaut;
using namespace phonaut::works;

namespace {

Work stem_of(Context<B>& ctx, const Wav2vec2Stem<B>& stem, long samples, Precision precision) {
  Inputs in{ctx};
  const bool full = precision == Precision::fp32;
  const Tensor<B, 2> x = in.normal(Shape<2>{1, samples});
  const std::string name = concat(full ? "stem/" : "stem_bf16/", samples);
  const auto call = [=, &ctx] {
    ctx.precision(precision);
    const Sequence<B> y = stem(Waveform<B>{ctx.constant(x), {}, 16000});
    ctx.precision(Precision::fp32);
    return y;
  };
  double flops = 0;
  long frames = samples, channels = 1;
  for (const auto& layer : stem.config.layers) {
    frames = (frames - layer.taps) / layer.stride + 1;
    flops += 2.0 * static_cast<double>(frames * layer.channels) * static_cast<double>(layer.taps * channels);
    channels = layer.channels;
  }
  return {.name = name,
          .title = concat("stem of wav2vec 2.0, ", static_cast<double>(samples) / 16000, " s", full ? "" : ", bf16"),
          .call = [=] { call(); },
          .prove =
              [=](Proof& proof) {
                proof.add(name + "/x", x);
                for (size_t i = 0; i < stem.conv_layers.size(); ++i)
                  proof.add(concat(name, "/weight.", i), stem.conv_layers[i].conv.weight.tensor());
                proof.add(name + "/gain", stem.conv_layers[0].group_norm->weight.tensor());
                proof.add(name + "/bias", stem.conv_layers[0].group_norm->bias.tensor());
                proof.add(name + "/y", call().frames);
              },
          .flops = flops};
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, "phonaut-bench-stem", [](Context<B>& ctx, bool small) {
    const Wav2vec2Stem<B> stem(ctx, {});
    std::vector<Work> works;
    for (const long samples : small ? std::vector<long>{800} : std::vector<long>{16000, 160000})
      for (const Precision precision : {Precision::fp32, Precision::bf16})
        works.push_back(stem_of(ctx, stem, samples, precision));
    return works;
  });
}
