#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "common/figures.hpp"
#include "phonaut/io/atomic_file.hpp"

using figures::escaped;
using nlohmann::json;

namespace {

const std::map<std::string, std::string> kColours = {
    {"sigreg", "#2a78c8"}, {"kl", "#d9622b"}, {"none", "#6a6f76"}, {"rvq", "#3a9a5b"}, {"fsq", "#9356b5"}};

std::string colour(const std::string& bottleneck) {
  const auto found = kColours.find(bottleneck);
  return found == kColours.end() ? "#444" : found->second;
}

struct Metric {
  const char *key, *name, *better;
};
/// The rows of the comparison: key, what a person reads, and which way is better.
constexpr Metric kMetrics[] = {
    {"mel_distance", "mel distance, test", "lower"},
    {"log_spectral_distance", "log-spectral distance, test", "lower"},
    {"si_sdr", "SI-SDR (dB), test; the mel loss leaves phases free", "higher"},
    {"digit_probe", "class: linear probe, unseen speaker (%)", "higher"},
    {"digit_knn", "class: k-NN, unseen speaker (%)", "higher"},
    {"speaker_probe", "speaker: linear probe (%)", "higher"},
    {"speaker_knn", "speaker: k-NN (%)", "higher"},
    {"effective_rank", "effective rank (RankMe)", "higher"},
    {"normality_statistic", "distance from N(0, I) (SIGReg statistic / N)", "lower"},
    {"skewness", "latent skewness, mean |·|", "near 0"},
    {"excess_kurtosis", "latent excess kurtosis, mean |·|", "near 0"},
    {"bitrate", "bits per second", ""},
    {"codebook_usage", "codes in use (%)", "higher"},
    {"parameters", "parameters", "lower"},
    {"seconds_per_step", "seconds per step", "lower"},
    {"peak_mb", "peak memory of tensors (MB)", "lower"},
};

/// Bottlenecks in the order of their first run.
std::vector<std::string> bottlenecks(const std::vector<Run>& runs) {
  std::vector<std::string> names;
  for (const Run& run : runs)
    if (std::find(names.begin(), names.end(), run.bottleneck) == names.end()) names.push_back(run.bottleneck);
  return names;
}

std::vector<double> numbers(const json& list) {
  std::vector<double> values;
  for (const json& v : list) values.push_back(v.is_number() ? v.get<double>() : NAN);
  return values;
}

std::string audio(const std::filesystem::path& wav) {
  std::ifstream file(wav, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  return "<audio controls preload='none' src='data:audio/wav;base64," + figures::base64(bytes) + "'></audio>";
}

std::string spectrogram(const std::vector<float>& mel, int mels, double low, double high) {
  const int frames = mels > 0 ? static_cast<int>(mel.size()) / mels : 0;
  if (frames == 0) return "";
  return fmt::format("<img class='mel' alt='log-mel spectrogram' src='{}'>",
                     figures::heat_map(mel, frames, mels, low, high));
}

std::string figure_html(const figures::Chart& chart, const std::string& caption) {
  return fmt::format("<figure>{}<figcaption>{}</figcaption></figure>", figures::element(chart), escaped(caption));
}

std::string comparison_table(const json& summary, const json& baseline, const std::vector<std::string>& names) {
  std::string html = "<table><thead><tr><th>measured on held-out speech</th><th>better</th>";
  for (const auto& name : names) html += fmt::format("<th style='color:{}'>{}</th>", colour(name), escaped(name));
  html += "<th>mean frame</th></tr></thead><tbody>";
  for (const Metric& metric : kMetrics) {
    bool any = false;
    std::string cells;
    for (const auto& name : names) {
      const json& all = summary.at(name);
      if (all.contains(metric.key) && all.at(metric.key).at("mean").is_number()) {
        const json& s = all.at(metric.key);
        any = true;
        const double mean = s.at("mean").get<double>();
        cells += mean >= 1e5 ? fmt::format("<td>{:.3f} M</td>", mean / 1e6)
                             : fmt::format("<td>{:.4g} <span class='spread'>± {:.2g}</span></td>", mean,
                                           s.at("deviation").get<double>());
      } else {
        cells += "<td class='absent'>–</td>";
      }
    }
    if (!any) continue;
    const bool known = baseline.is_object() && baseline.contains(metric.key) && baseline.at(metric.key).is_number();
    html +=
        fmt::format("<tr><td>{}</td><td class='spread'>{}</td>{}<td>{}</td></tr>", escaped(metric.name), metric.better,
                    cells, known ? fmt::format("{:.4g}", baseline.at(metric.key).get<double>()) : "–");
  }
  return html + "</tbody></table>";
}

/// SIGReg against KL in words: who is ahead where, and whether by more than the seeds differ among themselves.
std::string verdict(const json& summary) {
  if (!summary.contains("sigreg") || !summary.contains("kl")) return "";
  std::string html = "<ul class='verdict'>";
  for (const auto& [key, what, digits] : {std::tuple{"mel_distance", "Reconstruction (mel distance)", 3},
                                          {"log_spectral_distance", "Reconstruction (log-spectral distance)", 3},
                                          {"digit_probe", "What the latents know (class, linear probe, %)", 1},
                                          {"effective_rank", "How many directions the latents use (effective rank)", 1},
                                          {"normality_statistic", "How far the latents are from N(0, I)", 3}}) {
    const json &ours = summary.at("sigreg"), &theirs = summary.at("kl");
    if (!ours.contains(key) || !theirs.contains(key)) continue;
    const auto number = [name = key](const json& of, const char* field) { return of.at(name).at(field).get<double>(); };
    const bool lower_is_better =
        std::string(key).find("distance") != std::string::npos || std::string(key) == "normality_statistic";
    const double sigreg = number(ours, "mean"), kl = number(theirs, "mean");
    const bool ahead = lower_is_better ? sigreg < kl : sigreg > kl;
    const bool apart =
        number(ours, "greatest") < number(theirs, "least") || number(theirs, "greatest") < number(ours, "least");
    html +=
        fmt::format("<li>{}: {:.{}f} with SIGReg, {:.{}f} with KL: <b>{}</b>.</li>", what, sigreg, digits, kl, digits,
                    !apart  ? "the seeds overlap"
                    : ahead ? "SIGReg is ahead in every seed"
                            : "KL is ahead in every seed");
  }
  return html + "</ul>";
}

std::string facts(const json& about) {
  std::string html = "<dl>";
  for (const auto& [key, value] : about.items())
    html += fmt::format("<dt>{}</dt><dd>{}</dd>", escaped(key),
                        escaped(value.is_string() ? value.get<std::string>() : value.dump()));
  return html + "</dl>";
}

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ink:#1c2026;--soft:#667;--line:#d7dbe0;--page:#fbfbfa;--card:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e7e9ec;--soft:#9aa3ad;--line:#39404a;--page:#14171b;--card:#1c2026}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0 auto;max-width:1080px;padding:28px 20px 80px}
h1{font-size:30px;margin:0 0 4px}h2{margin:44px 0 10px;font-size:21px}p.lead{font-size:18px;color:var(--soft);margin:0 0 18px;max-width:70ch}
table{border-collapse:collapse;width:100%;font-size:14.5px;background:var(--card)}th,td{padding:6px 10px;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal}th{font-weight:600}.spread,.absent{color:var(--soft);font-size:.88em}
.grid{stroke:var(--line);stroke-width:.7}.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(440px,1fr));gap:14px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px}figcaption{font-size:13.5px;color:var(--soft);margin-top:4px}
svg{width:100%;height:auto}svg .title{font-size:14px;font-weight:600;fill:var(--ink)}svg .tick{font-size:10.5px;fill:var(--soft)}svg .label{font-size:11.5px;fill:var(--soft)}
svg .whisker{stroke:var(--ink);stroke-width:1.6}.listen{display:grid;grid-template-columns:110px repeat(auto-fit,minmax(150px,1fr));gap:10px;align-items:end;margin:14px 0;border-bottom:1px solid var(--line);padding-bottom:12px}
.listen .who{font-size:14px;align-self:center}.listen audio{width:100%;height:32px}img.mel{width:100%;height:84px;image-rendering:pixelated;border-radius:4px;display:block;margin-bottom:4px}
.listen small{color:var(--soft)}dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;font-size:14px}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}ul.verdict{margin:0 0 20px;padding-left:20px}
)";

}  // namespace

json Report::summary() const {
  json all = json::object();
  for (const auto& name : bottlenecks(runs)) {
    std::map<std::string, std::vector<double>> values;
    for (const Run& run : runs) {
      if (run.bottleneck != name) continue;
      for (const json* source : {&run.metrics, &run.training})
        for (const auto& [key, value] : source->items())
          if (value.is_number()) values[key].push_back(value.get<double>());
    }
    json& mine = all[name] = json::object();
    for (const auto& [key, list] : values) {
      double mean = 0, square = 0;
      for (double v : list) mean += v / static_cast<double>(list.size());
      for (double v : list) square += (v - mean) * (v - mean);
      const double deviation = list.size() > 1 ? std::sqrt(square / static_cast<double>(list.size() - 1)) : 0;
      const auto [least, greatest] = std::minmax_element(list.begin(), list.end());
      mine[key] = {
          {"mean", mean}, {"deviation", deviation}, {"least", *least}, {"greatest", *greatest}, {"seeds", list.size()}};
    }
  }
  return all;
}

void Report::write(const std::filesystem::path& folder) const {
  const auto names = bottlenecks(runs);
  const json totals = summary();

  json out = {{"about", about}, {"baseline", baseline}, {"summary", totals}, {"runs", json::array()}};
  for (const Run& run : runs) {
    json files = json::array();
    for (const Listening& l : run.examples)
      files.push_back({{"label", l.label},
                       {"speaker", l.speaker},
                       {"original", l.original.filename().string()},
                       {"reconstructed", std::filesystem::relative(l.reconstructed, folder).string()}});
    out["runs"].push_back({{"bottleneck", run.bottleneck},
                           {"seed", run.seed},
                           {"metrics", run.metrics},
                           {"training", run.training},
                           {"curves", run.curves},
                           {"covariance_spectrum", run.spectrum},
                           {"examples", files}});
  }
  phonaut::write_file((folder / "report.json").string(), out.dump(1) + "\n");

  std::string html =
      "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>";
  html +=
      "<title>phonaut: continuous-latent speech autoencoder</title><style>" + std::string(kStyle) + "</style><body>";
  html +=
      "<h1>Can SIGReg replace KL?</h1><p class='lead'>A continuous-latent speech autoencoder, trained from nothing on "
      "real "
      "speech with the same budget for every bottleneck. Numbers are means over seeds ± their standard deviation.</p>";
  html += verdict(totals) + "<div class='scroll'>" + comparison_table(totals, baseline, names) + "</div>";

  html += "<h2>At a glance</h2><div class='figures'>";
  for (const auto& [key, title] : {std::pair{"mel_distance", "Mel distance (lower is better)"},
                                   {"digit_probe", "Class, linear probe on an unseen speaker (%)"},
                                   {"effective_rank", "Effective rank of the latents"},
                                   {"normality_statistic", "Distance from N(0, I)"}}) {
    std::vector<figures::Bar> bars;
    for (const auto& name : names)
      if (totals.at(name).contains(key)) {
        const json& s = totals.at(name).at(key);
        bars.push_back({name, s.at("mean"), s.at("least"), s.at("greatest"), colour(name)});
      }
    if (!bars.empty())
      html += figure_html(figures::bar_chart({title}, bars), "bar: mean over seeds; whisker: least to greatest");
  }
  html += "</div>";

  html += "<h2>Training</h2><div class='figures'>";
  for (const auto& [key, title] : {std::pair{"reconstruction", "Reconstruction loss"},
                                   {"semantic", "Masked latent prediction"},
                                   {"regulariser", "Regulariser (unweighted)"},
                                   {"validation", "Validation mel distance"}}) {
    std::vector<figures::Line> lines;
    std::set<std::string> named;
    for (const Run& run : runs) {
      if (!run.curves.contains(key) || run.curves.at(key).empty()) continue;
      const std::string steps = std::string(key) == "validation" ? "validation_step" : "step";
      lines.push_back({named.insert(run.bottleneck).second ? run.bottleneck : "", numbers(run.curves.at(steps)),
                       numbers(run.curves.at(key)), colour(run.bottleneck), false});
    }
    if (!lines.empty()) html += figure_html(figures::line_chart({title, "step", "", true}, lines), "one line per seed");
  }
  html += "</div>";

  html += "<h2>Latents</h2><div class='figures'>";
  {
    std::vector<figures::Line> spectra, histograms;
    std::set<std::string> named;
    for (const Run& run : runs) {
      const std::string name = named.insert(run.bottleneck).second ? run.bottleneck : "";
      figures::Line line{name, {}, {}, colour(run.bottleneck), false};
      double total = 0;
      for (double v : run.spectrum) total += v;
      for (size_t i = 0; i < run.spectrum.size(); ++i) {
        line.x.push_back(static_cast<double>(i + 1));
        line.y.push_back(run.spectrum[i] / std::max(total, 1e-30));
      }
      spectra.push_back(line);
      histograms.push_back({name, run.histogram_centres, run.histogram_density, colour(run.bottleneck), false});
    }
    figures::Line gauss{"N(0, 1)", {}, {}, "#999", true};
    for (int i = -40; i <= 40; ++i) {
      const double x = 0.1 * i;
      gauss.x.push_back(x);
      gauss.y.push_back(std::exp(-x * x / 2) / 2.5066282746);
    }
    histograms.push_back(gauss);
    html += figure_html(figures::line_chart({"Covariance spectrum", "dimension", "share of variance", true}, spectra),
                        "eigenvalues of the latent covariance over held-out frames; a flat line is an isotropic cloud");
    html +=
        figure_html(figures::line_chart(
                        {"Distribution of latent values", "value / standard deviation", "density", false}, histograms),
                    "all dimensions together, standardised per dimension, over held-out frames");
  }
  html += "</div>";

  // Listening: the first seed of each bottleneck, the same utterances side by side.
  html += "<h2>Listen</h2><p class='lead'>Held-out utterances: the recording, then what each model makes of it.</p>";
  std::vector<const Run*> heard;
  heard.reserve(names.size());
  for (const auto& name : names)
    heard.push_back(&*std::find_if(runs.begin(), runs.end(), [&](const Run& run) { return run.bottleneck == name; }));
  for (size_t i = 0; !heard.empty() && i < heard.front()->examples.size(); ++i) {
    const Listening& first = heard.front()->examples[i];
    const auto [low, high] = std::minmax_element(first.mel_original.begin(), first.mel_original.end());
    html += fmt::format(
        "<div class='listen'><div "
        "class='who'><b>{}</b><br><small>{}</small></div><div>{}<small>recording</small>{}</div>",
        escaped(first.label), escaped(first.speaker), spectrogram(first.mel_original, first.mels, *low, *high),
        audio(first.original));
    for (const Run* run : heard) {
      if (i >= run->examples.size()) continue;
      const Listening& l = run->examples[i];
      html += fmt::format("<div>{}<small style='color:{}'>{}</small>{}</div>",
                          spectrogram(l.mel_reconstructed, l.mels, *low, *high), colour(run->bottleneck),
                          escaped(run->bottleneck), audio(l.reconstructed));
    }
    html += "</div>";
  }

  html += "<h2>How it was made</h2>" + facts(about);
  html += "<p class='lead'>The same numbers are in report.json; the wav files lie beside it.</p></body></html>\n";
  phonaut::write_file((folder / "report.html").string(), html);
}
