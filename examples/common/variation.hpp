#pragma once
// Recordings varied at random, for training on few of them: other voices, microphones and distances.
#include <phonaut/core/random.hpp>
#include <span>
#include <vector>

/// Numbers one after the other out of a stream of draws.
class Dice {
 public:
  explicit Dice(phonaut::Draws draws) : draws_(draws) {}
  double between(double low, double high) { return low + (high - low) * draws_.uniform(at_++); }
  long below(long n) { return draws_.below(n, at_++); }

 private:
  phonaut::Draws draws_;
  long at_ = 0;
};

double from_decibel(double dB);

/// Played `factor` times as fast; pitch and resonances move along, as with a smaller head.
std::vector<float> played(std::span<const float> samples, int rate, double factor);

/// Numbers that `coloured` draws.
constexpr long kColourDraws = 7;
/// Through a filter drawn anew: a short echo of itself, which lifts some frequencies and lowers others, by `strength`
/// of 0 … 1.
void coloured(std::vector<float>& samples, double strength, Dice& dice);
