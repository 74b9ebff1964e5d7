#include "phonaut/units/delay.hpp"

#include <algorithm>

#include "phonaut/core/error.hpp"

namespace phonaut {

namespace {

/// Frames of codes (T, books).
long frames_of(const char* what, std::span<const long> codes, std::span<const long> delays) {
  if (delays.empty()) throw ConfigError(concat(what, ": there are no delays"));
  for (const long delay : delays)
    if (delay < 0) throw ConfigError(concat(what, ": a delay must not be negative, got ", delay));
  if (codes.size() % delays.size() != 0)
    throw ShapeError(concat(what, ": ", codes.size(), " codes are no whole frames of ", delays.size(), " books"));
  return static_cast<long>(codes.size() / delays.size());
}

}  // namespace

DelayedCodes delay_codes(std::span<const long> codes, std::span<const long> delays, long pad, DelayEnd end) {
  const long time = frames_of("delay_codes", codes, delays), books = static_cast<long>(delays.size());
  const long latest = *std::max_element(delays.begin(), delays.end());
  DelayedCodes out{end == DelayEnd::grow && time > 0 ? time + latest : time, {}};
  for (long t = 0; t < out.frames; ++t)
    for (long k = 0; k < books; ++k) {
      const long from = t - delays[static_cast<size_t>(k)];
      out.codes.push_back(from >= 0 && from < time ? codes[static_cast<size_t>(from * books + k)] : pad);
    }
  return out;
}

std::vector<long> undelay_codes(std::span<const long> delayed, std::span<const long> delays, long frames) {
  const long time = frames_of("undelay_codes", delayed, delays), books = static_cast<long>(delays.size());
  const long latest = *std::max_element(delays.begin(), delays.end());
  if (frames < 0 || (frames > 0 && frames > time - latest))
    throw ShapeError(concat("undelay_codes: ", frames, " frames with a delay of ", latest, " are more than ", time,
                            " delayed frames hold"));
  std::vector<long> codes;
  for (long t = 0; t < frames; ++t)
    for (long k = 0; k < books; ++k)
      codes.push_back(delayed[static_cast<size_t>((t + delays[static_cast<size_t>(k)]) * books + k)]);
  return codes;
}

}  // namespace phonaut
