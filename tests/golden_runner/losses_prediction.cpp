// Handlers of prediction, distillation, generative and adversarial losses, and of SI-SDR.
#include "golden.hpp"
#include "phonaut/losses/adversarial.hpp"
#include "phonaut/losses/distillation.hpp"
#include "phonaut/losses/generative.hpp"
#include "phonaut/losses/masked_prediction.hpp"
#include "phonaut/losses/si_sdr.hpp"

namespace phonaut::golden {
namespace {

const Register jepa_op("loss.jepa_prediction", [](auto& g) {
  using Distance = MaskedPredictionOptions::Distance;
  const std::string name = g.config.text("distance");
  const MaskedPredictionOptions options{.distance = name == "l1"    ? Distance::l1
                                                    : name == "mse" ? Distance::mse
                                                                    : Distance::smooth_l1,
                                        .normalise_target = g.config.flag("layer_norm_target"),
                                        .epsilon = g.config.number("eps")};
  const auto prediction = g.sequence("pred", "NTC"), target = g.sequence("target", "NTC");
  g.output("loss", masked_prediction_loss(prediction, target, g.integers("input.mask"), options));
});

const Register data2vec_op("loss.data2vec", [](auto& g) {
  using B = typename std::remove_cvref_t<decltype(g)>::Backend;
  using Norm = Data2vecOptions::Norm;
  const std::string norm = g.config.text("target_norm");
  const Data2vecOptions options{.norm = norm == "instance" ? Norm::instance
                                        : norm == "layer"  ? Norm::layer
                                                           : Norm::none,
                                .normalise_average = g.config.flag("layer_norm_targets"),
                                .beta = g.config.number("beta"),
                                .epsilon = g.config.number("eps")};
  const auto layers = g.input("teacher_layers", rank<4>);
  const auto prediction = g.sequence("pred", "NTC");
  std::vector<Sequence<B>> teacher;
  for (long k = 0; k < layers.extent(0); ++k)
    teacher.push_back(prediction.with(reshape(slice(layers, 0, k, k + 1), prediction.frames.shape())));
  const auto target = data2vec_target(teacher, options);
  g.output("target", target.frames);
  g.output("loss", data2vec_loss(prediction, target, g.integers("input.mask"), options));
});

const Register distill_op("loss.distill_cosine", [](auto& g) {
  const auto x = g.sequence("x", "NTC"), target = g.sequence("target", "NTC");
  if (g.config.text("axis") == "d") g.output("loss", distill_over_time(x, target));
  else g.output("loss", distill_over_channels(x, target, g.config.number("lambda_sim")));
});

const Register energy_op("loss.energy_distance", [](auto& g) {
  const auto first = g.input("s1", rank<2>), second = g.input("s2", rank<2>), target = g.input("y", rank<2>);
  const double power = g.config.number("beta");
  const auto scores = energy_scores(first, second, target, power);
  g.output("per_item", g.context().detach(scores));
  g.output("loss", g.config.text("reduction", "mean") == "sum" ? sum(scores) : mean(scores));
});

const Register flow_op("loss.flow_matching", [](auto& g) {
  const auto predicted = g.sequence("v", "NTC");
  const auto noise = g.context().detach(g.input("x0", "NTC")), data = g.context().detach(g.input("x1", "NTC"));
  const auto point = flow_point(noise, data, g.values("input.t"), g.config.number("sigma_min"));
  g.output("x_t", point.position);
  g.output("target", point.velocity);
  if (!g.has("input.mask")) return g.output("loss", flow_matching_loss(predicted, point.velocity));
  const auto rows = marked_rows(predicted, g.integers("input.mask"));
  g.output("loss", mse_loss(take_rows(predicted.frames, rows), take_rows(point.velocity, rows)));
});

const Register flux_op("loss.flux", [](auto& g) {
  auto mean = g.sequence("mu", "NTC");
  const auto target = g.sequence("y", "NTC");
  if (g.has("input.mask")) {  // the masks are those of lengths
    const auto mask = g.integers("input.mask");
    std::vector<long> lengths;
    for (long n = 0; n < mean.batch(); ++n) {
      long length = 0;
      while (length < mean.time() && mask[static_cast<size_t>(n * mean.time() + length)]) ++length;
      for (long t = length; t < mean.time(); ++t)
        if (mask[static_cast<size_t>(n * mean.time() + t)]) throw Unsupported("a mask with holes");
      lengths.push_back(length);
    }
    mean.lengths = lengths_of(g.context(), lengths);
  }
  g.output("loss", flux_loss(mean, target));
});

const Register si_sdr_op("loss.si_sdr", [](auto& g) {
  const auto x = g.input("x", rank<2>), y = g.input("y", rank<2>);
  const SiSdrOptions options{.zero_mean = g.config.flag("zero_mean"), .epsilon = g.config.number("eps")};
  g.output("si_sdr_db", g.context().detach(si_sdr(x, y, {}, options)));
  g.output("loss", si_sdr_loss(x, y, {}, options));
});

/// Scores and maps of any rank, flattened: their means do not care.
template <class B>
std::vector<Var<B, 1>> flat_list(Golden<B>& g, const std::string& name) {
  std::vector<Var<B, 1>> list;
  for (long i = 0; g.has("input." + name + std::to_string(i)); ++i) {
    const std::string key = name + std::to_string(i);
    const auto flat = [](const auto& x) { return reshape(x, Shape<1>{x.size()}); };
    switch (g.shape("input." + key).size()) {
      case 1:
        list.push_back(g.input(key, rank<1>));
        break;
      case 2:
        list.push_back(flat(g.input(key, rank<2>)));
        break;
      case 3:
        list.push_back(flat(g.input(key, rank<3>)));
        break;
      case 4:
        list.push_back(flat(g.input(key, rank<4>)));
        break;
      default:
        throw Unsupported(key + " of rank 1 to 4");
    }
  }
  return list;
}

const Register gan_op("loss.gan", [](auto& g) {
  const std::string kind = g.config.text("kind");
  const Adversary adversary = kind == "ls" ? Adversary::least_squares : Adversary::hinge;
  if (kind != "ls" && kind != "hinge") throw Unsupported("kind " + kind);
  const bool averaged = g.config.flag("averaged_over_discriminators");
  const bool relative = g.config.text("feature_matching").starts_with("relative");
  const auto real = flat_list(g, "real"), fake = flat_list(g, "fake");
  const auto map_real = flat_list(g, "fmap_real"), map_fake = flat_list(g, "fmap_fake");
  // The keys say `_of_d` for the gradient of `loss_d`.
  const auto say = [&](const std::string& name, const auto& loss) {
    g.output("loss_" + name, g.context().detach(loss));
    g.loss_of(name, loss);
  };
  say("d", discriminator_loss(adversary, real, fake, averaged));
  say("g", generator_loss(adversary, fake, averaged));
  say("fm", feature_matching_loss(map_real, map_fake, relative));
});

}  // namespace
}  // namespace phonaut::golden
