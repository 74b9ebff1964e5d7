#include "measures.hpp"

#include <algorithm>
#include <map>
#include <phonaut/metrics/abx.hpp>
#include <phonaut/metrics/rate.hpp>
#include <phonaut/metrics/wer.hpp>
#include <set>

#include "common/coded_bits.hpp"
#include "common/corpus.hpp"

using namespace phonaut;

namespace {

constexpr long kLongestRun = 64;  // longer ones share a code: a second is 100 frames

/// Numbers for names, by their order.
std::map<std::string, long> numbered(const std::vector<Utterance>& all, std::string Utterance::*field) {
  std::map<std::string, long> numbers;
  for (const Utterance& u : all) numbers[u.*field] = 0;
  long next = 0;
  for (auto& [name, number] : numbers) number = next++;
  return numbers;
}

ClusterQuality quality(const Material& material, const Units& units, const std::vector<size_t>& which,
                       std::string Utterance::*field) {
  const auto numbers = numbered(material.recordings, field);
  std::vector<long> flat, labels;
  for (const size_t i : which) {
    flat.insert(flat.end(), units[i].begin(), units[i].end());
    labels.insert(labels.end(), units[i].size(), numbers.at(material.recordings[i].*field));
  }
  return cluster_quality(flat, labels);
}

/// How often each symbol of an alphabet occurs.
template <class Sequences>
std::vector<long> counted(const Sequences& all, const std::vector<size_t>& which, long alphabet) {
  std::vector<long> counts(static_cast<size_t>(alphabet), 0);
  for (const size_t i : which)
    for (const long symbol : all[i]) ++counts[static_cast<size_t>(symbol)];
  return counts;
}

/// Symbols per second, their bits at log2 of the alphabet, and behind a coder.
nlohmann::json stream(const std::vector<long>& seen, const std::vector<long>& coded, double seconds) {
  double count = 0;
  for (const long n : coded) count += static_cast<double>(n);
  const double rate = count / seconds, bits[] = {coded_bits(seen, coded)};
  const long entries[] = {static_cast<long>(seen.size())};
  return {{"per_second", rate}, {"bits", bit_rate(rate, entries)}, {"coded_bits", entropy_bit_rate(rate, bits)}};
}

double abx(const Material& material, const WordPairs& pairs, long dim,
           const std::function<std::vector<float>(size_t)>& frames) {
  std::vector<AbxItem> items;
  for (const size_t i : pairs.asked)
    items.push_back({frames(i), material.recordings[i].label, "", material.recordings[i].speaker});
  return abx_error(items, dim, AbxSpeakers::across);
}

}  // namespace

Material material_of(Context<B>& ctx, const std::string& data) {
  const Corpus corpus = load_corpus(data);
  Material m;
  std::set<std::string> heard, all;
  for (const Utterance& u : corpus.all) {
    all.insert(u.speaker);
    if (u.split == "train") heard.insert(u.speaker);
  }
  if (all.size() < heard.size() + 2 && heard.size() > 1) {
    m.held_out = *heard.rbegin();
    heard.erase(m.held_out);
  }
  if (all.size() < 2 || heard.empty() || heard.size() == all.size())
    throw ConfigError(concat("unit discovery: a speaker to learn from and another to ask are needed; ", corpus.name,
                             " has ", all.size(), ", of whom ", heard.size(), " are in the train split"));
  const RecordedFrames cepstra = cepstra_of(ctx, corpus.all, corpus.rate);
  m.cepstra = {cepstra.dim, cepstra.rate, {}};
  std::set<std::string> words;
  for (size_t i = 0; i < corpus.all.size(); ++i) {
    const Utterance& u = corpus.all[i];
    if (cepstra.length(i) == 0) continue;
    // What a heard speaker says outside of the train split is neither learned from nor measured.
    const bool is_heard = heard.count(u.speaker) > 0;
    if (is_heard && u.split != "train") continue;
    (is_heard ? m.heard : m.unheard).push_back(m.recordings.size());
    m.recordings.push_back(u);
    m.cepstra.of.push_back(cepstra.of[i]);
    if (!u.label.empty()) words.insert(u.label);
  }
  for (const std::string& speaker : all)
    if (heard.count(speaker) == 0) m.unheard_speakers.push_back(speaker);
  m.words = static_cast<long>(words.size());
  m.speakers = static_cast<long>(all.size());
  if (m.heard.empty() || m.unheard.empty())
    throw ConfigError(concat("unit discovery: of ", corpus.name, " ", m.heard.size(), " recordings of heard and ",
                             m.unheard.size(), " of unheard speakers can be read"));
  return m;
}

Tokens tokens_of(const Material& material, const Units& units, long clusters, long merges) {
  std::vector<UnitRuns> runs;
  runs.reserve(units.size());
  for (const auto& u : units) runs.push_back(joined_runs(u));
  std::vector<std::vector<long>> heard;
  heard.reserve(material.heard.size());
  for (const size_t i : material.heard) heard.push_back(runs[i].units);
  UnitBpe bpe = UnitBpe::train(heard, {.units = clusters, .merges = merges});
  std::vector<std::vector<long>> encoded;
  encoded.reserve(runs.size());
  for (const UnitRuns& r : runs) encoded.push_back(bpe.encode(r.units));
  return {std::move(bpe), std::move(runs), std::move(encoded)};
}

ClusterQuality word_quality(const Material& material, const Units& units, const std::vector<size_t>& which) {
  return quality(material, units, which, &Utterance::label);
}

ClusterQuality speaker_quality(const Material& material, const Units& units) {
  std::vector<size_t> all(units.size());
  for (size_t i = 0; i < all.size(); ++i) all[i] = i;
  return quality(material, units, all, &Utterance::speaker);
}

ClusterQuality token_quality(const Material& material, const Tokens& tokens) {
  Units spread(tokens.runs.size());
  for (size_t i = 0; i < spread.size(); ++i) {
    auto duration = tokens.runs[i].durations.begin();
    for (const long token : tokens.encoded[i])
      for (long run = tokens.bpe.length(token); run > 0; --run)
        spread[i].insert(spread[i].end(), static_cast<size_t>(*duration++), token);
  }
  return quality(material, spread, material.unheard, &Utterance::label);
}

nlohmann::json rates_of(const Material& material, const Units& units, const Tokens& tokens, long clusters) {
  double frames = 0;
  for (const size_t i : material.unheard) frames += static_cast<double>(units[i].size());
  const double seconds = frames / material.cepstra.rate;
  Units runs, durations;
  for (const UnitRuns& r : tokens.runs) {
    runs.push_back(r.units);
    auto& d = durations.emplace_back();
    for (const long length : r.durations) d.push_back(std::min(length, kLongestRun) - 1);
  }
  const auto of = [&](const auto& symbols, long alphabet) {
    return stream(counted(symbols, material.heard, alphabet), counted(symbols, material.unheard, alphabet), seconds);
  };
  return {{"frames", of(units, clusters)},
          {"runs", of(runs, clusters)},
          {"durations", of(durations, kLongestRun)},
          {"tokens", of(tokens.encoded, tokens.bpe.tokens())}};
}

WordPairs word_pairs(const Material& material, long takes) {
  std::map<std::pair<std::string, std::string>, long> taken;
  WordPairs pairs;
  const auto choose = [&](const std::vector<size_t>& from, std::vector<size_t>& to) {
    for (const size_t i : from) {
      const Utterance& u = material.recordings[i];
      if (!u.label.empty() && taken[{u.speaker, u.label}]++ < takes) to.push_back(i);
    }
  };
  choose(material.heard, pairs.templates);
  choose(material.unheard, pairs.asked);
  return pairs;
}

double nearest_word(const Material& material, const Tokens& tokens, const WordPairs& pairs) {
  double right = 0;
  for (const size_t x : pairs.asked) {
    const auto& asked = tokens.runs[x].units;
    double least = 2;
    size_t nearest = 0;
    for (const size_t t : pairs.templates) {
      const auto& known = tokens.runs[t].units;
      const double apart = static_cast<double>(count_edits(known, asked).errors()) /
                           static_cast<double>(std::max(known.size(), asked.size()));
      if (apart < least) least = apart, nearest = t;
    }
    right += material.recordings[nearest].label == material.recordings[x].label;
  }
  return right / static_cast<double>(pairs.asked.size());
}

double abx_of_frames(const Material& material, const RecordedFrames& frames, const WordPairs& pairs) {
  return abx(material, pairs, frames.dim, [&](size_t i) { return frames.of[i]; });
}

double abx_of_runs(const Material& material, const Tokens& tokens, long clusters, const WordPairs& pairs) {
  return abx(material, pairs, clusters, [&](size_t i) {
    const auto& units = tokens.runs[i].units;
    // Vectors that point along axes of their own are a right angle apart, which is 1/2.
    std::vector<float> axes(units.size() * static_cast<size_t>(clusters), 0.0f);
    for (size_t t = 0; t < units.size(); ++t)
      axes[t * static_cast<size_t>(clusters) + static_cast<size_t>(units[t])] = 1;
    return axes;
  });
}
