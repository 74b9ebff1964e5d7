#pragma once
// Names that were probably meant: for errors about missing entries, columns and options.
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace phonaut {

/// Fewest insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`
/// (optimal string alignment); anything above `limit` is returned as `limit + 1`, and found sooner.
long edit_distance(std::string_view a, std::string_view b, long limit = 1000);

/// At most `most` of the `candidates` that are a few edits away from `wanted`, or equal to it but for a prefix that
/// one of them has more (`encoder.norm.bias` and `model.encoder.norm.bias`); nearest first.
std::vector<std::string> near_misses(std::string_view wanted, std::span<const std::string> candidates,
                                     std::size_t most = 3);

/// "; did you mean `a` or `b`?" for the end of a message; empty if nothing is near.
std::string did_you_mean(std::string_view wanted, std::span<const std::string> candidates);

}  // namespace phonaut
