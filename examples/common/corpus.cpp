#include "common/corpus.hpp"

#include <algorithm>
#include <filesystem>
#include <map>

using namespace phonaut;
namespace fs = std::filesystem;

namespace {

/// The folder of shipped data, beside the sources or where it was installed.
fs::path shipped() { return PHONAUT_EXAMPLE_DATA; }

std::string resolve(const std::string& data) {
  if (fs::exists(data)) return data;
  std::string known;
  if (fs::is_directory(shipped()))
    for (const auto& entry : fs::directory_iterator(shipped())) {
      const std::string name = entry.path().filename().string();
      if (!fs::exists(entry.path() / "manifest.tsv")) continue;
      // "bengali" is short for "bengali_alphabet".
      if (name == data || name.rfind(data + "_", 0) == 0) return entry.path().string();
      known += (known.empty() ? "" : ", ") + name;
    }
  throw FileError("data: there is no file or folder '" + data + "', and no shipped set of that name (there are " +
                  known + ")");
}

}  // namespace

Corpus load_corpus(const std::string& data) {
  Corpus corpus;
  const fs::path where = resolve(data);
  corpus.name =
      where.filename() == "manifest.tsv" ? where.parent_path().filename().string() : where.filename().string();
  corpus.all = read_manifest(where.string());
  const auto has = [&](const char* split) {
    return std::any_of(corpus.all.begin(), corpus.all.end(), [&](const Utterance& u) { return u.split == split; });
  };
  if (!has("train") || !has("test")) {
    std::map<std::string, int> speakers;
    for (const auto& u : corpus.all) ++speakers[u.speaker];
    if (speakers.size() >= 3) speaker_disjoint_split(corpus.all);
    else recording_split(corpus.all);
  }
  corpus.speakers_disjoint = speakers_in_two_splits(corpus.all).empty();
  if (!corpus.speakers_disjoint) {
    // Valid often shares its speakers with train; what counts is that test does not.
    auto outer = corpus.all;
    std::erase_if(outer, [](const Utterance& u) { return u.split == "valid"; });
    corpus.speakers_disjoint = speakers_in_two_splits(outer).empty();
  }
  std::map<int, int> rates;
  for (const auto& u : corpus.all)
    if (u.rate > 0) ++rates[u.rate];
  const auto common =
      std::max_element(rates.begin(), rates.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  // A multiple of 800 Hz makes whole samples of every hop and window.
  corpus.rate = common == rates.end() ? 16000 : std::min(16000, std::max(8000, common->first / 800 * 800));
  if (corpus.rate != 8000) corpus.rate = 16000;
  return corpus;
}

DataLoader in_order(const std::vector<Utterance>& utterances, int rate) {
  return DataLoader(utterances, {.rate = rate,
                                 .min_seconds = 0.14,  // as in training
                                 .max_seconds = 3600,
                                 .cut_seconds = 8,
                                 .random_cuts = false,
                                 .batch_seconds = 16,
                                 .shuffle = false,
                                 .epochs = 1,
                                 .prefetch = 0});
}
