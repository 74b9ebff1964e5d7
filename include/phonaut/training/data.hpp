#pragma once
// Batches of recordings: read, resampled, cut, grouped by length, shuffled, padded, and prepared in a thread.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "phonaut/io/audio.hpp"
#include "phonaut/io/manifest.hpp"
#include "phonaut/training/checkpoint.hpp"

namespace phonaut {

/// Where samples come from. Both functions are called from one thread at a time, and throw an Error whose message says
/// why a recording cannot be used.
struct AudioSource {
  /// Mono samples at `rate` Hz, from second `from` on, `seconds` of them; all of them if `seconds` is negative.
  std::function<std::vector<float>(const Utterance&, int rate, double from, double seconds)> read;
  /// Length in seconds, for manifests that do not tell.
  std::function<double(const Utterance&)> seconds;
};

/// Audio files, through the library phonaut::audio.
inline AudioSource audio_files(Resampling resampling = Resampling::best) {
  return {.read =
              [resampling](const Utterance& u, int rate, double from, double seconds) {
                AudioOptions options{.rate = rate, .resampling = resampling};
                if (seconds >= 0) {
                  const double in_file = audio_info(u.path).rate;
                  options.from = static_cast<long>(from * in_file);
                  options.frames = static_cast<long>(seconds * in_file + 1);
                }
                return read_audio(u.path, options).samples;
              },
          .seconds =
              [](const Utterance& u) {
                const double told = audio_info(u.path).seconds();
                return told >= 0 ? told : read_audio(u.path, {.rate = 0}).seconds();
              }};
}

/// A recording that is left out, and why: one sentence that names the file or the manifest's line.
struct SkippedUtterance {
  std::size_t utterance;  ///< index in the list that the loader was given
  std::string reason;
};

/// A padded batch on the host; `input(ctx, Shape<2>{b.size(), b.time}, b.samples)` makes it a value.
struct Batch {
  std::vector<float> samples;             ///< (N, time), zeros behind the end of each recording
  long time = 0;                          ///< samples of the longest
  std::vector<long> lengths;              ///< (N), in samples
  std::vector<std::size_t> utterances;    ///< (N), indices in the list that the loader was given
  int rate = 0;                           ///< Hz
  long epoch = 0, index = 0;              ///< which batch of which epoch, both from 0
  std::vector<SkippedUtterance> skipped;  ///< found to be unusable since the batch before

  long size() const noexcept { return static_cast<long>(lengths.size()); }
};

/// Prepares batches. The sequence of batches is a function of the recordings and the settings alone: neither the cache
/// nor the thread that works ahead changes it, and `checkpoint` makes a new loader go on where an old one stood.
class DataLoader {
 public:
  struct Config {
    int rate = 16000;               ///< of the batches, Hz
    double min_seconds = 0.1;       ///< shorter recordings are skipped
    double max_seconds = 60;        ///< longer recordings are skipped, unless they are cut
    double cut_seconds = 0;         ///< if positive: longer recordings give a piece of this length
    bool random_cuts = true;        ///< a new piece in every epoch; otherwise the middle
    double batch_seconds = 60;      ///< padded length of a batch, at most (a batch of one may exceed it)
    long batch_size = 64;           ///< recordings in a batch, at most
    bool shuffle = true;            ///< anew in every epoch; otherwise by length, short ones first
    std::uint64_t seed = 0;         ///< of the shuffling and the cuts
    long epochs = 0;                ///< passes over the data; 0: without end
    double cache_megabytes = 1024;  ///< decoded samples kept in memory; the rest is read again in every epoch
    int prefetch = 4;               ///< batches prepared ahead by a thread of its own; 0: prepared when asked for
    /// Data parallel training: batches `ranks` times as large as the settings above say, of which this loader gives the
    /// share of rank `rank`. The shares behind each other are the batches of one rank with `ranks` times the settings.
    int rank = 0, ranks = 1;
  };

  /// Recordings that point nowhere, or are too short or too long by what the manifest tells, are skipped right away;
  /// others when their samples turn out to be damaged, empty or not numbers. Throws ConfigError for settings out of
  /// range, or if no recording can be used.
  DataLoader(std::vector<Utterance> utterances, Config config, AudioSource source);
  DataLoader(std::vector<Utterance> utterances, Config config)
      : DataLoader(std::move(utterances), config, audio_files()) {}
  ~DataLoader();
  DataLoader(DataLoader&&) noexcept;
  DataLoader& operator=(DataLoader&&) noexcept;

  /// The next batch; nothing after the last epoch. All ranks get a share of every batch: one that does not divide gives
  /// the first ranks one recording more, and a share can be empty (size 0, `time` that of the batch). Throws
  /// ConfigError when a whole epoch has no recording that can be read, and what a source throws that is not an Error
  /// (out of memory).
  std::optional<Batch> next();

  const std::vector<Utterance>& utterances() const;
  const Config& config() const;
  /// All recordings left out so far, in the order in which they were met.
  const std::vector<SkippedUtterance>& skipped() const;
  /// "3 of 1800 recordings were skipped: 2 × …": for a report; empty if none was.
  std::string skipped_text(std::size_t most_reasons = 5) const;
  /// Batches in an epoch, counting those whose recordings may all turn out to be unusable.
  long batches_in_epoch(long epoch) const;

  /// Where the next batch stands.
  struct Position {
    long epoch = 0, batch = 0;
    bool operator==(const Position&) const = default;
  };
  Position position() const;
  /// Goes on from there. Throws ConfigError for a negative position.
  void seek(Position position);

  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    Position& at = self.saved_position();
    archive("recordings", Same{self.digest()});
    archive("epoch", at.epoch);
    archive("batch", at.batch);
    archive.after([&self, &at] { self.seek(at); });
  }

 private:
  Position& saved_position();
  /// Changes when the recordings or the settings that decide over the batches do.
  std::string digest() const;

  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Names as numbers: labels or speakers, sorted, so that every split of a data set counts them alike.
class ClassNames {
 public:
  ClassNames() = default;
  /// All names that a field takes, such as `ClassNames(all, &Utterance::label)`; empty ones do not count.
  ClassNames(std::span<const Utterance> utterances, std::string Utterance::*field);

  long size() const noexcept { return static_cast<long>(names_.size()); }
  const std::string& operator[](long i) const { return names_[static_cast<std::size_t>(i)]; }
  /// The number of a name; -1 if it is empty or unknown.
  std::int32_t index(const std::string& name) const;
  /// For every recording of a batch.
  std::vector<std::int32_t> of(const Batch& batch, std::span<const Utterance> utterances) const;

 private:
  std::vector<std::string> names_;
  std::string Utterance::*field_ = nullptr;
};

}  // namespace phonaut
