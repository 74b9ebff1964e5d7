// Units of speech without labels: cepstra, clusters of their frames, runs of clusters, frequent pairs of runs. What do
// they know, and what do they cost?
//
//   unit_discovery discover --out units            every kind of features and several numbers of clusters, on shipped
//   digits unit_discovery encode --units units a.wav b.wav   the units of recordings, as lines that GSLM reads
//
// `discover` writes results.json, sweep.svg and words.svg, and, of one kind of features and number of clusters, the
// means (means.safetensors), the units of both halves of the speakers (heard.km, unheard.km and with names
// unheard.txt), the pairs (bpe.txt) and the recordings written with them (tokens.txt).
//
// Exit status: 0 done, 1 an error (one sentence on standard error), 2 wrong usage.
#include <fmt/format.h>
#include <phonaut/io/atomic_file.hpp>
#include <phonaut/io/audio.hpp>
#include <phonaut/io/unit_bpe.hpp>
#include <phonaut/io/unit_lines.hpp>

#include <CLI/CLI.hpp>
#include <chrono>
#include <iostream>

#include "common/computing.hpp"
#include "common/corpus.hpp"
#include "measures.hpp"
#include "pictures.hpp"

using namespace phonaut;
using nlohmann::json;
namespace fs = std::filesystem;

namespace {

struct Options {
  std::string data = "fsdd_digits", out = "units", features = "deltas-cmvn", word;
  std::vector<long> clusters = {25, 50, 100, 200};
  long chosen = 50, merges = 200, passes = 10, takes = 10;
  std::uint64_t seed = 1;
  int threads = 0;
  bool quick = false, tokens = false;
  std::string units;
  std::vector<std::string> inputs;
};

/// Everything that is told about one kind of features and one number of clusters.
json measured(const Options& o, const Material& material, const WordPairs& pairs, const FeatureKind& kind,
              long clusters, const Units& units, const Tokens& tokens) {
  json row{{"features", kind.key}, {"clusters", clusters}, {"merges", tokens.bpe.merges().size()}};
  for (const char* key :
       {"words", "words_heard", "label_purity", "unit_purity", "v_measure", "token_words", "nearest", "abx"})
    row[key] = nullptr;
  const ClusterQuality speakers = speaker_quality(material, units);
  row["speakers"] = speakers.pnmi;
  row["perplexity"] = speakers.unit_perplexity;
  row["rates"] = rates_of(material, units, tokens, clusters);
  if (material.words < 2) return row;
  const ClusterQuality words = word_quality(material, units, material.unheard);
  row["words"] = words.pnmi;
  row["words_heard"] = word_quality(material, units, material.heard).pnmi;
  row["label_purity"] = words.label_purity;
  row["unit_purity"] = words.unit_purity;
  row["v_measure"] = words.v_measure;
  row["token_words"] = token_quality(material, tokens).pnmi;
  if (o.takes > 0 && !pairs.templates.empty() && !pairs.asked.empty()) {
    row["nearest"] = nearest_word(material, tokens, pairs);
    if (material.unheard_speakers.size() > 1) row["abx"] = abx_of_runs(material, tokens, clusters, pairs);
  }
  return row;
}

/// A number of a row as a percentage; a dash where there is none.
std::string percent(const json& row, const char* key) {
  return row.at(key).is_number() ? fmt::format("{:.1f}", 100 * row.at(key).get<double>()) : "-";
}

void print_head() {
  fmt::print("{:36} {:>5} {:>6} {:>6} {:>6} {:>7} {:>6} {:>6} {:>7} {:>7} {:>6} {:>6} {:>7}\n", "", "", "words",
             "words", "purity", "speaker", "ABX", "right", "frames", "runs", "runs", "pairs", "pairs");
  fmt::print("{:36} {:>5} {:>6} {:>6} {:>6} {:>7} {:>6} {:>6} {:>7} {:>7} {:>6} {:>6} {:>7}\n", "features", "units",
             "PNMI", "heard", "", "PNMI", "error", "word", "bit/s", "/s", "bit/s", "/s", "bit/s");
}
void print_row(const FeatureKind& kind, const json& row) {
  const json& rates = row.at("rates");
  const auto number = [&](const char* stream, const char* key) { return rates.at(stream).at(key).get<double>(); };
  fmt::print("{:36} {:>5} {:>6} {:>6} {:>6} {:>7} {:>6} {:>6} {:>7.0f} {:>7.1f} {:>6.0f} {:>6.1f} {:>7.0f}\n",
             kind.name, row.at("clusters").get<long>(), percent(row, "words"), percent(row, "words_heard"),
             percent(row, "label_purity"), percent(row, "speakers"), percent(row, "abx"), percent(row, "nearest"),
             number("frames", "coded_bits"), number("runs", "per_second"), number("runs", "coded_bits"),
             number("tokens", "per_second"), number("tokens", "coded_bits"));
  std::fflush(stdout);
}

/// Name of a recording in GSLM's lines; `|` ends it there.
std::string line_name(const std::string& path) {
  std::string name = fs::path(path).stem().string();
  for (char& c : name)
    if (c == '|' || c == '\n' || c == '\r') c = '_';
  return name;
}

/// The files of the chosen units.
void write_units_of(const Options& o, const Material& material, const UnitModel& model, const Units& units,
                    const Tokens& tokens) {
  const fs::path out = o.out;
  model.save(out / "means.safetensors");
  write_unit_bpe((out / "bpe.txt").string(), tokens.bpe);
  std::vector<UnitLine> heard, unheard, runs, written;
  for (const size_t i : material.heard) heard.push_back({"", units[i]});
  for (const size_t i : material.unheard) {
    const std::string name = line_name(material.recordings[i].path);
    unheard.push_back({"", units[i]});
    runs.push_back({name, tokens.runs[i].units});
    written.push_back({name, tokens.encoded[i]});
  }
  write_units((out / "heard.km").string(), heard, UnitFormat::km);
  write_units((out / "unheard.km").string(), unheard, UnitFormat::km);
  write_units((out / "unheard.txt").string(), runs, UnitFormat::gslm);
  write_units((out / "tokens.txt").string(), written, UnitFormat::gslm);
}

/// The first recording of `word` (the first word if empty) by each of two unheard speakers; of one, if there is no
/// other.
std::vector<size_t> to_look_at(const Material& material, const std::string& word) {
  std::vector<size_t> chosen;
  for (const size_t i : material.unheard) {
    const Utterance &u = material.recordings[i], *first = chosen.empty() ? nullptr : &material.recordings[chosen[0]];
    const bool fits = first ? u.label == first->label && u.speaker != first->speaker : word.empty() || u.label == word;
    if (fits) chosen.push_back(i);
    if (chosen.size() == 2) break;
  }
  if (chosen.empty()) throw ConfigError(concat("words: no unheard speaker says '", word, "'"));
  return chosen;
}

int discover(const Options& o) {
  const auto start = std::chrono::steady_clock::now();
  feature_kind(o.features);  // throws before anything is computed
  Context<B> ctx;
  use_threads(ctx, o.threads);
  const Material material = material_of(ctx, o.data);
  const WordPairs pairs = word_pairs(material, o.takes);
  const int rate = load_corpus(o.data).rate;
  const std::string about = fmt::format(
      "{} recordings of {} words by {} speakers; learned from {}, asked about {} of {}, unheard{}",
      material.recordings.size(), material.words, material.speakers, material.heard.size(), material.unheard.size(),
      fmt::join(material.unheard_speakers, ", "),
      material.held_out.empty() ? "" : fmt::format(" ({} taken out of the train split)", material.held_out));
  fmt::print("{}\n", about);
  fmt::print("Frames inherit the word of their recording: there is no alignment of phones.\n\n");
  print_head();
  std::vector<long> counts = o.clusters;
  if (std::find(counts.begin(), counts.end(), o.chosen) == counts.end()) counts.push_back(o.chosen);
  std::sort(counts.begin(), counts.end());
  fs::create_directories(o.out);
  json table = json::array(), frames_alone = json::object();
  for (const FeatureKind& kind : feature_kinds()) {
    const RecordedFrames frames = as_kind(kind, material.cepstra, material.recordings);
    if (material.words > 1 && material.unheard_speakers.size() > 1 && !pairs.asked.empty())
      frames_alone[kind.key] = abx_of_frames(material, frames, pairs);
    for (const long clusters : counts) {
      UnitModel model{kind.key, rate, frames.dim,
                      fit_clusters(ctx, frames, material.heard, clusters, o.passes, o.seed)};
      const Units units = units_of(ctx, frames, model.means);
      const Tokens tokens = tokens_of(material, units, clusters, o.merges);
      table.push_back(measured(o, material, pairs, kind, clusters, units, tokens));
      print_row(kind, table.back());
      if (kind.key != o.features || clusters != o.chosen) continue;
      write_units_of(o, material, model, units, tokens);
      std::vector<Sounding> soundings;
      for (const size_t i : to_look_at(material, o.word))
        soundings.push_back(sounding_of(ctx, material.recordings[i], rate, tokens.runs[i], tokens.encoded[i]));
      write_file((fs::path(o.out) / "words.svg").string(), words_picture(soundings, tokens.bpe));
    }
  }
  if (!frames_alone.empty()) {
    fmt::print("\nABX error of the frames themselves:");
    for (const FeatureKind& kind : feature_kinds())
      fmt::print(" {} {:.1f} %{}", kind.key, 100 * frames_alone[kind.key].get<double>(),
                 &kind == &feature_kinds().back() ? "\n" : ",");
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const json results{{"about", about},
                     {"data", o.data},
                     {"held_out", material.held_out},
                     {"unheard", material.unheard_speakers},
                     {"chosen", {{"features", o.features}, {"clusters", o.chosen}, {"merges", o.merges}}},
                     {"seed", o.seed},
                     {"seconds", seconds},
                     {"abx_of_frames", frames_alone},
                     {"table", table}};
  write_file((fs::path(o.out) / "results.json").string(), results.dump(1) + "\n");
  write_file((fs::path(o.out) / "sweep.svg").string(), sweep_picture(table, o.features));
  fmt::print("\n{:.0f} s; {} has the numbers, the pictures, and the units of '{}' with {} clusters\n", seconds, o.out,
             o.features, o.chosen);
  return 0;
}

int encode(const Options& o) {
  const UnitModel model = UnitModel::load(fs::path(o.units) / "means.safetensors");
  Context<B> ctx;
  use_threads(ctx, o.threads);
  std::vector<Utterance> recordings(o.inputs.size());
  for (size_t i = 0; i < o.inputs.size(); ++i) {
    recordings[i].path = o.inputs[i];
    audio_info(o.inputs[i]);  // throws where a loader would leave the recording out
  }
  const RecordedFrames frames =
      as_kind(feature_kind(model.features), cepstra_of(ctx, recordings, model.rate), recordings);
  const Units units = units_of(ctx, frames, model.means);
  std::optional<UnitBpe> bpe;
  if (o.tokens) bpe = read_unit_bpe((fs::path(o.units) / "bpe.txt").string());
  for (size_t i = 0; i < units.size(); ++i) {
    const std::vector<long> runs = joined_runs(units[i]).units;
    fmt::print("{}|{}\n", line_name(o.inputs[i]), fmt::join(bpe ? bpe->encode(runs) : runs, " "));
  }
  return 0;
}

/// The tiny budget; what was asked for by name stays.
void apply_quick(const CLI::App& app, Options& o) {
  if (!o.quick) return;
  if (app.count("--clusters") == 0) o.clusters = {8, 16};
  if (app.count("--chosen") == 0) o.chosen = 16;
  if (app.count("--merges") == 0) o.merges = 20;
  if (app.count("--passes") == 0) o.passes = 2;
  if (app.count("--takes") == 0) o.takes = 2;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app(
      "Units of speech without labels: clusters of cepstra, their runs, frequent pairs; what they know and cost");
  app.require_subcommand(1);
  int status = 0;

  auto* d = app.add_subcommand("discover", "cluster speech, and measure the units");
  d->add_option("--data", o.data, "a shipped set, a manifest or a folder; words are its labels")->capture_default_str();
  d->add_option("--out", o.out, "folder for what is written")->capture_default_str();
  d->add_option("--clusters", o.clusters, "numbers of clusters")->capture_default_str()->check(CLI::PositiveNumber);
  d->add_option("--features", o.features, "whose units are written: mfcc or deltas, alone or with -cmn or -cmvn")
      ->capture_default_str();
  d->add_option("--chosen", o.chosen, "number of clusters of the units that are written")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  d->add_option("--merges", o.merges, "pairs that become units")->capture_default_str()->check(CLI::NonNegativeNumber);
  d->add_option("--passes", o.passes, "of k-means over the frames")->capture_default_str()->check(CLI::PositiveNumber);
  d->add_option("--takes", o.takes, "recordings of each word by each speaker that are compared as wholes; 0: none")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  d->add_option("--word", o.word, "label of the word in the picture; without it: the first one");
  d->add_option("--seed", o.seed)->capture_default_str();
  add_device_option(*d);
  add_threads_option(*d, o.threads);
  d->add_flag("--quick", o.quick, "few clusters, to see that everything works; the numbers mean nothing");
  d->callback([&] { apply_quick(*d, o), status = discover(o); });

  auto* e = app.add_subcommand("encode", "units of recordings of one speaker, as lines `name|3 1 2`");
  e->add_option("--units", o.units, "a folder that `discover` wrote into")->required();
  e->add_flag("--tokens", o.tokens, "pairs instead of units");
  add_device_option(*e);
  add_threads_option(*e, o.threads);
  e->add_option("recordings", o.inputs, "sound files")->required();
  e->callback([&] { status = encode(o); });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "unit_discovery: {}\n", error.what());
    return 1;
  }
  return status;
}
