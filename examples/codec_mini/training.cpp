#include "training.hpp"

#include <fmt/format.h>
#include <phonaut/core/frozen_weights.hpp>
#include <phonaut/io/audio.hpp>
#include <phonaut/losses/adversarial.hpp>
#include <phonaut/losses/balancer.hpp>
#include <phonaut/losses/dac_mel.hpp>
#include <phonaut/losses/discriminators/stft.hpp>
#include <phonaut/losses/regression.hpp>
#include <phonaut/training/adamw.hpp>
#include <phonaut/training/ema.hpp>
#include <phonaut/training/schedule.hpp>
#include <phonaut/training/trainer.hpp>

#include <algorithm>
#include <cmath>

#include "common/model_file.hpp"
#include "common/training_loop.hpp"
#include "common/variation.hpp"

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

using Discriminator = Discriminators<B, StftDiscriminator<B>>;

DataLoader::Config loader_config(const ModelConfig& model, const TrainConfig& config) {
  return {.rate = model.rate,
          .min_seconds = 0.4,
          .max_seconds = 3600,
          .cut_seconds = config.seconds * std::exp(config.speed),
          .batch_seconds = 1e6,  // counted in recordings instead
          .batch_size = config.recordings,
          .seed = config.seed};
}

/// Recordings as often as pieces of them fit into their length, so that each second of speech is heard as often as
/// others.
std::vector<Utterance> by_length(const std::vector<Utterance>& recordings, double piece) {
  std::vector<Utterance> all;
  for (const Utterance& u : recordings) {
    const double seconds = u.seconds > 0 ? u.seconds : audio_info(u.path).seconds();
    all.insert(all.end(), static_cast<size_t>(std::max(1L, std::lround(seconds / piece))), u);
  }
  return all;
}

/// The batch as other voices through other microphones would have it, cut to its shortest recording: discriminators
/// take sound of one length.
Waveform<B> varied_speech(Context<B>& ctx, const Batch& batch, const TrainConfig& config, long hop) {
  Dice dice(ctx.random().take((2 + kColourDraws) * batch.size()));
  std::vector<std::vector<float>> sounds;
  long time = std::lround(config.seconds * batch.rate);
  for (long n = 0; n < batch.size(); ++n) {
    const std::span<const float> one(batch.samples.data() + n * batch.time,
                                     static_cast<size_t>(batch.lengths[static_cast<size_t>(n)]));
    std::vector<float> sound = played(one, batch.rate, std::exp(dice.between(-config.speed, config.speed)));
    coloured(sound, config.tilt, dice);
    const auto gain = static_cast<float>(from_decibel(dice.between(-config.gain, config.gain)));
    for (float& sample : sound) sample *= gain;
    time = std::min(time, static_cast<long>(sound.size()));
    sounds.push_back(std::move(sound));
  }
  time = std::max(hop, time / hop * hop);
  std::vector<float> samples;
  samples.reserve(static_cast<size_t>(time) * sounds.size());
  for (auto& sound : sounds) {
    sound.resize(static_cast<size_t>(time), 0.0f);
    samples.insert(samples.end(), sound.begin(), sound.end());
  }
  return to_waveform(ctx, samples, time, batch.rate);
}

std::vector<StftDiscriminator<B>::Config> resolutions(const TrainConfig& config) {
  std::vector<StftDiscriminator<B>::Config> all;
  for (const long n_fft : {1024, 256})
    all.push_back(
        {.stft = StftDiscriminator<B>::Config::encodec_stft(n_fft), .channels = config.discriminator_channels});
  return all;
}

/// The weights' half of a GAN: they hear the same sound, in a context of their own.
struct Judges {
  Context<B> ctx;
  float loudness;
  Discriminator model;
  Trainer<B> trainer;

  Judges(Context<B>& outer, const TrainConfig& config)
      : ctx(outer.backend()),
        loudness(static_cast<float>(config.loudness)),
        model(seeded(config.seed), resolutions(config)),
        trainer(ctx, model, AdamW<B>(ctx.backend(), model, {.beta1 = 0.5, .beta2 = 0.9, .weight_decay = 0}),
                {.rate = ConstantSchedule{config.discriminator_rate}, .clip = 10}) {}

  /// Scores and maps of sounds (N, samples), in their context.
  auto operator()(const Var<B, 2>& samples) const { return model(Waveform<B>{loudness * samples, {}, 0}); }
  /// Learns to tell sounds (N, samples) apart; returns the loss.
  double learn(const Tensor<B, 2>& real, const Tensor<B, 2>& fake) {
    ctx.train();
    return trainer
        .step([&] {
          const auto of_real = (*this)(ctx.constant(real)), of_fake = (*this)(ctx.constant(fake));
          return discriminator_loss(Adversary::hinge, of_real.first, of_fake.first, true);
        })
        .loss;
  }

 private:
  Context<B>& seeded(std::uint64_t seed) {
    ctx.random() = Random{seed, 0};
    return ctx;
  }
};

/// A new model whose weights suit the first recordings.
Codec new_model(Context<B>& ctx, const ModelConfig& model_config, const TrainConfig& config) {
  ctx.random() = Random{config.seed, 0};
  ctx.set_step(0);
  Codec model(ctx, model_config);
  DataLoader::Config some = loader_config(model_config, config);
  some.batch_size = 16;
  some.prefetch = 0;
  const auto batch = DataLoader(by_length(recordings_of(config.data, "train"), config.seconds), some).next();
  const Waveform<B> speech = varied_speech(ctx, *batch, config, model.config.samples_per_code());
  double power = 0;
  for (const float v : values_of(speech.samples)) power += v * v / static_cast<double>(speech.samples.size());
  model.decoder.standardise(model.encoder.standardise(model.signal(speech)), model.mel ? 1 : std::sqrt(power));
  return model;
}

json settings_of(const ModelConfig& model, const TrainConfig& config) {
  return {{"model", model}, {"training", config}};
}

}  // namespace

std::vector<Utterance> recordings_of(const std::vector<std::string>& data, const std::string& split) {
  std::vector<Utterance> all;
  for (const auto& name : data) {
    const auto some = load_corpus(name).split(split);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

Codec untrained(Context<B>& ctx, const ModelConfig& model_config, const TrainConfig& config) {
  Codec model = new_model(ctx, model_config, config);
  DataLoader loader(by_length(recordings_of(config.data, "train"), config.seconds),
                    loader_config(model_config, config));
  ctx.train();
  for (long level = 0; level < model_config.levels; ++level) {  // one codebook finds its entries with each batch
    const auto batch = loader.next();
    model.quantizer(model.encoder(model.signal(varied_speech(ctx, *batch, config, model.config.samples_per_code()))));
    ctx.clear();
  }
  ctx.infer();
  return model;
}

Trained train(Context<B>& ctx, const ModelConfig& model_config, const TrainConfig& config, const fs::path& folder,
              std::ostream& out) {
  TrainingLoop loop{
      .folder = folder, .settings = settings_of(model_config, config), .label = "codec", .steps = config.steps};
  if (fs::exists(loop.model_file())) {
    Trained done = read_model(ctx, loop.model_file());
    loop.require_same(settings_of(done.model.config, done.config));
    return done;
  }

  const auto steps = static_cast<double>(config.steps);
  const Schedule rate = WarmupCosine{
      .peak = config.learning_rate, .floor = 0.1 * config.learning_rate, .warmup = 0.02 * steps, .total = steps};
  Codec model = new_model(ctx, model_config, config);
  Codec average = deep_copy(model, ctx.backend());
  Trainer<B> trainer(ctx, model, AdamW<B>(ctx.backend(), model, {.beta1 = 0.8, .beta2 = 0.99, .weight_decay = 0}),
                     {.rate = rate, .clip = 10});
  trainer.follow(Ema<B>(average, model, {.keep = ConstantSchedule{config.ema}}));
  Judges judges(ctx, config);
  DataLoader loader(by_length(recordings_of(config.data, "train"), config.seconds),
                    loader_config(model_config, config));

  const DacMelLoss<B> mel(ctx, {.sample_rate = static_cast<double>(model_config.rate)});
  using Parts = std::vector<LossBalancer<B, 2>::Part>;
  Parts plain_parts{{"mel", config.mel}};
  if (config.wave > 0) plain_parts.push_back({"wave", config.wave});
  Parts full_parts = plain_parts;
  full_parts.push_back({"judged", config.judged});
  LossBalancer<B, 2> plain(ctx, plain_parts), full(ctx, full_parts);
  const auto state = loop.state_of(model, average, trainer, loader, [&](auto& archive) {
    archive("training/judges", judges.model);
    archive("training/judges_trainer", judges.trainer);
    archive("training/plain", plain);
    archive("training/full", full);
  });
  loop.resume(ctx, state, out);

  const long hop = model.config.samples_per_code();
  const auto with_judges_from = static_cast<long>(config.adversarial_from * steps);
  const auto judges_learn_from = static_cast<long>((config.adversarial_from - config.judges_ahead) * steps);
  const auto take = [&]() -> TrainingLoop::Taken {
    const auto batch = loader.next();
    ctx.train();
    const bool judged = ctx.step() >= with_judges_from;
    LossBalancer<B, 2>& balancer = judged ? full : plain;
    double commitment = 0, judges_loss = 0;
    const TrainStep done = trainer.step([&] {
      const Waveform<B> speech = varied_speech(ctx, *batch, config, hop);
      const auto q = model.quantizer(model.encoder(model.signal(speech)));
      const Waveform<B> sound = model.sound(model.decoder.signal(q.quantized));
      const auto real = [&] { return balancer.context().constant(speech.samples.tensor()); };
      using Samples = const Var<B, 2>&;
      std::vector<LossBalancer<B, 2>::Loss> losses{[&](Samples y) {
        return mel(Waveform<B>{y, {}, 0}, Waveform<B>{real(), {}, 0});
      }};
      if (config.wave > 0) losses.push_back([&](Samples y) { return l1_loss(y, real()); });
      // What they say before they have learned anything is noise, which a balancer would make as loud as the rest.
      if (ctx.step() >= judges_learn_from && config.adversarial_from < 1)
        judges_loss = judges.learn(speech.samples.tensor(), sound.samples.tensor());
      if (judged) {
        losses.push_back([&](Samples y) {
          const FrozenWeights<B> frozen(y.context());
          const auto of_real = judges(real()), of_fake = judges(y);
          return generator_loss(Adversary::hinge, of_fake.first, true) +
                 static_cast<float>(config.features) * feature_matching_loss(of_real.second, of_fake.second, true);
        });
      }
      Var<B, 0> balanced = balancer(sound.samples, losses);
      if (!q.loss) return balanced;
      commitment = item(q.loss);
      return balanced + static_cast<float>(config.commitment) * q.loss;
    });
    JsonValue::Object terms{{"commitment", commitment}};
    const Parts& named = judged ? full_parts : plain_parts;
    for (size_t i = 0; i < named.size(); ++i) terms.emplace_back(named[i].name, balancer.values()[i]);
    terms.emplace_back("judges", judges_loss);
    return {done, batch->skipped, terms};
  };
  const bool finished = loop.run(ctx.step(), out, take, [&](long step, JsonLines&, Progress&) {
    if (step % 100 == 0 || step == config.steps) loop.save(state);
  });
  if (!finished) loop.save(state);

  json facts = {{"seconds", loop.seconds}, {"steps", ctx.step()}, {"parameters", parameter_count(average)}};
  ctx.infer();
  if (finished) loop.save_model(average, model_config, config, facts);
  return {std::move(average), config, std::move(facts), finished};
}

Trained read_model(Context<B>& ctx, const fs::path& file) {
  Trained t{Codec(ctx, metadata_as<ModelConfig>(file, "model")), metadata_as<TrainConfig>(file, "training"),
            metadata_of(file, "facts"), true};
  load(file.string(), t.model);
  return t;
}
