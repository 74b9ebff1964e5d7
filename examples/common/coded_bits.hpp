#pragma once
// What a code costs behind an entropy coder.
#include <span>

/// Bits for each code that was counted in `coded`, from a coder whose table was made of the counts `seen` elsewhere,
/// with half a count more for every entry (R. Krichevsky and V. Trofimov, 1981); never more than log2 of the number of
/// entries, at which a coder can fall back. 0 of no codes. Unlike the entropy of `coded` itself, which a coder would
/// have to know beforehand, this can be had. Throws ConfigError if the two have different numbers of entries.
double coded_bits(std::span<const long> seen, std::span<const long> coded);
