#pragma once
// ABX: is a sound nearer to another of its kind than to one of another kind? T. Schatz et al., "Evaluating speech
// features with the minimal-pair ABX task", 2013.
#include <span>
#include <string>
#include <vector>

#include "phonaut/metrics/time_alignment.hpp"

namespace phonaut {

/// Angles between frames a (T, dim) and b (S, dim), divided by π: 0 for the same direction, 1 for the opposite one;
/// 1/2 where one of them is zero. (T, S). Throws ShapeError if the frames are not whole, NumericalError
/// if one of their numbers is not finite.
std::vector<double> angular_distances(std::span<const float> a, std::span<const float> b, long dim);

/// The angular distance of aligned sequences. Throws as both.
double sequence_distance(std::span<const float> a, std::span<const float> b, long dim);

/// A sound: what it is, what surrounds it, who says it.
struct AbxItem {
  std::vector<float> frames;  ///< (T, dim)
  std::string category, context, speaker;
};

enum class AbxSpeakers {
  within,  ///< A, B and X by one speaker
  across   ///< A and B by one speaker, X by another
};

/// The share of triples in which X, of the kind of A, is nearer to B; a tie counts one half. Means over the triples of
/// a context, speaker (or pair of speakers) and ordered pair of categories, then over contexts and speakers, then over
/// pairs of categories; the order of the items does not matter. Throws ShapeError if frames are not whole or missing,
/// NumericalError if a number is not finite, StateError if no triple can be formed.
double abx_error(std::span<const AbxItem> items, long dim, AbxSpeakers speakers);

}  // namespace phonaut
