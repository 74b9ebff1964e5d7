#include "case.hpp"
#include "phonaut/losses/adversarial.hpp"
#include "phonaut/losses/discrete_diffusion.hpp"
#include "phonaut/losses/distillation.hpp"
#include "phonaut/losses/generative.hpp"
#include "phonaut/losses/hubert.hpp"
#include "phonaut/losses/masked_prediction.hpp"
#include "phonaut/losses/si_sdr.hpp"
#include "phonaut/ops/activations.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

/// Two utterances of 7 and 4 frames, padded to 7, and every third frame marked.
template <class V>
auto padded(const V& x) {
  return Sequence<typename V::Backend>{x, lengths_of(x.context(), std::vector{7, 4}), 50};
}
std::vector<long> marks() {
  std::vector<long> chosen(14);
  for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = i % 3 != 1;
  return chosen;
}

CASES(prediction) {
  const Shape<3> shape{2, 7, 6};
  const auto x = normal(shape, 1), y = normal(shape, 2, 2, 0.5);
  // Targets are constants here, so they are made inside of the call and no derivative is taken of them.
  const auto constant = [y](const auto& like) { return padded(input(like.context(), y.shape, y.data)); };
  const Limits limits{.tolerance = 16 * eps, .gradient = 64 * eps};
  using Distance = MaskedPredictionOptions::Distance;
  for (const auto& [name, distance] :
       {std::pair{"L1", Distance::l1}, {"MSE", Distance::mse}, {"smooth L1", Distance::smooth_l1}}) {
    const MaskedPredictionOptions options{.distance = distance};
    add(
        std::string("masked ") + name, inputs(x),
        [=](const auto& p) { return masked_prediction_loss(padded(p), constant(p), marks(), options); }, limits);
  }
  using Norm = Data2vecOptions::Norm;
  for (const auto& [norm, beta] : {std::pair{Norm::instance, 0.0}, {Norm::layer, 0.5}, {Norm::none, 0.0}}) {
    const Data2vecOptions options{.norm = norm, .normalise_average = beta > 0, .beta = beta};
    add(
        "data2vec " + std::to_string(static_cast<int>(norm)), inputs(x),
        [=](const auto& p) {
          const auto target = data2vec_target(std::vector{constant(p), constant(p)}, options);
          return data2vec_loss(padded(p), target, marks(), options);
        },
        limits);
  }
  add(
      "distill over time", inputs(x), [=](const auto& p) { return distill_over_time(padded(p), constant(p)); }, limits);
  add(
      "distill over channels", inputs(x), [=](const auto& p) { return distill_over_channels(padded(p), constant(p)); },
      limits);
  add("HuBERT", inputs(x, normal(Shape<2>{5, 6}, 3)),
      [](const auto& p, const auto& table) {
        const std::vector<long> labels{0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3};
        return hubert_loss(padded(p), table, labels, marks(), {.unmasked_weight = 0.5});
      },
      {.tolerance = 64 * eps, .gradient = 256 * eps});
  add("masked cross-entropy", inputs(x),
      [](const auto& p) {
        const std::vector<long> labels{0, 1, 2, 3, 4, 5, 1, 2, 3, -1, 5, 0, 1, 2};
        return masked_cross_entropy(padded(p), labels, marks(), {.masked_weight = 2, .unmasked_weight = 0.5});
      },
      {.tolerance = 32 * eps, .gradient = 128 * eps});  // a sum of a dozen logarithms
  add(
      "flux", inputs(x, y), [](const auto& m, const auto& t) { return flux_loss(padded(m), padded(t)); }, limits);
  add(
      "flow matching", inputs(x),
      [=](const auto& v) {
        const auto point = flow_point(constant(v).frames, constant(v).frames, std::vector{0.25, 0.75}, 1e-4);
        return flow_matching_loss(padded(v), point.velocity) + mean(point.position);
      },
      limits);
  add(
      "flow on a circle", inputs(x, y),
      [=](const auto& noise, const auto& data) {
        const auto point = flow_point(noise, data, std::vector{0.25, 0.75}, 0, FlowPath::trigonometric);
        return mean(square(point.velocity) + point.position);
      },
      limits);
  add(
      "masked diffusion", inputs(x),
      [=](const auto& v) {
        const auto hidden = marks();
        return masked_diffusion_loss(padded(v), std::vector<long>{0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 0, 1},
                                     std::vector<char>(hidden.begin(), hidden.end()), {0.5, 2.5});
      },
      limits);
  for (const double power : {1.0, 1.5, 2.0})
    add(
        "energy distance " + std::to_string(power),
        inputs(normal(Shape<2>{5, 6}, 1), normal(Shape<2>{5, 6}, 2), normal(Shape<2>{5, 6}, 3)),
        [power](const auto& a, const auto& b, const auto& c) { return energy_distance_loss(a, b, c, power); }, limits);
  for (const bool zero_mean : {true, false}) {
    const auto reference = normal(Shape<2>{3, 40}, 2, 1, 0.3);
    const SiSdrOptions options{.zero_mean = zero_mean};
    // Decibels of a ratio near 1: the logarithm's absolute error counts.
    add(
        zero_mean ? "SI-SDR" : "SI-SDR with means", inputs(normal(Shape<2>{3, 40}, 1, 1, 0.2)),
        [=](const auto& e) {
          const auto r = input(e.context(), reference.shape, reference.data);
          return si_sdr(e, r, lengths_of(e.context(), std::vector{40, 17, 0}), options);
        },
        limits);
  }
  for (const Adversary kind : {Adversary::hinge, Adversary::hinge_linear, Adversary::least_squares})
    add(
        "adversary " + std::to_string(static_cast<int>(kind)),
        inputs(normal(Shape<2>{3, 9}, 1), normal(Shape<2>{3, 9}, 2)),
        [kind](const auto& r, const auto& f) {
          return discriminator_loss(kind, std::vector{r, r}, std::vector{f, f}, true) +
                 generator_loss(kind, std::vector{f}, false);
        },
        limits);
  for (const bool relative : {false, true})
    add(
        relative ? "relative feature matching" : "feature matching", inputs(normal(Shape<2>{3, 9}, 1)),
        [=](const auto& f) {
          const auto real = normal(Shape<2>{3, 9}, 4);
          const auto r = input(f.context(), real.shape, real.data);
          return feature_matching_loss(std::vector{r, r}, std::vector{f, 2 * f}, relative);
        },
        limits);
}

}  // namespace
