#pragma once
// The waves that golden files of frontends refer to: WAV files beside them, or simple signals by name.
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "golden.hpp"
#include "phonaut/core/waveform.hpp"

namespace phonaut::golden {

/// Samples of a mono 16-bit WAV file, divided by 32768.
inline std::vector<double> wav_samples(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const auto number = [&](size_t at) {
    std::uint32_t n = 0;
    if (at + 4 <= bytes.size()) std::memcpy(&n, bytes.data() + at, 4);
    return static_cast<size_t>(n);
  };
  for (size_t at = 12; at + 8 <= bytes.size(); at += 8 + number(at + 4))
    if (bytes.compare(at, 4, "data") == 0) {
      std::vector<double> samples(std::min(number(at + 4), bytes.size() - at - 8) / 2);
      for (size_t i = 0; i < samples.size(); ++i) {
        std::int16_t v = 0;
        std::memcpy(&v, bytes.data() + at + 8 + 2 * i, 2);
        samples[i] = v / 32768.0;
      }
      return samples;
    }
  throw FileError(concat(path.string(), ": cannot be read as a WAV file"));
}

/// The samples that a file's settings describe: `wave`, `start`, `num`, `waveform_scale`; or its `input.x`.
template <class B>
std::vector<double> wave_of(Golden<B>& g) {
  if (g.has("input.x")) return g.values("input.x");
  const std::string name = g.config.text("wave");
  const long start = g.config.integer("start", 0), count = g.config.integer("num");
  std::vector<double> x(static_cast<size_t>(count), 0.0);
  if (name == "dc") {
    x.assign(x.size(), 0.25);
  } else if (name == "full_scale_square") {
    for (size_t i = 0; i < x.size(); ++i) x[i] = i / 20 % 2 == 0 ? 1.0 : -1.0;
  } else if (name != "zeros") {
    const auto all = wav_samples(std::filesystem::path(g.file().path()).parent_path() / (name + ".wav"));
    const size_t from = std::min(static_cast<size_t>(start), all.size());
    x.assign(all.begin() + static_cast<long>(from),
             all.begin() + static_cast<long>(std::min(all.size(), from + static_cast<size_t>(count))));
  }
  for (double& v : x) v *= g.config.number("waveform_scale", 1);
  return x;
}

/// The same as a batch of one.
template <class B>
Waveform<B> waveform_of(Golden<B>& g, double rate = 0) {
  const auto x = wave_of(g);
  return {g.own_input("x", Shape<2>{1, static_cast<long>(x.size())}, x), {}, rate};
}

}  // namespace phonaut::golden
