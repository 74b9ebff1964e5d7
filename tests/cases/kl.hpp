#include "case.hpp"
#include "phonaut/losses/kl.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(kl) {
  using Floor = KlOptions::Floor;
  for (const Shape<2>& shape : {Shape<2>{1, 1}, {7, 6}, {5, 33}, {70, 19}, {800, 64}}) {
    const auto mean = normal(shape, 1), spread = normal(shape, 2), noise = normal(shape, 3);
    const bool small = shape[0] < 100;
    // Each term is a difference of numbers near 1, so a few roundings of those show; sums are kept in double.
    const Limits limits{
        .tolerance = 8 * eps, .gradient = 16 * eps, .bytes = 8.0 * element_count(shape), .check = small};
    const auto add_kl = [&](const std::string& name, const KlOptions& options) {
      add(
          name + " " + text(shape), inputs(mean, spread),
          [options](const auto& m, const auto& s) { return kl_loss(m, s, options); }, limits);
    };
    add_kl("log variance", {});
    add_kl("softplus", {.spread = Spread::softplus(1e-3), .beta = 0.3});
    add_kl("stable audio", KlOptions::stable_audio());
    add_kl("element floor", {.free_bits = 0.5, .floor = Floor::element});
    add_kl("softplus, element floor", {.spread = Spread::softplus(), .free_bits = 0.5, .floor = Floor::element});
    add_kl("dimension floor", {.beta = 2, .free_bits = 0.6, .floor = Floor::dimension});
    add(
        "sample " + text(shape), inputs(mean, spread, noise),
        [](const auto& m, const auto& s, const auto& n) { return reparameterise(m, s, n); }, limits);
    add(
        "sample, softplus " + text(shape), inputs(mean, spread, noise),
        [](const auto& m, const auto& s, const auto& n) { return reparameterise(m, s, n, Spread::softplus()); },
        limits);
  }
}

}  // namespace
