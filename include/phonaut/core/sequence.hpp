#pragma once
// Frames together with what is needed to read them: how many are real, and how many make a second.
#include "phonaut/core/context.hpp"

namespace phonaut {

/// A padded batch of utterances. Every layer that mixes time takes and returns one.
template <class B>
struct Sequence {
  Var<B, 3> frames;  ///< (N, T, C)
  Lengths lengths;   ///< (N), each in 0 … T; empty means that every utterance has all T frames
  double rate = 0;   ///< frames per second, in Hz; 0 if unknown

  long batch() const { return frames.extent(0); }
  long time() const { return frames.extent(1); }
  long channels() const { return frames.extent(2); }
  Context<B>& context() const { return frames.context(); }
  bool padded() const { return static_cast<bool>(lengths); }
  /// Frames of utterance n.
  long length(long n) const { return lengths ? lengths.data()[n] : time(); }
  /// Pointer for kernels; null when nothing is padded.
  const long* length_data() const { return lengths ? lengths.data() : nullptr; }
  /// The same lengths and rate around other frames of as many steps.
  Sequence with(Var<B, 3> other) const { return {std::move(other), lengths, rate}; }
};

/// How a layer treats the padded tail of shorter utterances (law: a batch equals its utterances).
enum class Padding {
  masked,    ///< exact: an utterance gives the same numbers alone and in any batch
  reference  ///< reproduces the leak of the published model, for parity with it
};

/// Throws ShapeError unless the lengths fit a padded batch of that shape, (N, T) or (N, T, C). Empty lengths fit all.
template <size_t R>
void check_lengths(const char* op, const Shape<R>& shape, const Lengths& lengths) {
  if (!lengths) return;
  if (lengths.extent(0) != shape[0])
    throw ShapeError(concat(op, ": frames have shape ", text(shape), " but there are ", lengths.extent(0), " lengths"));
  for (long n = 0; n < shape[0]; ++n)
    if (const long length = lengths.data()[n]; length < 0 || length > shape[1])
      throw ShapeError(concat(op, ": length ", length, " of utterance ", n, " is outside of 0 … ", shape[1]));
}
template <class B>
void check_lengths(const char* op, const Sequence<B>& x) {
  check_lengths(op, x.frames.shape(), x.lengths);
}

/// New lengths f(length) for a layer that changes the number of frames; empty stays empty.
template <class B, class F>
Lengths map_lengths(const Sequence<B>& x, F f) {
  if (!x.padded()) return {};
  Lengths out = x.context().empty_lengths(x.batch());
  for (long n = 0; n < x.batch(); ++n) out.data()[n] = f(x.length(n));
  return out;
}

/// Lengths from any list of numbers.
template <class B, class Values>
Lengths lengths_of(Context<B>& context, const Values& values) {
  Lengths out = context.empty_lengths(static_cast<long>(std::size(values)));
  long i = 0;
  for (auto v : values) out.data()[i++] = static_cast<long>(v);
  return out;
}

/// Frames (N, T, C) with lengths from any list of numbers.
template <class B, class Values>
Sequence<B> sequence_of(Var<B, 3> frames, const Values& lengths, double rate = 0) {
  auto& context = frames.context();
  return {std::move(frames), lengths_of(context, lengths), rate};
}

}  // namespace phonaut
