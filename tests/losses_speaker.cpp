// Speaker losses and the mutual-information bound against their definitions, written out.
#include <cmath>
#include <numeric>

#include "catch.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/losses/mutual_information.hpp"
#include "phonaut/losses/speaker.hpp"

using namespace phonaut;

namespace {

double cosine(const double* a, const double* b, long width) {
  double ab = 0, aa = 0, bb = 0;
  for (long c = 0; c < width; ++c) ab += a[c] * b[c], aa += a[c] * a[c], bb += b[c] * b[c];
  return ab / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("the margin softmax shifts the angle of the own class", "[losses]") {
  Context<Cpu> ctx;
  const auto x = draw(ctx, 4 * 6, Init::normal(1)), w = draw(ctx, 3 * 6, Init::normal(1));
  const std::vector<long> labels = {2, 0, 1, 2};
  const double margin = 0.3, scale = 20;
  double want = 0;
  for (long n = 0; n < 4; ++n) {
    double total = 0, own = 0;
    for (long k = 0; k < 3; ++k) {
      double c = cosine(x.data() + n * 6, w.data() + k * 6, 6);
      if (k == labels[static_cast<size_t>(n)]) {
        const double angle = std::acos(c);
        c = angle + margin <= M_PI ? std::cos(angle + margin) : c - margin * std::sin(margin);
        own = scale * c;
      }
      total += std::exp(scale * c);
    }
    want += (std::log(total) - own) / 4;
  }
  const auto embeddings = input(ctx, Shape<2>{4, 6}, x), directions = input(ctx, Shape<2>{3, 6}, w);
  const auto loss = [&](const std::vector<long>& l) {
    return item(aam_softmax_loss(embeddings, Weight<Cpu, 2>(directions), labels_of(ctx, l), {margin, scale}));
  };
  CHECK(loss(labels) == Approx(want).epsilon(1e-5));
  CHECK_THROWS_AS(loss({0, 1}), ShapeError);
  CHECK_THROWS_AS(loss({0, 1, 2, 3}), ShapeError);
  CHECK_THROWS_AS(aam_softmax_loss(embeddings, Weight<Cpu, 2>(directions), labels_of(ctx, labels), {.margin = 2}),
                  ConfigError);
}

TEST_CASE("an embedding that lies on its class has a finite gradient", "[losses]") {
  Context<Cpu> ctx;
  ctx.train();
  const auto x = ctx.variable(input(ctx, Shape<2>{1, 2}, std::vector{3.0, 0.0}).tensor());
  const auto w = input(ctx, Shape<2>{2, 2}, std::vector{1.0, 0.0, 0.0, 1.0});
  const auto gradients = ctx.backward(aam_softmax_loss(x, Weight<Cpu, 2>(w), labels_of(ctx, std::vector<long>{0})));
  for (const float g : values_of(ctx, gradients[x])) CHECK(std::isfinite(g));
}

TEST_CASE("the end-to-end loss leaves an embedding out of its own mean", "[losses]") {
  Context<Cpu> ctx;
  const long speakers = 3, each = 4, width = 5;
  auto e = draw(ctx, speakers * each * width, Init::normal(1));
  const auto x = input(ctx, Shape<3>{speakers, each, width}, e);
  for (long i = 0; i < speakers * each; ++i) {
    double* row = e.data() + i * width;
    const double norm = std::sqrt(std::inner_product(row, row + width, row, 0.0));
    for (long c = 0; c < width; ++c) row[c] /= norm;
  }
  double want = 0;
  for (long j = 0; j < speakers; ++j)
    for (long i = 0; i < each; ++i) {
      double total = 0, own = 0;
      for (long k = 0; k < speakers; ++k) {
        std::vector<double> mean(static_cast<size_t>(width), 0.0);
        for (long u = 0; u < each; ++u)
          if (k != j || u != i)
            for (long c = 0; c < width; ++c)
              mean[static_cast<size_t>(c)] += e[static_cast<size_t>((k * each + u) * width + c)];
        const double s = 10 * cosine(e.data() + (j * each + i) * width, mean.data(), width) - 5;
        total += std::exp(s);
        if (k == j) own = s;
      }
      want += std::log(total) - own;
    }
  const auto scale = input(ctx, Shape<0>{}, std::vector{10.0});
  CHECK(item(ge2e_loss(x, Weight<Cpu, 0>(scale))) == Approx(want).epsilon(1e-5));
  CHECK_THROWS_AS(ge2e_loss(slice(x, 1, 0, 1), Weight<Cpu, 0>(scale)), ShapeError);
}

TEST_CASE("the mutual-information bound is the one over all pairs", "[losses]") {
  Context<Cpu> ctx;
  const long rows = 7, width = 3;
  const auto mean = draw(ctx, rows * width, Init::normal(1)), spread = draw(ctx, rows * width, Init::normal(0.5)),
             y = draw(ctx, rows * width, Init::normal(1));
  double want = 0, fit = 0;
  for (long i = 0; i < rows; ++i)
    for (long d = 0; d < width; ++d) {
      const size_t at = static_cast<size_t>(i * width + d);
      const auto log_q = [&](double v) { return -0.5 * (v - mean[at]) * (v - mean[at]) * std::exp(-spread[at]); };
      fit += (0.5 * spread[at] - log_q(y[at])) / rows;
      want += log_q(y[at]) / rows;
      for (long j = 0; j < rows; ++j) want -= log_q(y[static_cast<size_t>(j * width + d)]) / (rows * rows);
    }
  const Shape<2> shape{rows, width};
  const GaussianGuess<Cpu> guess{input(ctx, shape, mean), input(ctx, shape, spread)};
  CHECK(item(club_bound(guess, input(ctx, shape, y))) == Approx(want).epsilon(1e-5));
  CHECK(item(guess_loss(guess, input(ctx, shape, y))) == Approx(fit).epsilon(1e-5));
  CHECK_THROWS_AS(club_bound(guess, input(ctx, Shape<2>{1, 3}, std::vector{1.0, 2.0, 3.0})), ShapeError);
}
