#pragma once
// Byte-pair encoding over units: frequent pairs become units of their own. P. Gage, "A New Algorithm for Data
// Compression", 1994; R. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016.
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace phonaut {

/// Pairs of units that are written as one, in the order in which they were found.
class UnitBpe {
 public:
  struct Config {
    long units = 0;      ///< ids of the alphabet are 0 … units - 1; merges get the next ones
    long merges = 0;     ///< at most so many
    long min_count = 2;  ///< rarer pairs are left alone
  };

  /// Takes the most frequent pair of neighbours (of equally frequent ones, that of the smallest ids; overlapping pairs
  /// count), joins it everywhere from the left, and begins again. No pair reaches over the end of a sequence. Throws
  /// ShapeError for a unit outside of the alphabet, ConfigError for a negative size.
  static UnitBpe train(std::span<const std::vector<long>> corpus, const Config& config);
  /// From pairs that were found before. Throws ShapeError for a pair of ids that do not exist yet when it is joined, or
  /// that is there twice.
  UnitBpe(long units, std::vector<std::pair<long, long>> merges);

  /// Tokens of a sequence: the pair that was found first is joined first. Throws ShapeError for a unit outside of the
  /// alphabet.
  std::vector<long> encode(std::span<const long> units) const;
  /// The units of tokens. Throws ShapeError for a token that does not exist.
  std::vector<long> decode(std::span<const long> tokens) const;

  /// How many units a token stands for; the greatest `long` where they are more. Throws as `decode`.
  long length(long token) const;

  /// Tokens that there are: units and merges.
  long tokens() const { return units_ + static_cast<long>(merges_.size()); }
  long units() const { return units_; }
  const std::vector<std::pair<long, long>>& merges() const { return merges_; }

 private:
  long units_ = 0;
  std::vector<std::pair<long, long>> merges_;
  std::vector<long> lengths_;  // of the merges
  std::map<std::pair<long, long>, long> ranks_;
};

}  // namespace phonaut
