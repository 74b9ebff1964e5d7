#include "case.hpp"
#include "phonaut/losses/discriminators/multi_band.hpp"
#include "phonaut/losses/discriminators/period.hpp"
#include "phonaut/losses/discriminators/scale.hpp"
#include "phonaut/losses/discriminators/stft.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(discriminators) {
  // All that one says, weighted: scores and maps.
  const auto everything = [](const auto& said) {
    auto total = sum(said.score);
    for (const auto& map : said.maps) total = total + sum(square(map));
    return total;
  };
  // A handful of layers, each a sum of up to a hundred products, summed up over all maps.
  const Limits limits{.tolerance = 64 * eps, .gradient = 256 * eps};
  for (const long samples : {24L, 25L})
    for (const bool whole : {false, true})
      add(
          concat("period 3, ", samples, " samples", whole ? ", whole periods" : ""),
          inputs(normal(Shape<2>{2, samples}, 1)),
          [=](const auto& x) {
            using B = typename std::remove_cvref_t<decltype(x.context())>::Backend;
            const PeriodDiscriminator<B> model(x.context(),
                                               {.period = 3, .channels = {4, 5}, .stride = 2, .whole_period = whole});
            return everything(model(Waveform<B>{x, {}, 8000}));
          },
          limits);
  for (const long halvings : {0L, 2L})
    add(
        concat("scale, ", halvings, " halvings"), inputs(normal(Shape<2>{2, 61}, 1)),
        [=](const auto& x) {
          using B = typename std::remove_cvref_t<decltype(x.context())>::Backend;
          const ScaleDiscriminator<B> model(x.context(),
                                            {.layers = {{4, 5}, {8, 7, 2, 2}, {4, 3, 1, 4}}, .halvings = halvings});
          return everything(model(Waveform<B>{x, {}, 8000}));
        },
        limits);
  for (const bool magnitude : {false, true})
    add(
        magnitude ? "magnitudes" : "complex", inputs(normal(Shape<2>{2, 90}, 1)),
        [=](const auto& x) {
          using B = typename std::remove_cvref_t<decltype(x.context())>::Backend;
          using Config = typename StftDiscriminator<B>::Config;
          Config config = magnitude ? Config::univnet(16, 6, 12) : Config{.stft = Config::encodec_stft(16)};
          config.channels = 3;
          config.dilations = {1, 2};
          return everything(StftDiscriminator<B>(x.context(), config)(Waveform<B>{x, {}, 8000}));
        },
        limits);
  add(
      "bands", inputs(normal(Shape<2>{2, 75}, 1)),
      [=](const auto& x) {
        using B = typename std::remove_cvref_t<decltype(x.context())>::Backend;
        const MultiBandDiscriminator<B> model(x.context(), {.window = 32, .channels = 3, .edges = {0, 0.4, 1}});
        return everything(model(Waveform<B>{x, {}, 8000}));
      },
      limits);
}

}  // namespace
