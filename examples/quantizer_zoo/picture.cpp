#include "picture.hpp"

#include <algorithm>
#include <map>

#include "common/figures.hpp"

using nlohmann::json;

namespace {

/// Colours that go on being told apart; lines of later rounds are dashed.
constexpr const char* kColours[] = {"#2a78c8", "#d9622b", "#3a9a5b", "#9356b5", "#c2a11a",
                                    "#d14a7b", "#2aa5a5", "#7a6a58", "#8fb339", "#e08fc0"};
constexpr size_t kRound = std::size(kColours);

}  // namespace

std::string zoo_picture(const json& table, const GaussianBound& bound) {
  std::vector<figures::Line> lines;
  std::map<std::string, size_t> of_family;
  std::vector<std::pair<std::string, json>> largest;  // by name of the quantizer
  for (const json& row : table) {
    const auto family = row.at("family").get<std::string>(), name = row.at("name").get<std::string>();
    const auto known = std::find_if(largest.begin(), largest.end(), [&](const auto& l) { return l.first == name; });
    if (known == largest.end()) largest.emplace_back(name, row);
    else if (row.at("bits") > known->second.at("bits")) known->second = row;
    if (!row.at("snr").is_number()) continue;
    if (of_family.emplace(family, lines.size()).second)
      lines.push_back({family, {}, {}, kColours[lines.size() % kRound], lines.size() >= kRound, true});
    figures::Line& line = lines[of_family[family]];
    line.x.push_back(row.at("bits").get<double>());
    line.y.push_back(row.at("snr").get<double>());
  }
  lines.push_back({"Gaussian bound", bound.bits, bound.snr, "#9aa3ad", true, false});
  constexpr double row_height = 17, names = 200;
  std::vector<figures::Bar> usage, time;
  for (const auto& [name, row] : largest) {
    const auto family = of_family.find(row.at("family").get<std::string>());
    const char* colour = family == of_family.end() ? "#6a6f76" : kColours[family->second % kRound];
    const double perplexity = 100 * row.at("perplexity").get<double>(), micro = row.at("microseconds").get<double>();
    // Of more entries than frames no share can be told.
    if (row.at("entries").get<double>() <= row.at("frames").get<double>() / 4)
      usage.push_back({name, perplexity, perplexity, perplexity, colour});
    time.push_back({name, micro, micro, micro, colour});
  }
  const auto used = figures::bar_chart({"Perplexity, % of the entries", names, row_height}, usage);
  const auto timed = figures::bar_chart({"Microseconds to encode a frame, one thread", names, row_height, true}, time);
  const auto rates = figures::line_chart({.title = "Rate and distortion, speakers unheard in training",
                                          .x_label = "bits per frame",
                                          .y_label = "signal to noise (dB)",
                                          .log_x = true,
                                          .legend = figures::Axes::Legend::top_left,
                                          .width = 2 * used.width + 12,
                                          .height = 520},
                                         lines);
  return figures::file({{rates}, {used, timed}});
}
