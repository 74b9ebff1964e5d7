// Losses with their gradients, to be timed beside the same in other libraries. See works.hpp.
#include "works.hpp"

using namespace phonaut;
using namespace phonaut::works;

namespace {

/// A work that is forward and backward of one loss: `loss()` builds it from variables of `inputs`, whose gradients are
/// results too.
template <size_t... R>
Work step_of(Context<B>& ctx, const std::string& name, const std::string& title, const std::function<Var<B, 0>()>& loss,
             const std::function<void(Proof&)>& prove_inputs, const std::pair<const char*, Tensor<B, R>>&... inputs) {
  const auto step = std::make_shared<Step>(Step{ctx, {}});
  return {.name = name,
          .title = title + ", forward + backward",
          .call = [=] { (*step)(loss); },
          .prove =
              [=, &ctx](Proof& proof) {
                (proof.add(name + "/" + inputs.first, inputs.second), ...);
                prove_inputs(proof);
                proof.add(name + "/loss", std::vector<double>{static_cast<double>(item((*step)(loss)))});
                (proof.add(name + "/gradient." + inputs.first, step->gradients[ctx.constant(inputs.second)]), ...);
              }};
}

/// wav2vec 2.0: `masked` frames of each of `batch` utterances among `negatives` distractors.
Work wav2vec2(Context<B>& ctx, long batch, long masked, long dims, long negatives) {
  Inputs in{ctx};
  const auto c = in.normal(Shape<2>{batch * masked, dims}), q = in.normal(Shape<2>{batch * masked, dims});
  ctx.random() = Random{7, 0};
  const RowChoice<B> choice = sample_negatives(ctx, std::vector<long>(static_cast<size_t>(batch), masked), negatives);
  const std::string name = "wav2vec2";
  return step_of(
      ctx, name, concat("InfoNCE of wav2vec 2.0, ", batch, " x ", masked, " x ", dims, ", ", negatives, " negatives"),
      [=, &ctx] { return wav2vec2_loss(ctx.variable(c), ctx.variable(q), choice); },
      [=](Proof& proof) { proof.add(name + "/choice", choice); }, std::pair{"c", c}, std::pair{"q", q});
}

/// Contrastive predictive coding, `steps` steps ahead, with negatives of the whole batch.
Work cpc(Context<B>& ctx, long batch, long time, long dims, long steps, long negatives) {
  Inputs in{ctx};
  const auto c = in.normal(Shape<3>{batch, time, dims}), z = in.normal(Shape<3>{batch, time, dims});
  const auto w = in.normal(Shape<3>{steps, dims, dims}, 0.05f);
  const long rows = batch * (time - steps);
  const RowChoice<B> choice = ctx.empty_of<std::int32_t, 2>({rows, negatives});
  const Draws draws = Random{7, 0}.take(choice.size());
  for (long i = 0; i < choice.size(); ++i) choice.data()[i] = static_cast<std::int32_t>(draws.below(batch * time, i));
  const std::string name = "cpc";
  return step_of(
      ctx, name, concat("CPC, ", batch, " x ", time, " x ", dims, ", ", steps, " steps, ", negatives, " negatives"),
      [=, &ctx] {
        return cpc_loss(ctx.variable(c), ctx.variable(z), ctx.variable(w), choice, 1.0 / static_cast<double>(dims));
      },
      [=](Proof& proof) { proof.add(name + "/choice", choice); }, std::pair{"c", c}, std::pair{"z", z},
      std::pair{"w", w});
}

template <class Loss>
Work mel(Context<B>& ctx, const std::string& name, const std::string& title, const typename Loss::Config& config,
         long batch, long samples) {
  Inputs in{ctx};
  const auto x = in.normal(Shape<2>{batch, samples}, 0.1f), y = in.normal(Shape<2>{batch, samples}, 0.1f);
  const auto loss = std::make_shared<Loss>(ctx, config);
  return step_of(
      ctx, name, title,
      [=, &ctx] {
        return (*loss)(Waveform<B>{ctx.variable(x), {}, 24000}, Waveform<B>{ctx.constant(y), {}, 24000});
      },
      [=](Proof& proof) { proof.add(name + "/y", y); }, std::pair{"x", x});
}

}  // namespace

int main(int argc, char** argv) {
  return run(argc, argv, "phonaut-bench-losses", [](Context<B>& ctx, bool small) {
    const long batch = small ? 2 : 8, samples = small ? 3000 : 24000;
    return std::vector<Work>{
        small ? wav2vec2(ctx, 2, 7, 12, 3) : wav2vec2(ctx, 8, 200, 256, 100),
        small ? cpc(ctx, 2, 9, 8, 3, 4) : cpc(ctx, 8, 128, 256, 12, 128),
        mel<DacMelLoss<B>>(ctx, "dac_mel", "mel loss of DAC, 7 windows, 8 x 1 s at 24 kHz", {.sample_rate = 24000},
                           batch, samples),
        mel<EncodecMelLoss<B>>(ctx, "encodec_mel", "mel loss of EnCodec, 7 windows, 8 x 1 s at 24 kHz", {}, batch,
                               samples),
        mel<MrStftLoss<B>>(ctx, "mrstft", "multi-resolution STFT loss, 8 x 1 s at 24 kHz", {}, batch, samples)};
  });
}
