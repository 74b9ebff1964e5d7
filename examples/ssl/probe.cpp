#include "probe.hpp"

#include <phonaut/metrics/probe.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <thread>

using namespace phonaut;

namespace {

constexpr int kIterations = 150;  // of the probe's fit; more change no row by more than a recording or two
constexpr double kDecays[] = {1e-3, 1e-2, 1e-1};

/// The rows of some speakers.
struct Part {
  std::vector<float> rows;
  std::vector<std::int32_t> classes;
};
template <class Keep>
Part part_of(const ProbeData& data, const Pooled& layer, const Keep& keep) {
  Part part;
  for (size_t i = 0; i < data.classes().size(); ++i) {
    if (!keep(data.speakers()[i])) continue;
    const auto row = layer.rows.begin() + static_cast<long>(i) * layer.dim;
    part.rows.insert(part.rows.end(), row, row + layer.dim);
    part.classes.push_back(data.classes()[i]);
  }
  return part;
}
double accuracy(const Part& train, const Part& test, long dim, double decay) {
  return linear_probe({train.rows, train.classes}, {test.rows, test.classes}, dim,
                      {.l2 = decay, .iterations = kIterations})
      .test;
}

}  // namespace

ProbeData::ProbeData(const Corpus& corpus, int rate, long takes) : rate_(rate) {
  const ClassNames classes(corpus.all, &Utterance::label), speakers(corpus.all, &Utterance::speaker);
  std::map<std::pair<std::string, std::string>, long> taken;
  for (const auto& u : corpus.all) {
    if (u.label.empty() || u.speaker.empty()) continue;
    if (takes > 0 && taken[{u.speaker, u.label}]++ >= takes) continue;
    recordings_.push_back(u);
    classes_.push_back(classes.index(u.label));
    speakers_.push_back(speakers.index(u.speaker));
  }
  class_count_ = classes.size();
  for (long i = 0; i < speakers.size(); ++i) names_.push_back(speakers[i]);
  if (speakers.size() < 3 || classes.size() < 2)
    throw ConfigError(concat("probe: a test, a valid and a training speaker are needed, and two classes; ", corpus.name,
                             " has ", speakers.size(), " speakers and ", classes.size(), " classes"));
}

std::vector<Pooled> pool(Context<B>& ctx, const ProbeData& data, const std::vector<std::string>& names, long parts,
                         const std::function<std::vector<Sequence<B>>(const Waveform<B>&)>& frames) {
  ctx.infer();
  std::vector<Pooled> layers(names.size());
  DataLoader loader(data.recordings(), {.rate = data.rate(),
                                        .min_seconds = 0,
                                        .max_seconds = 3600,
                                        .batch_seconds = 16,
                                        .shuffle = false,
                                        .epochs = 1,
                                        .prefetch = 0});
  while (const auto batch = loader.next()) {
    const auto made = frames(waveform_of(ctx, batch->samples, batch->lengths, batch->time, batch->rate));
    for (size_t k = 0; k < made.size(); ++k) {
      Pooled& layer = layers[k];
      const Sequence<B>& y = made[k];
      const long channels = y.channels();
      layer.name = names[k];
      layer.dim = 2 * channels * parts;
      layer.rows.resize(data.classes().size() * static_cast<size_t>(layer.dim));
      const auto values = values_of(y.frames);
      for (long n = 0; n < y.batch(); ++n) {
        float* to = layer.rows.data() + static_cast<long>(batch->utterances[static_cast<size_t>(n)]) * layer.dim;
        for (long p = 0; p < parts; ++p, to += 2 * channels) {
          // At least one frame, if the recording has any.
          const long from = y.length(n) * p / parts;
          const long until = std::min(y.length(n), std::max(from + 1, y.length(n) * (p + 1) / parts));
          const double count = static_cast<double>(std::max(1L, until - from));
          for (long c = 0; c < channels; ++c) {
            double mean = 0, square = 0;
            for (long t = from; t < until; ++t)
              mean += static_cast<double>(values[static_cast<size_t>((n * y.time() + t) * channels + c)]) / count;
            for (long t = from; t < until; ++t) {
              const double apart =
                  static_cast<double>(values[static_cast<size_t>((n * y.time() + t) * channels + c)]) - mean;
              square += apart * apart / count;
            }
            to[c] = static_cast<float>(mean);
            to[channels + c] = static_cast<float>(std::sqrt(square));
          }
        }
      }
    }
  }
  return layers;
}

ProbeScore probe(const ProbeData& data, const std::vector<Pooled>& layers, int threads) {
  const long speakers = data.speaker_count();
  ProbeScore score;
  score.each.resize(static_cast<size_t>(speakers));
  score.chosen.resize(static_cast<size_t>(speakers));
  const auto fold = [&](long test) {
    const long valid = (test + 1) % speakers;
    double best = -1, decay = 0;
    const Pooled* layer = &layers.at(0);
    for (const Pooled& candidate : layers) {
      const Part from = part_of(data, candidate, [&](long s) { return s != test && s != valid; });
      const Part to = part_of(data, candidate, [&](long s) { return s == valid; });
      for (const double d : kDecays)
        if (const double found = accuracy(from, to, candidate.dim, d); found > best)
          best = found, decay = d, layer = &candidate;
    }
    const Part from = part_of(data, *layer, [&](long s) { return s != test; });
    const Part to = part_of(data, *layer, [&](long s) { return s == test; });
    score.each[static_cast<size_t>(test)] = accuracy(from, to, layer->dim, decay);
    score.chosen[static_cast<size_t>(test)] = layer->name;
  };
  std::atomic<long> next{0};
  std::vector<std::thread> workers;
  for (int i = 0; i < std::max(1, threads); ++i)
    workers.emplace_back([&] {
      for (long test = next++; test < speakers; test = next++) fold(test);
    });
  for (auto& worker : workers) worker.join();
  for (const double a : score.each) score.accuracy += a / static_cast<double>(speakers);
  return score;
}
