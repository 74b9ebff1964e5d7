#include "pictures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <phonaut/frontends/kaldi_fbank.hpp>
#include <phonaut/io/audio.hpp>

#include "common/figures.hpp"
#include "common/waveforms.hpp"

using namespace phonaut;
using nlohmann::json;

namespace {

/// A frame looks at 25 ms and moves on by 10: its box stands in the middle of what it looks at, seconds.
constexpr double kCentre = 0.0075;
constexpr double kLeft = 62, kWidth = 760, kWave = 54, kMel = 110, kStrip = 22, kGap = 5;

/// Neighbouring numbers get colours that are far from each other: steps of the golden angle.
std::string colour_of(long unit) { return fmt::format("hsl({:.0f},62%,66%)", std::fmod(137.508 * unit, 360.0)); }

/// One box of a strip, with its number where there is room.
std::string box(double x, double y, double width, long symbol, const std::string& colour) {
  std::string svg = fmt::format("<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{}' fill='{}' rx='2'/>", x, y,
                                std::max(0.5, width - 0.8), kStrip, colour);
  const std::string number = std::to_string(symbol);
  if (width > 6.5 * static_cast<double>(number.size()))
    svg += fmt::format("<text x='{:.1f}' y='{:.1f}' text-anchor='middle' font-size='10' fill='#1c2026'>{}</text>",
                       x + width / 2, y + 15, number);
  return svg;
}

std::string row_label(const char* text, double y) {
  return fmt::format("<text class='label' x='{}' y='{:.1f}' text-anchor='end'>{}</text>", kLeft - 8, y, text);
}

figures::Chart chart_of(const Sounding& s, const UnitBpe& bpe, double seconds) {
  const double scale = (kWidth - kLeft - 14) / seconds, frame = scale / s.frame_rate;
  const double whole = static_cast<double>(s.samples.size()) / s.rate * scale;
  std::string svg = fmt::format("<text class='title' x='{}' y='16'>{}</text>", kLeft, figures::escaped(s.title));
  double y = 26;
  // The waveform, as its extremes in every pixel.
  float loudest = 1e-6f;
  for (const float v : s.samples) loudest = std::max(loudest, std::fabs(v));
  std::string path;
  const auto columns = static_cast<size_t>(whole);
  for (size_t c = 0; c < columns; ++c) {
    const auto from = s.samples.begin() + static_cast<long>(c * s.samples.size() / columns);
    const auto until = s.samples.begin() + static_cast<long>((c + 1) * s.samples.size() / columns);
    if (from == until) continue;
    const auto [low, high] = std::minmax_element(from, until);
    const auto at = [&](float v) { return y + kWave / 2 * (1 - static_cast<double>(v / loudest)); };
    path += fmt::format("M{:.0f} {:.1f}V{:.1f}", kLeft + static_cast<double>(c), at(*low), at(*high) - 0.1);
  }
  svg += row_label("waveform", y + kWave / 2 + 4) + fmt::format("<path class='wave' d='{}'/>", path);
  y += kWave + kGap;
  const long frames = static_cast<long>(s.mel.size()) / s.bands;
  const double first = kLeft + kCentre * scale;  // where the boxes of frames begin
  const auto [low, high] = std::minmax_element(s.mel.begin(), s.mel.end());
  svg += row_label("log-mel", y + kMel / 2 + 4);
  svg += fmt::format(
      "<image x='{:.1f}' y='{}' width='{:.1f}' height='{}' preserveAspectRatio='none' "
      "style='image-rendering:pixelated' "
      "href='{}'/>",
      first, y, static_cast<double>(frames) * frame, kMel,
      figures::heat_map(s.mel, static_cast<int>(frames), static_cast<int>(s.bands), *low, *high));
  y += kMel + kGap;
  svg += row_label("units", y + 15);
  double x = first;
  std::vector<double> edges{x};
  for (size_t i = 0; i < s.runs.units.size(); ++i) {
    const double width = static_cast<double>(s.runs.durations[i]) * frame;
    svg += box(x, y, width, s.runs.units[i], colour_of(s.runs.units[i]));
    edges.push_back(x += width);
  }
  y += kStrip + kGap;
  svg += row_label("pairs", y + 15);
  size_t at = 0;
  for (const long token : s.tokens) {
    const size_t end = at + static_cast<size_t>(bpe.length(token));
    svg += box(edges[at], y, edges[end] - edges[at], token, token < bpe.units() ? "#c9ced4" : colour_of(token));
    at = end;
  }
  y += kStrip + 4;
  for (int tenth = 0; tenth <= static_cast<int>(10 * seconds + 1e-6); ++tenth)
    svg += fmt::format("<text class='tick' x='{:.1f}' y='{}' text-anchor='middle'>{:.1f}</text>",
                       kLeft + 0.1 * tenth * scale, y + 11, 0.1 * tenth);
  svg += fmt::format("<text class='tick' x='{}' y='{}' text-anchor='end'>seconds</text>", kLeft - 14, y + 11);
  return {svg, s.title, kWidth, y + 16};
}

}  // namespace

Sounding sounding_of(Context<B>& ctx, const Utterance& recording, int rate, const UnitRuns& runs,
                     const std::vector<long>& tokens) {
  ctx.infer();
  Sounding s{
      .title = fmt::format("\"{}\", said by {}", recording.transcript.empty() ? recording.label : recording.transcript,
                           recording.speaker.empty() ? "an unknown speaker" : recording.speaker),
      .samples = read_audio(recording.path, {.rate = rate}).samples,
      .rate = rate,
      .mel = {},
      .bands = 40,
      .runs = runs,
      .tokens = tokens};
  const KaldiFbank<B> fbank(ctx, {.sample_rate = static_cast<double>(rate), .bands = s.bands});
  const auto n = static_cast<long>(s.samples.size());
  const Sequence<B> y = fbank(waveform_of(ctx, s.samples, {n}, n, rate));
  s.mel = values_of(y.frames);
  s.frame_rate = y.rate;
  return s;
}

std::string words_picture(const std::vector<Sounding>& soundings, const UnitBpe& bpe) {
  double seconds = 0.1;
  for (const Sounding& s : soundings) seconds = std::max(seconds, static_cast<double>(s.samples.size()) / s.rate);
  std::vector<std::vector<figures::Chart>> rows;
  rows.reserve(soundings.size());
  for (const Sounding& s : soundings) rows.push_back({chart_of(s, bpe, seconds)});
  return figures::file(rows);
}

std::string sweep_picture(const json& table, const std::string& chosen) {
  constexpr const char* colours[] = {"#9aa3ad", "#5b8def", "#1f4fa3", "#e0a458", "#d9622b", "#a32a1f"};
  // One line per kind of features.
  const auto by_kind = [&](const char* title, const char* label, const char* key, bool legend) {
    std::vector<figures::Line> lines;
    for (const FeatureKind& kind : feature_kinds()) {
      figures::Line line{legend ? kind.name : "", {}, {}, colours[lines.size()], !kind.slopes, true};
      for (const json& row : table)
        if (row.at("features") == kind.key && row.at(key).is_number()) {
          line.x.push_back(row.at("clusters").get<double>());
          line.y.push_back(100 * row.at(key).get<double>());
        }
      lines.push_back(line);
    }
    return figures::line_chart({.title = title,
                                .x_label = "clusters",
                                .y_label = label,
                                .log_x = true,
                                .zero_y = true,
                                .legend = figures::Axes::Legend::bottom_right},
                               lines);
  };
  std::vector<figures::Line> rates;
  const auto rate = [&](const char* name, const char* colour, const std::vector<const char*>& parts) {
    figures::Line line{name, {}, {}, colour, false, true};
    for (const json& row : table)
      if (row.at("features") == chosen) {
        double bits = 0;
        for (const char* part : parts) bits += row.at("rates").at(part).at("coded_bits").get<double>();
        line.x.push_back(row.at("clusters").get<double>());
        line.y.push_back(bits);
      }
    rates.push_back(line);
  };
  rate("every frame", "#6a6f76", {"frames"});
  rate("runs and durations", "#2a78c8", {"runs", "durations"});
  rate("runs alone", "#3a9a5b", {"runs"});
  rate("pairs of runs", "#d9622b", {"tokens"});
  const auto cost = figures::line_chart({.title = "What they cost",
                                         .x_label = "clusters of " + feature_kind(chosen).name,
                                         .y_label = "bits per second, entropy-coded",
                                         .log_x = true,
                                         .zero_y = true,
                                         .legend = figures::Axes::Legend::bottom_right},
                                        rates);
  if (std::none_of(table.begin(), table.end(), [](const json& row) { return row.at("words").is_number(); }))
    return figures::file({{cost}});
  return figures::file({{by_kind("What units know of words, unheard speakers", "PNMI (%)", "words", true),
                         by_kind("What units know of speakers, all of them", "PNMI (%)", "speakers", false)},
                        {by_kind("ABX over words across unheard speakers", "error (%)", "abx", false), cost}});
}
