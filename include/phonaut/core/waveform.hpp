#pragma once
// Samples together with what is needed to read them: how many are real, and how many make a second.
#include "phonaut/core/sequence.hpp"

namespace phonaut {

/// A padded batch of mono signals. Frontends take one; vocoders and inverse transforms return one.
template <class B>
struct Waveform {
  Var<B, 2> samples;  ///< (N, samples)
  Lengths lengths;    ///< (N), each in 0 … samples; empty means that every utterance has all of them
  double rate = 0;    ///< samples per second, in Hz; 0 if unknown

  long batch() const { return samples.extent(0); }
  long time() const { return samples.extent(1); }
  Context<B>& context() const { return samples.context(); }
  bool padded() const { return static_cast<bool>(lengths); }
  /// Samples of utterance n.
  long length(long n) const { return lengths ? lengths.data()[n] : time(); }
  /// The same lengths and rate around other samples of as many steps.
  Waveform with(Var<B, 2> other) const { return {std::move(other), lengths, rate}; }
};

/// Throws ShapeError unless the lengths fit the samples.
template <class B>
void check_lengths(const char* op, const Waveform<B>& x) {
  if (!x.padded()) return;
  if (x.lengths.extent(0) != x.batch())
    throw ShapeError(concat(op, ": samples have shape ", text(x.samples.shape()), " but there are ",
                            x.lengths.extent(0), " lengths"));
  for (long n = 0; n < x.batch(); ++n)
    if (x.length(n) < 0 || x.length(n) > x.time())
      throw ShapeError(concat(op, ": length ", x.length(n), " of utterance ", n, " is outside of 0 … ", x.time()));
}

/// Throws ConfigError if the waveform is known to have another sample rate than `want`.
template <class B>
void check_rate(const char* op, const Waveform<B>& x, double want) {
  if (x.rate != 0 && want != 0 && x.rate != want)
    throw ConfigError(concat(op, ": the waveform has ", x.rate, " samples per second, but this was built for ", want,
                             "; resample it first"));
}

}  // namespace phonaut
