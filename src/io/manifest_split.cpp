// Splits of a manifest: by speaker, by recording.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <set>

#include "phonaut/core/error.hpp"
#include "phonaut/io/manifest.hpp"

namespace phonaut {
namespace {

/// A number for a name: FNV-1a, then the finaliser of SplitMix64, so that similar names are far apart. Written out
/// here because a split must be the same with every standard library.
std::uint64_t hash(std::string_view name, std::uint64_t seed) {
  std::uint64_t h = 14695981039346656037ULL ^ (seed * 0x9E3779B97F4A7C15ULL);
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9ULL;
  h = (h ^ (h >> 27)) * 0x94D049BB133111EBULL;
  return h ^ (h >> 31);
}

/// Deals whole groups: in an order that `seed` decides, each goes to the split that lacks the largest share of what it
/// should have. All lack everything at first, so every split with a part gets one before any gets a second.
void split_by(std::span<Utterance> utterances, const SplitFractions& fractions, std::uint64_t seed, const char* kind,
              const std::function<std::string(const Utterance&)>& group_of) {
  struct Split {
    const char* name;
    double part;
    double weight = 0;
  };
  std::vector<Split> splits;
  const double parts[] = {fractions.train, fractions.valid, fractions.test};
  const char* const names[] = {"train", "valid", "test"};
  double sum = 0;
  for (int i = 0; i < 3; ++i) {
    if (!(parts[i] >= 0) || !std::isfinite(parts[i]))
      throw ConfigError(concat("split: the part of ", names[i], " is ", parts[i], ", but it must be at least 0"));
    if (parts[i] > 0) splits.push_back({names[i], parts[i]});
    sum += parts[i];
  }
  if (splits.empty()) throw ConfigError("split: the parts of train, valid and test are all 0");
  for (auto& split : splits) split.part /= sum;

  const bool timed = std::all_of(utterances.begin(), utterances.end(), [](const auto& u) { return u.seconds > 0; });
  std::map<std::string, double> weights;
  double total = 0;
  for (const auto& u : utterances) {
    weights[group_of(u)] += timed ? u.seconds : 1;
    total += timed ? u.seconds : 1;
  }
  if (weights.size() < splits.size())
    throw ConfigError(concat("split: ", splits.size(), " splits are asked for, but the manifest has only ",
                             weights.size(), " ", kind, weights.size() == 1 ? "" : "s"));
  std::vector<std::pair<std::uint64_t, std::string>> order;
  order.reserve(weights.size());
  for (const auto& [name, weight] : weights) order.emplace_back(hash(name, seed), name);
  std::sort(order.begin(), order.end());

  std::map<std::string, const char*> choice;
  for (const auto& [key, name] : order) {
    Split* neediest = &splits[0];
    const auto lack = [&](const Split& split) { return 1 - split.weight / (split.part * total); };
    for (auto& split : splits)
      if (lack(split) > lack(*neediest)) neediest = &split;
    neediest->weight += weights[name];
    choice[name] = neediest->name;
  }
  for (auto& u : utterances) u.split = choice[group_of(u)];
}

}  // namespace

void speaker_disjoint_split(std::span<Utterance> utterances, const SplitFractions& fractions, std::uint64_t seed) {
  split_by(utterances, fractions, seed, "speaker", [](const Utterance& u) { return u.speaker; });
}

void recording_split(std::span<Utterance> utterances, const SplitFractions& fractions, std::uint64_t seed) {
  split_by(utterances, fractions, seed, "recording",
           [](const Utterance& u) { return std::filesystem::path(u.path).filename().string(); });
}

std::vector<Utterance> in_split(std::span<const Utterance> utterances, std::string_view split) {
  std::vector<Utterance> chosen;
  for (const auto& u : utterances)
    if (u.split == split) chosen.push_back(u);
  return chosen;
}

std::vector<std::string> speakers_in_two_splits(std::span<const Utterance> utterances) {
  std::map<std::string, std::set<std::string>> heard;
  for (const auto& u : utterances)
    if (!u.speaker.empty()) heard[u.speaker].insert(u.split);
  std::vector<std::string> speakers;
  for (const auto& [speaker, splits] : heard)
    if (splits.size() > 1) speakers.push_back(speaker);
  return speakers;
}

}  // namespace phonaut
