#include "strings.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "common/corpus.hpp"
#include "common/variation.hpp"

using namespace phonaut;

namespace {

void add_silence(std::vector<float>& samples, double seconds, int rate) {
  samples.resize(samples.size() + static_cast<size_t>(std::lround(seconds * rate)), 0.0f);
}

}  // namespace

void Spoken::add(std::vector<float> utterance, std::string text) {
  utterances_.push_back(std::move(utterance));
  texts.push_back(std::move(text));
}

void Spoken::pad() {
  for (const auto& u : utterances_) time = std::max(time, static_cast<long>(u.size()));
  for (auto& u : utterances_) {
    lengths.push_back(static_cast<long>(u.size()));
    u.resize(static_cast<size_t>(time), 0.0f);
    samples.insert(samples.end(), u.begin(), u.end());
  }
  utterances_.clear();
}

Spoken random_strings(const Batch& batch, const std::vector<Utterance>& utterances, const TrainConfig& config,
                      Random& random) {
  Dice dice(random.take((6 + 2 * kColourDraws) * batch.size()));
  Spoken out;
  for (long i = 0; i < batch.size();) {
    const long words = std::min(1 + dice.below(config.most_words), batch.size() - i);
    std::vector<float> samples;
    std::string text;
    add_silence(samples, dice.between(0.1, 0.4), batch.rate);
    for (long k = 0; k < words; ++k, ++i) {
      const auto at = static_cast<size_t>(i);
      const std::span<const float> one(batch.samples.data() + i * batch.time, static_cast<size_t>(batch.lengths[at]));
      const auto fast = played(one, batch.rate, std::exp(dice.between(-config.speed, config.speed)));
      samples.insert(samples.end(), fast.begin(), fast.end());
      text += (text.empty() ? "" : " ") + utterances[batch.utterances[at]].transcript;
      add_silence(samples, dice.between(0.1, 0.4), batch.rate);
    }
    // Another microphone, and noise of another colour, up to so loud.
    coloured(samples, config.tilt, dice);
    std::vector<float> hiss(samples.size());
    const Draws draws = random.take(static_cast<long>(hiss.size()));
    for (size_t k = 0; k < hiss.size(); ++k) hiss[k] = draws.normal(static_cast<long>(k));
    coloured(hiss, config.tilt, dice);
    const double gain = from_decibel(dice.between(-config.gain, config.gain));
    const double noise = from_decibel(dice.between(-100, config.noise));
    for (size_t k = 0; k < samples.size(); ++k)
      samples[k] = static_cast<float>(gain * static_cast<double>(samples[k]) + noise * static_cast<double>(hiss[k]));
    out.add(std::move(samples), std::move(text));
  }
  out.pad();
  return out;
}

std::pair<std::vector<float>, std::string> joined(std::span<const Utterance> recordings, int rate) {
  std::vector<float> samples;
  std::string text;
  add_silence(samples, 0.25, rate);
  for (const auto& u : recordings) {
    const auto one = read_audio(u.path, {.rate = rate}).samples;
    samples.insert(samples.end(), one.begin(), one.end());
    add_silence(samples, 0.25, rate);
    text += (text.empty() ? "" : " ") + u.transcript;
  }
  return {std::move(samples), std::move(text)};
}

std::vector<Spoken> plain_strings(const std::vector<Utterance>& utterances, long words, int rate) {
  std::map<std::string, std::vector<Utterance>> speakers;
  for (const auto& u : utterances) speakers[u.speaker].push_back(u);
  std::vector<Spoken> out;
  for (const auto& [name, recordings] : speakers) {
    // Manifests list all takes of a word together: steps of this size mix the words.
    constexpr size_t stride = 37;
    std::vector<Utterance> mixed;
    for (size_t first = 0; first < std::min(stride, recordings.size()); ++first)
      for (size_t i = first; i < recordings.size(); i += stride) mixed.push_back(recordings[i]);
    for (size_t i = 0; i < mixed.size(); i += static_cast<size_t>(words)) {
      auto [samples, text] =
          joined(std::span(mixed).subspan(i, std::min(static_cast<size_t>(words), mixed.size() - i)), rate);
      if (out.empty() || out.back().size() >= 16) out.emplace_back();
      out.back().add(std::move(samples), std::move(text));
    }
  }
  for (auto& batch : out) batch.pad();
  return out;
}

std::vector<Utterance> takes_of(const std::vector<std::string>& words, const std::vector<Utterance>& utterances) {
  std::map<std::string, std::vector<Utterance>> takes;
  for (const auto& u : utterances) {
    takes[u.transcript].push_back(u);
    if (u.label != u.transcript) takes[u.label].push_back(u);
  }
  std::map<std::string, size_t> used;
  std::vector<Utterance> out;
  for (const auto& word : words) {
    const auto& known = takes[word];
    if (word.empty() || known.empty()) throw ConfigError("digits: nobody in the test split says '" + word + "'");
    out.push_back(known[used[known.front().transcript]++ % known.size()]);
  }
  return out;
}
