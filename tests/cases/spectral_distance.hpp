#include "case.hpp"
#include "phonaut/ops/spectral_distance.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

/// Spectra are not negative; some bins lie below the floor of the logarithm.
Values<3> spectra(const Shape<3>& shape, std::uint64_t seed) {
  auto v = normal(shape, seed);
  for (double& e : v.data) e = static_cast<float>(e * e);
  return v;
}

CASES(spectral_distance) {
  const formula::FlooredLog clamped{.floor = 0.05f}, shifted{.shifted = true, .floor = 0.1f, .log_scale = 0.43f};
  const std::vector<std::pair<std::string, SpectralTerms>> kinds{
      {"difference", {.difference = 2}},
      {"log distance", {.log_distance = 3, .log = clamped}},
      {"log square, shifted", {.difference = 1, .log_square = 3, .log = shifted}},
      {"convergence", {.log_distance = 1, .convergence = 0.5, .log = clamped}},
      {"root", {.log_root = 1, .log = clamped}}};
  for (const auto& [name, terms] : kinds)
    for (long width : {1L, 7L, 16L, 65L}) {
      const auto x = spectra(Shape<3>{2, 6, width}, 1), y = spectra(Shape<3>{2, 6, width}, 2);
      add(name + " " + std::to_string(width), inputs(x, y),
          [t = terms](const auto& a, const auto& b) {
            const auto lengths = lengths_of(a.context(), std::vector{6L, 4L});
            return spectral_distance(Sequence<typename std::remove_cvref_t<decltype(a)>::Backend>{a, lengths, 0},
                                     {b, lengths, 0}, t);
          },
          // Sums are in double; a logarithm is within 1 ulp, and differences of logarithms cancel a little.
          {.tolerance = 16 * eps, .gradient = 64 * eps, .time = false});
    }
  const auto x = spectra(Shape<3>{8, 94, 513}, 1), y = spectra(Shape<3>{8, 94, 513}, 2);
  add("8 × 94 × 513", inputs(x, y),
      [](const auto& a, const auto& b) {
        return spectral_distance(Sequence<typename std::remove_cvref_t<decltype(a)>::Backend>{a, {}, 0}, {b, {}, 0},
                                 {.log_distance = 1, .convergence = 1});
      },
      {.bytes = 8.0 * 8 * 94 * 513, .check = false});
}

}  // namespace
