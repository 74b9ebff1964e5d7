#pragma once
// Stretches of frames that belong together, about a syllable long: fewer and longer units than one for each frame.
#include <span>
#include <vector>

namespace phonaut {

/// Frames begin … end-1.
struct Segment {
  long begin = 0, end = 0;
  bool operator==(const Segment&) const = default;
};

/// How `min_cut_segments` cuts.
struct MinCut {
  double frames_each = 10;          ///< as many segments as this many frames go into the utterance, rounded up …
  long segments = 0;                ///< … unless this says how many
  long shortest = 3, longest = 50;  ///< frames of a segment
  double merge = 2;  ///< neighbours whose means have at least this cosine are joined, down to two; 2: none
};

/// Cuts frames (T, dim) where they are least alike. With W the products of all pairs of frames, shifted to be positive,
/// a segment costs what of W leads out of it, by all of W that begins in it (its normalised cut), and the segments cost
/// least together; found by dynamic programming. P. Peng et al., "Syllable Discovery and Cross-Lingual Generalization
/// in a Visually Grounded, Self-Supervised Speech Model", 2023; limits of lengths as in A. Baade et al., "SyllableLM",
/// 2024. The number of segments that follows from `frames_each` gives way to the limits, and an utterance shorter than
/// `shortest` is one segment. O(T² dim) for the least product, O(T · longest · (dim + segments)) for the rest. Throws
/// ShapeError if the frames are not whole, NumericalError for NaN or infinity, ConfigError for limits below 1 or out of
/// order and for a given number of segments that does not keep them.
std::vector<Segment> min_cut_segments(std::span<const float> frames, long dim, const MinCut& options = {});

/// How `similar_runs` tells runs. The defaults are Sylber's, for features of its ninth layer.
struct SimilarRuns {
  double least_norm = 2.6;  ///< of a frame, or it belongs to no segment: silence
  double similarity = 0.8;  ///< least cosine of a frame to the mean of the run before it
};

/// Runs of frames (T, dim) that go on as long as the next frame is like the mean so far; then every boundary between
/// two runs moves to where frames fit their means best, and runs with like means are joined. What is silent is left
/// out. C. J. Cho et al., "Sylber: Syllabic Embedding Representation of Speech from Raw Audio", 2025. Linear in T.
/// Throws ShapeError and NumericalError as min_cut_segments.
std::vector<Segment> similar_runs(std::span<const float> frames, long dim, const SimilarRuns& options = {});

/// The mean frame of each segment: (segments, dim). Throws ShapeError for a segment without frames or beyond them.
std::vector<float> segment_means(std::span<const float> frames, long dim, std::span<const Segment> segments);

}  // namespace phonaut
