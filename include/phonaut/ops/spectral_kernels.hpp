#pragma once
// Kernels between waveforms and spectra: the reference loops, and what Cpu declares of its own. Padded frames (beyond
// an utterance's count) are zero, and nothing flows back from them.
#include "phonaut/core/backend.hpp"
#include "phonaut/ops/formula/spectral_frames.hpp"

namespace phonaut {

namespace spectral {

/// Frames that one block of work computes. A multiple of every register's width.
constexpr long frames_per_block = 64;

/// Blocks of samples for overlap-add. Owning `samples` of them, a block computes about frames_per_block frames, those
/// of its neighbours that reach into it included.
template <class Tables>
PHONAUT_HD PHONAUT_INLINE long samples_per_block(const Tables& t) {
  const long foreign = (t.length + t.hop - 1) / t.hop - 1;
  const long frames = (frames_per_block + foreign + 15) / 16 * 16;
  return (frames - foreign > 16 ? frames - foreign : 16) * t.hop;
}
/// Scalars of scratch for each worker: lanes first (so that they are aligned), then the overlap-add.
template <class Tables>
PHONAUT_HD PHONAUT_INLINE long scratch_per_worker(const Tables& t, long lanes) {
  const long overlap = (overlap_room(t, samples_per_block(t)) + 15) / 16 * 16;
  return t.room() * lanes + overlap;
}

/// A batch cut into pieces of `piece` along its second axis.
struct Pieces {
  long per_item, count, piece, extent;
  PHONAUT_HD PHONAUT_INLINE Pieces(long items, long extent_, long piece_)
      : per_item((extent_ + piece_ - 1) / piece_), count(items * per_item), piece(piece_), extent(extent_) {}
  PHONAUT_HD PHONAUT_INLINE long item(long i) const { return i / per_item; }
  PHONAUT_HD PHONAUT_INLINE long begin(long i) const { return i % per_item * piece; }
  PHONAUT_HD PHONAUT_INLINE long end(long i) const {
    const long e = begin(i) + piece;
    return e < extent ? e : extent;
  }
};

// One piece of each kernel; the loops around them are the backends'.

template <class Lanes, class Fft, class S, class T>
PHONAUT_HD PHONAUT_INLINE void analysis_piece(const Analysis<T>& t, View<const S, 2> x, const long* frames,
                                              View<S, 3> y, const Pieces& pieces, long i, S* scratch) {
  const long n = pieces.item(i), first = pieces.begin(i), end = pieces.end(i), count = frames ? frames[n] : end;
  const long last = end < count ? end : count;
  S* const rows = y.data + n * y.stride[0];
  if (first < last)
    analyse<Lanes, Fft>(t, x.data + n * x.stride[0], first, last, rows, y.stride[1],
                        reinterpret_cast<typename Lanes::Lane*>(scratch));
  for (long f = first > last ? first : last; f < end; ++f)
    for (long c = 0; c < y.shape[2]; ++c) rows[f * y.stride[1] + c] = S(0);
}

template <class Lanes, class Fft, class S, class T>
PHONAUT_HD PHONAUT_INLINE void analysis_backward_piece(const Analysis<T>& t, View<const S, 2> x, const long* frames,
                                                       View<const S, 3> dy, Sink<S, 2> dx, const Pieces& pieces, long i,
                                                       S* scratch) {
  const long n = pieces.item(i);
  analyse_backward<Lanes, Fft>(t, x.data + n * x.stride[0], frames ? frames[n] : dy.shape[1],
                               dy.data + n * dy.stride[0], dy.stride[1], pieces.begin(i), pieces.end(i),
                               reinterpret_cast<typename Lanes::Lane*>(scratch), scratch + t.room() * Lanes::count,
                               dx.data + n * dx.stride[0], dx.add);
}

template <class Lanes, class Fft, class S, class T>
PHONAUT_HD PHONAUT_INLINE void synthesis_piece(const Synthesis<T>& t, View<const S, 3> x, const long* frames,
                                               const long* samples, View<S, 2> y, const Pieces& pieces, long i,
                                               S* scratch) {
  const long n = pieces.item(i), first = pieces.begin(i), end = pieces.end(i), count = samples ? samples[n] : end;
  const long last = end < count ? end : count;
  S* const to = y.data + n * y.stride[0];
  if (first < last)
    synthesise<Lanes, Fft>(t, x.data + n * x.stride[0], x.stride[1], frames ? frames[n] : x.shape[1], first, last,
                           reinterpret_cast<typename Lanes::Lane*>(scratch), scratch + t.room() * Lanes::count, to);
  for (long s = first > last ? first : last; s < end; ++s) to[s] = S(0);
}

template <class Lanes, class Fft, class S, class T>
PHONAUT_HD PHONAUT_INLINE void synthesis_backward_piece(const Synthesis<T>& t, View<const S, 3> x, const long* frames,
                                                        View<const S, 2> dz, Sink<S, 3> dx, const Pieces& pieces,
                                                        long i, S* scratch) {
  const long n = pieces.item(i), first = pieces.begin(i), end = pieces.end(i), count = frames ? frames[n] : end;
  const long last = end < count ? end : count;
  S* const rows = dx.data + n * dx.stride[0];
  if (first < last)
    synthesise_backward<Lanes, Fft>(t, x.data + n * x.stride[0], x.stride[1], dz.data + n * dz.stride[0], first, last,
                                    reinterpret_cast<typename Lanes::Lane*>(scratch), rows, dx.stride[1], dx.add);
  if (!dx.add)
    for (long f = first > last ? first : last; f < end; ++f)
      for (long c = 0; c < dx.shape[2]; ++c) rows[f * dx.stride[1] + c] = S(0);
}

/// The division by the envelope, backwards: dy (N, samples) of the trimmed signal -> dz (N, untrimmed samples).
template <class S, class T>
PHONAUT_HD PHONAUT_INLINE void unwindow_row(const Synthesis<T>& t, const S* dy, long samples, long frames, S* dz,
                                            long untrimmed) {
  long phase = t.phase(0);
  for (long p = 0; p < untrimmed; ++p) {
    const long s = p - t.trim;
    dz[p] = s >= 0 && s < samples ? dy[s] * S(t.envelope_inverse(frames, p, phase)) : S(0);
    if (++phase == t.hop) phase = 0;
  }
}

}  // namespace spectral

namespace kernel {

/// Scalars of scratch for kernels on this backend.
template <class Tables>
long spectral_scratch(const Reference&, const Tables& t) {
  return spectral::scratch_per_worker(t, 1);
}
template <class Tables>
long spectral_scratch(const Cpu& cpu, const Tables& t) {
  return spectral::scratch_per_worker(t, 16) * cpu.threads;
}

/// Waveforms x (N, samples), already padded -> y (N, T, columns). `frames` counts those of each utterance; null if all
/// have T. Frame f starts at sample f · hop.
template <class S, class T>
void analysis_forward(const Reference&, const spectral::Analysis<T>& t, View<const S, 2> x, const long* frames,
                      View<S, 3> y, S* scratch) {
  const spectral::Pieces pieces(y.shape[0], y.shape[1], spectral::frames_per_block);
  for (long i = 0; i < pieces.count; ++i)
    spectral::analysis_piece<spectral::OneLane<S>, spectral::Transforms>(t, x, frames, y, pieces, i, scratch);
}
/// The gradient of the samples, from that of the features and the samples.
template <class S, class T>
void analysis_backward(const Reference&, const spectral::Analysis<T>& t, View<const S, 2> x, const long* frames,
                       View<const S, 3> dy, Sink<S, 2> dx, S* scratch) {
  const spectral::Pieces pieces(dx.shape[0], dx.shape[1], spectral::samples_per_block(t));
  for (long i = 0; i < pieces.count; ++i)
    spectral::analysis_backward_piece<spectral::OneLane<S>, spectral::Transforms>(t, x, frames, dy, dx, pieces, i,
                                                                                  scratch);
}
/// Spectra x (N, T, columns) -> waveforms y (N, all samples), zero behind the `samples` of each utterance (null: all).
template <class S, class T>
void synthesis_forward(const Reference&, const spectral::Synthesis<T>& t, View<const S, 3> x, const long* frames,
                       const long* samples, View<S, 2> y, S* scratch) {
  const spectral::Pieces pieces(y.shape[0], y.shape[1], spectral::samples_per_block(t));
  for (long i = 0; i < pieces.count; ++i)
    spectral::synthesis_piece<spectral::OneLane<S>, spectral::Transforms>(t, x, frames, samples, y, pieces, i, scratch);
}
/// The gradient of the spectra, from dz (see synthesis_unwindow).
template <class S, class T>
void synthesis_backward(const Reference&, const spectral::Synthesis<T>& t, View<const S, 3> x, const long* frames,
                        View<const S, 2> dz, Sink<S, 3> dx, S* scratch) {
  const spectral::Pieces pieces(dx.shape[0], dx.shape[1], spectral::frames_per_block);
  for (long i = 0; i < pieces.count; ++i)
    spectral::synthesis_backward_piece<spectral::OneLane<S>, spectral::Transforms>(t, x, frames, dz, dx, pieces, i,
                                                                                   scratch);
}
/// dy (N, samples), through trimming and the division by the envelope -> dz (N, untrimmed samples).
template <class S, class T>
void synthesis_unwindow(const Reference&, const spectral::Synthesis<T>& t, View<const S, 2> dy, const long* frames,
                        long all_frames, const long* samples, View<S, 2> dz) {
  for (long n = 0; n < dz.shape[0]; ++n)
    spectral::unwindow_row(t, dy.row(n), samples ? samples[n] : dy.shape[1], frames ? frames[n] : all_frames, dz.row(n),
                           dz.shape[1]);
}

void analysis_forward(const Cpu& cpu, const spectral::Analysis<float>& t, View<const float, 2> x, const long* frames,
                      View<float, 3> y, float* scratch);
void analysis_backward(const Cpu& cpu, const spectral::Analysis<float>& t, View<const float, 2> x, const long* frames,
                       View<const float, 3> dy, Sink<float, 2> dx, float* scratch);
void synthesis_forward(const Cpu& cpu, const spectral::Synthesis<float>& t, View<const float, 3> x, const long* frames,
                       const long* samples, View<float, 2> y, float* scratch);
void synthesis_backward(const Cpu& cpu, const spectral::Synthesis<float>& t, View<const float, 3> x, const long* frames,
                        View<const float, 2> dz, Sink<float, 3> dx, float* scratch);

long spectral_scratch(const Cuda& cuda, const spectral::Analysis<float>& t);
long spectral_scratch(const Cuda& cuda, const spectral::Synthesis<float>& t);
void analysis_forward(const Cuda& cuda, const spectral::Analysis<float>& t, View<const float, 2> x, const long* frames,
                      View<float, 3> y, float* scratch);
void analysis_backward(const Cuda& cuda, const spectral::Analysis<float>& t, View<const float, 2> x, const long* frames,
                       View<const float, 3> dy, Sink<float, 2> dx, float* scratch);
void synthesis_forward(const Cuda& cuda, const spectral::Synthesis<float>& t, View<const float, 3> x,
                       const long* frames, const long* samples, View<float, 2> y, float* scratch);
void synthesis_backward(const Cuda& cuda, const spectral::Synthesis<float>& t, View<const float, 3> x,
                        const long* frames, View<const float, 2> dz, Sink<float, 3> dx, float* scratch);
void synthesis_unwindow(const Cuda& cuda, const spectral::Synthesis<float>& t, View<const float, 2> dy,
                        const long* frames, long all_frames, const long* samples, View<float, 2> dz);

}  // namespace kernel
}  // namespace phonaut
