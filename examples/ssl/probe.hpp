#pragma once
// What frozen features know: which digit was said, by a speaker whom the probe never heard.
#include <functional>
#include <string>
#include <vector>

#include "common/corpus.hpp"
#include "model.hpp"

/// Recordings with their classes and speakers, read once for all features.
class ProbeData {
 public:
  /// So many recordings of each class by each speaker, at that rate; all of them if `takes` is 0. Throws ConfigError
  /// unless there are three speakers and two classes.
  ProbeData(const Corpus& corpus, int rate, long takes);

  const std::vector<phonaut::Utterance>& recordings() const { return recordings_; }
  const std::vector<std::int32_t>& classes() const { return classes_; }
  const std::vector<std::int32_t>& speakers() const { return speakers_; }
  long speaker_count() const { return static_cast<long>(names_.size()); }
  const std::string& speaker(long i) const { return names_[static_cast<size_t>(i)]; }
  long class_count() const { return class_count_; }
  int rate() const { return rate_; }

 private:
  std::vector<phonaut::Utterance> recordings_;
  std::vector<std::int32_t> classes_, speakers_;
  std::vector<std::string> names_;
  long class_count_ = 0;
  int rate_;
};

/// One row of numbers for each recording: means and deviations over time of each channel, over the whole recording, or
/// over each of `parts` equal parts of it.
struct Pooled {
  std::string name;  ///< of the layer
  long dim = 0;
  std::vector<float> rows;
};

/// All layers of some features. `frames` makes a batch of waveforms into one sequence for each name.
std::vector<Pooled> pool(Context<B>& ctx, const ProbeData& data, const std::vector<std::string>& names, long parts,
                         const std::function<std::vector<Sequence<B>>(const Waveform<B>&)>& frames);

/// How a probe did. Every speaker is the test speaker once; for him, layer and weight decay are chosen by the speaker
/// after him, with the others as training data; then the probe is fitted to all but the test speaker.
struct ProbeScore {
  double accuracy = 0;              ///< share of right answers, mean over the test speakers
  std::vector<double> each;         ///< of each test speaker
  std::vector<std::string> chosen;  ///< layer chosen for each
};

/// `layers` are alternatives; `threads` folds run side by side.
ProbeScore probe(const ProbeData& data, const std::vector<Pooled>& layers, int threads);
