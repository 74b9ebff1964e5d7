#pragma once
// From the frames of a CTC model to labels: by the best class of every frame, or by the most probable labels over all
// their alignments.
#include <span>
#include <vector>

#include "phonaut/core/param.hpp"
#include "phonaut/core/sequence.hpp"

namespace phonaut {

/// A label and the frame in which it starts.
struct CtcLabel {
  long label = 0, frame = 0;
  bool operator==(const CtcLabel&) const = default;
};

/// Labels of an utterance as the sum over all their alignments that the beam kept.
struct CtcHypothesis {
  std::vector<long> labels;
  double log_probability = 0;  ///< in nats; exact if nothing was dropped, else a lower bound
};

namespace detail {

struct CtcStream {
  long last = -1;   ///< class of the last frame; -1 before the first
  long frames = 0;  ///< seen so far
};
/// Labels of `logits` (frames, classes), which go on where `stream` is. Throws ConfigError for a blank that is no
/// class.
std::vector<CtcLabel> ctc_greedy(std::span<const float> logits, long classes, long blank, CtcStream& stream);
/// Throws NumericalError, naming frame and utterance n, where probabilities are not finite.
std::vector<CtcHypothesis> ctc_prefix_beam(std::span<const float> logits, long classes, long blank, long width,
                                           long labels_per_frame, long n);
void check_ctc_decoder(const char* op, long blank, long classes);

/// Calls run(n, logits) with the real frames of each utterance, on the host.
template <class B, class Run>
void for_each_utterance(const Sequence<B>& x, const Run& run) {
  const auto values = values_of(x.frames);
  std::vector<float> own;
  for (long n = 0; n < x.batch(); ++n) {
    const auto first = values.begin() + n * x.time() * x.channels();
    own.assign(first, first + x.length(n) * x.channels());
    run(n, std::span<const float>(own));
  }
}

}  // namespace detail

/// Greedy decoding: the best class of every frame, repetitions joined, blanks left out. Without a look into the future,
/// so that a stream gives the same labels in any chunks:
///
///   auto state = greedy.start(batch);
///   while (…) {
///     const auto said = greedy(encoder(chunk, encoder_state), state);
///     for (const CtcLabel& label : said[0]) print(label.label);
///   }
struct CtcGreedy {
  struct State {
    std::vector<detail::CtcStream> streams;  ///< one for each utterance
  };
  long blank = 0;

  State start(long batch) const { return {std::vector<detail::CtcStream>(static_cast<size_t>(batch))}; }
  /// Labels of each utterance of logits (N, T, classes). Throws ConfigError for a blank that is no class.
  template <class B>
  std::vector<std::vector<CtcLabel>> operator()(const Sequence<B>& logits) const {
    State state = start(logits.batch());
    return (*this)(logits, state);
  }
  /// The labels that start in these frames. Frames count from the start of the stream. Throws ShapeError for another
  /// number of utterances than the state has.
  template <class B>
  std::vector<std::vector<CtcLabel>> operator()(const Sequence<B>& logits, State& state) const {
    check_lengths("ctc_greedy", logits);
    detail::check_ctc_decoder("ctc_greedy", blank, logits.channels());
    if (static_cast<long>(state.streams.size()) != logits.batch())
      throw ShapeError(concat("ctc_greedy: the state has ", state.streams.size(), " utterances, but the logits are ",
                              text(logits.frames.shape())));
    std::vector<std::vector<CtcLabel>> said;
    detail::for_each_utterance(logits, [&](long n, std::span<const float> frames) {
      said.push_back(detail::ctc_greedy(frames, logits.channels(), blank, state.streams[static_cast<size_t>(n)]));
    });
    return said;
  }
};

/// Prefix beam search: follows the `width` most probable beginnings of the labels, alignments of the same labels added
/// up. A. Y. Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent
/// DNNs", 2014 (without a language model).
struct CtcPrefixBeam {
  long blank = 0;
  long width = 16;            ///< beginnings that are followed
  long labels_per_frame = 0;  ///< the likeliest labels that may follow in a frame; 0: all

  /// Up to `width` hypotheses for each utterance of logits (N, T, classes), the most probable first. Throws ConfigError
  /// for a blank that is no class or a width below 1, NumericalError for logits that are not finite (-inf may be).
  template <class B>
  std::vector<std::vector<CtcHypothesis>> operator()(const Sequence<B>& logits) const {
    check_lengths("ctc_prefix_beam", logits);
    detail::check_ctc_decoder("ctc_prefix_beam", blank, logits.channels());
    if (width < 1 || labels_per_frame < 0)
      throw ConfigError(
          concat("ctc_prefix_beam: the width must be positive and the labels per frame not negative, got ", width,
                 " and ", labels_per_frame));
    std::vector<std::vector<CtcHypothesis>> said;
    detail::for_each_utterance(logits, [&](long n, std::span<const float> frames) {
      said.push_back(detail::ctc_prefix_beam(frames, logits.channels(), blank, width, labels_per_frame, n));
    });
    return said;
  }
};

}  // namespace phonaut
