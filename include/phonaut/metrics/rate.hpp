#pragma once
// What codes cost, and how long it takes to make them.
#include <span>

namespace phonaut {

/// Bits per second of codes that come `frames_per_second` times a second, one from each book of that many entries:
/// frame rate · Σ log2 K. Throws ConfigError for a frame rate that is not positive or a book without entries.
double bit_rate(double frames_per_second, std::span<const long> entries);
/// The same after ideal entropy coding, book by book: frame rate · Σ H, with the entropy of each book in bits
/// (`CodeUsage::entropy_bits`). Throws ConfigError for a frame rate that is not positive or a negative entropy.
double entropy_bit_rate(double frames_per_second, std::span<const double> entropy_bits);

/// Seconds of work for each second of sound: below 1 keeps up with a microphone.
struct RealTimeFactor {
  double median = 0;   ///< half of the utterances are faster
  double slowest = 0;  ///< 95 % of the utterances are faster
  double overall = 0;  ///< all work by all sound
};
/// Of utterances: the time that each took, and its length, in seconds. Percentiles lie linearly between the two nearest
/// utterances. Throws ShapeError if there are none or the numbers of both differ, ConfigError for sound that is not
/// longer than nothing or negative time.
RealTimeFactor real_time_factor(std::span<const double> work, std::span<const double> sound);

}  // namespace phonaut
