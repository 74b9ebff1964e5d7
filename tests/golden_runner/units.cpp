// Handlers of tools for sequences of units.
#include <numeric>

#include "phonaut/units/bpe.hpp"
#include "phonaut/units/delay.hpp"
#include "phonaut/units/runs.hpp"
#include "registry.hpp"

namespace phonaut::golden {
namespace {

const Register dedup_op("quantizer.dedup", [](auto& g) {
  for (long i = 0; g.has("input.seq" + std::to_string(i)); ++i) {
    const std::string n = std::to_string(i);
    const UnitRuns runs = joined_runs(g.integers("input.seq" + n));
    g.output("units" + n, runs.units);
    g.output("durations" + n, runs.durations);
  }
});

const Register bpe_op("quantizer.bpe_units", [](auto& g) {
  const auto flat = g.integers("input.corpus");
  const long width = g.shape("input.corpus")[1];
  std::vector<std::vector<long>> corpus;
  for (auto row = flat.begin(); row != flat.end(); row += width) corpus.emplace_back(row, row + width);
  const long units = g.config.integer("units");
  const auto bpe = UnitBpe::train(
      corpus, {.units = units, .merges = g.config.integer("merges"), .min_count = g.config.integer("min_count")});
  std::vector<long> merges;
  for (size_t i = 0; i < bpe.merges().size(); ++i)
    merges.insert(merges.end(), {bpe.merges()[i].first, bpe.merges()[i].second, units + static_cast<long>(i)});
  g.output("merges", merges);
  for (long i = 0; g.has("input.seq" + std::to_string(i)); ++i)
    g.output("tokens" + std::to_string(i), bpe.encode(g.integers("input.seq" + std::to_string(i))));
});

const Register delay_op("quantizer.delay_pattern", [](auto& g) {
  // (N, books, T) in the file, a frame after the other here.
  const auto shape = g.shape("input.codes");
  const auto codes = g.integers("input.codes"), delays = g.config.integers("delays");
  const long pad = g.config.integer("pad");
  const auto turned = [](std::span<const long> x, long rows, long columns) {
    std::vector<long> y;
    for (long c = 0; c < columns; ++c)
      for (long r = 0; r < rows; ++r) y.push_back(x[static_cast<size_t>(r * columns + c)]);
    return y;
  };
  std::vector<long> grown, cut, flat;
  const auto append = [](std::vector<long>& to, const std::vector<long>& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (long n = 0; n < shape[0]; ++n) {
    const std::span<const long> one(codes.data() + n * shape[1] * shape[2], static_cast<size_t>(shape[1] * shape[2]));
    const auto frames = turned(one, shape[1], shape[2]);
    append(flat, frames);
    // Those that grow are MusicGen's, a frame later for each book; the delays of the file belong to the others.
    std::vector<long> by_book(static_cast<size_t>(shape[1]));
    std::iota(by_book.begin(), by_book.end(), 0L);
    const auto longer = delay_codes(frames, by_book, pad), shorter = delay_codes(frames, delays, pad, DelayEnd::cut);
    append(grown, turned(longer.codes, longer.frames, shape[1]));
    append(cut, turned(shorter.codes, shorter.frames, shape[1]));
  }
  g.output("delayed", grown);
  g.output("cut", cut);
  g.output("flattened", flat);
});

}  // namespace
}  // namespace phonaut::golden
