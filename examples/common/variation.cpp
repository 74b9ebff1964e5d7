#include "common/variation.hpp"

#include <phonaut/io/audio.hpp>

#include <algorithm>
#include <cmath>

using namespace phonaut;

double from_decibel(double dB) { return std::pow(10.0, dB / 20); }

std::vector<float> played(std::span<const float> samples, int rate, double factor) {
  return resample(samples, rate, static_cast<int>(std::lround(rate / factor)), 1, Resampling::quick);
}

void coloured(std::vector<float>& samples, double strength, Dice& dice) {
  constexpr size_t count = kColourDraws + 1;
  double taps[count] = {1};
  for (size_t k = 1; k < count; ++k) taps[k] = dice.between(-strength, strength) / std::sqrt(static_cast<double>(k));
  for (size_t s = samples.size(); s-- > 0;) {
    double sum = 0;
    for (size_t k = 0; k < std::min(count, s + 1); ++k) sum += taps[k] * static_cast<double>(samples[s - k]);
    samples[s] = static_cast<float>(sum);
  }
}
