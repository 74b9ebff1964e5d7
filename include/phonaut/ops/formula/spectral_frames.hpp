#pragma once
// What happens to one frame of a signal between waveform and features, and the same backwards. Light: the
// per-instruction-set kernel files include it.
//
// As in ops/fft.hpp, the text is written over a lane type L (a number, or a register whose lanes are different frames)
// and a table type T. How frames get into lanes and out again is the business of a `Lanes` policy:
//   Lane, count                        the lane type and how many frames it holds
//   gather(x, step, rows, width, to)   to[i] = x[j * step + i] for the frames j < rows, in the lanes
//   scatter(from, rows, width, y, step, add)   the way back
#include "phonaut/core/math.hpp"
#include "phonaut/ops/fft.hpp"

namespace phonaut::spectral {

using namespace phonaut::math;

/// What a frame's spectrum is turned into.
enum class Spectrum {
  complex,            ///< real and imaginary part side by side
  power,              ///< |X|²
  magnitude,          ///< |X|; its derivative at 0 is taken as 0
  smooth_magnitude,   ///< sqrt(|X|² + eps)
  floored_magnitude,  ///< sqrt(max(|X|², eps)), without derivative below eps
  floored_power       ///< max(|X|², eps), without derivative below eps
};
/// Log energy of a frame as a feature of its own.
enum class FrameEnergy { none, raw, windowed };

/// From a waveform to features: window, transform, filter bank, logarithm. Pointers refer to tables that a plan owns.
template <class T>
struct Analysis {
  FftTables<T> fft;
  const T* window = nullptr;  ///< (length), any normalisation included
  long length = 0;            ///< samples under the window
  long offset = 0;            ///< zeros before them in the transform, and samples skipped before them in the signal
  long hop = 1;
  bool remove_mean = false;
  T preemphasis = 0;  ///< x_i - c x_{i-1} within the frame; the first sample takes itself for its predecessor
  FrameEnergy energy = FrameEnergy::none;
  T energy_floor = 0;  ///< of the energy, before its logarithm
  bool energy_last = false;
  Spectrum spectrum = Spectrum::complex;
  T eps = 0;
  long bands = 0;  ///< filters; 0 keeps the bins
  const long* first = nullptr;
  const long* begin = nullptr;
  const T* weights = nullptr;
  bool log = false;  ///< features become log_scale · ln(max(feature, log_floor))
  T log_floor = 0, log_scale = 1;

  PHONAUT_HD PHONAUT_INLINE long bins() const { return fft.bins(); }
  /// Columns of the features of the spectrum.
  PHONAUT_HD PHONAUT_INLINE long bands_or_bins() const {
    return bands > 0 ? bands : spectrum == Spectrum::complex ? 2 * bins() : bins();
  }
  /// Columns of the result.
  PHONAUT_HD PHONAUT_INLINE long columns() const { return bands_or_bins() + (energy != FrameEnergy::none ? 1 : 0); }
  PHONAUT_HD PHONAUT_INLINE long energy_column() const { return energy_last ? bands_or_bins() : 0; }
  PHONAUT_HD PHONAUT_INLINE long feature_column() const { return energy != FrameEnergy::none && !energy_last ? 1 : 0; }
  /// Lanes' worth of scratch that a frame needs: two transform buffers, the spectrum, the features.
  PHONAUT_HD PHONAUT_INLINE long room() const { return 2 * fft.room() + bins() + columns(); }
};

/// From spectra to a waveform: inverse transform, window, overlap-add, division by the overlapped squared window.
template <class T>
struct Synthesis {
  FftTables<T> fft;
  const T* window = nullptr;            ///< (length), the transform's 1 / size included
  const T* squares = nullptr;           ///< (length), the window squared
  const T* inverse_envelope = nullptr;  ///< (hop), of a sample in the middle of a long signal, by its phase
  long length = 0, offset = 0, hop = 1;
  long trim = 0;       ///< samples dropped at the start
  bool polar = false;  ///< the input is (log magnitude, phase), else (real, imaginary) pairs
  T clip = 0;          ///< largest magnitude of a polar input

  PHONAUT_HD PHONAUT_INLINE long bins() const { return fft.bins(); }
  PHONAUT_HD PHONAUT_INLINE long columns() const { return 2 * bins(); }
  PHONAUT_HD PHONAUT_INLINE long room() const { return 2 * fft.room() + 2 * columns(); }

  /// Where sample p of the untrimmed signal stands in the period of the windows.
  PHONAUT_HD PHONAUT_INLINE long phase(long p) const { return ((p - offset) % hop + hop) % hop; }
  /// 1 / (sum of the squared windows over sample p, of phase `phase`, of a signal of `frames` frames); 0 where none
  /// reaches.
  PHONAUT_HD PHONAUT_INLINE T envelope_inverse(long frames, long p, long phase) const {
    const long q = p - offset;
    if (q >= length - 1 && q < frames * hop) return inverse_envelope[phase];
    if (q < 0 || frames == 0) return T(0);
    long last = q / hop;
    if (last >= frames) last = frames - 1;
    T total(0);
    for (long f = q < length ? 0 : (q - length) / hop + 1; f <= last; ++f) total += squares[q - f * hop];
    return total > T(1e-11) ? T(1) / total : T(0);
  }
};

/// Bin k of `scale_bins`.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void scale_bin(const FftTables<T>& fft, L* x, long k, T edge, T interior) {
  const bool at_edge = k == 0 || (fft.size % 2 == 0 && k == fft.bins() - 1);
  const L factor(at_edge ? edge : interior);
  x[2 * k] *= factor;
  if (at_edge) x[2 * k + 1] = L(T(0));
  else x[2 * k + 1] *= factor;
}
/// Scales bins for the way between a one-sided spectrum and its gradient. Every interior bin stands for two.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void scale_bins(const FftTables<T>& fft, L* x, T edge, T interior) {
  for (long k = 0; k < fft.bins(); ++k) scale_bin(fft, x, k, edge, interior);
}

/// Sums in four chains: shorter dependencies, and smaller rounding errors.
template <class L>
PHONAUT_HD PHONAUT_INLINE L sum_values(const L* v, long n) {
  L s[4];
  for (L& part : s) part = L(0.0f);
  long i = 0;
  for (; i + 4 <= n; i += 4)
    for (int j = 0; j < 4; ++j) s[j] += v[i + j];
  for (; i < n; ++i) s[0] += v[i];
  return (s[0] + s[1]) + (s[2] + s[3]);
}
/// Σ (v - mean)².
template <class L>
PHONAUT_HD PHONAUT_INLINE L sum_squares(const L* v, L mean, long n) {
  L s[4];
  for (L& part : s) part = L(0.0f);
  long i = 0;
  for (; i + 4 <= n; i += 4)
    for (int j = 0; j < 4; ++j) s[j] += (v[i + j] - mean) * (v[i + j] - mean);
  for (; i < n; ++i) s[0] += (v[i] - mean) * (v[i] - mean);
  return (s[0] + s[1]) + (s[2] + s[3]);
}

/// A frame of samples v (length) -> windowed, in place. Sets `energy` where it is a feature.
///
/// Preemphasis leaves little of a low-pitched voice, so that roundings on the scale of the samples would drown what is
/// weak at high frequencies. Hence the mean is not subtracted before it, but its share (1 - c) · mean after it.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void shape_frame(const Analysis<T>& a, L* v, L& energy) {
  const long n = a.length;
  L mean(T(0));
  if (a.remove_mean) mean = sum_values(v, n) * L(T(1) / static_cast<T>(n));
  if (a.energy == FrameEnergy::raw) energy = sum_squares(v, mean, n);
  if (a.preemphasis != T(0)) {
    const L c(a.preemphasis), share = mean - c * mean;
    for (long i = n - 1; i > 0; --i) v[i] = ((v[i] - c * v[i - 1]) - share) * L(a.window[i]);
    v[0] = ((v[0] - c * v[0]) - share) * L(a.window[0]);
  } else {
    for (long i = 0; i < n; ++i) v[i] = (v[i] - mean) * L(a.window[i]);
  }
  if (a.energy == FrameEnergy::windowed) energy = sum_squares(v, L(T(0)), n);
}

/// The adjoint: the gradient of the windowed frame, in place -> that of the samples.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void unshape_gradient(const Analysis<T>& a, L* g) {
  const long n = a.length;
  for (long i = 0; i < n; ++i) g[i] *= L(a.window[i]);
  if (a.preemphasis != T(0)) {
    const L c(a.preemphasis), first = g[0];
    for (long i = 0; i + 1 < n; ++i) g[i] -= c * g[i + 1];
    g[0] -= c * first;
  }
}
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void remove_mean_of_gradient(const Analysis<T>& a, L* g) {
  if (!a.remove_mean) return;
  const L mean = sum_values(g, a.length) * L(T(1) / static_cast<T>(a.length));
  for (long i = 0; i < a.length; ++i) g[i] -= mean;
}

template <class L, class T>
PHONAUT_HD PHONAUT_INLINE L log_feature(L value, T floor, T scale) {
  return L(scale) * log(max(value, L(floor)));
}
/// dy times the derivative of `log_feature`: none below the floor.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE L log_feature_slope(L value, T floor, T scale, L dy) {
  return select(value >= L(floor), dy * L(scale) / max(value, L(floor)), L(T(0)));
}

/// One number of a complex one.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE L bin_value(Spectrum kind, T eps, L re, L im) {
  const L power = re * re + im * im;
  switch (kind) {
    case Spectrum::magnitude:
      return sqrt(power);
    case Spectrum::smooth_magnitude:
      return sqrt(power + L(eps));
    case Spectrum::floored_magnitude:
      return sqrt(max(power, L(eps)));
    case Spectrum::floored_power:
      return max(power, L(eps));
    default:
      return power;
  }
}
/// f with d value / d re = f re and d value / d im = f im.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE L bin_slope(Spectrum kind, T eps, L re, L im) {
  const L power = re * re + im * im, zero(T(0)), one(T(1));
  switch (kind) {
    case Spectrum::magnitude:
      return select(power > zero, one / sqrt(select(power > zero, power, one)), zero);
    case Spectrum::smooth_magnitude:
      return one / sqrt(power + L(eps));
    case Spectrum::floored_magnitude:
      return select(power >= L(eps), one / sqrt(max(power, L(eps))), zero);
    case Spectrum::floored_power:
      return select(power >= L(eps), L(T(2)), zero);
    default:
      return L(T(2));
  }
}

/// Filter b applied to the spectrum p.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE L band_value(const Analysis<T>& a, long b, const L* p) {
  const T* const w = a.weights + a.begin[b];
  const long n = a.begin[b + 1] - a.begin[b];
  p += a.first[b];
  L even(T(0)), odd(T(0));
  long i = 0;
  for (; i + 2 <= n; i += 2) {
    even += p[i] * L(w[i]);
    odd += p[i + 1] * L(w[i + 1]);
  }
  if (i < n) even += p[i] * L(w[i]);
  return even + odd;
}

/// The spectrum x (bins, complex) -> features y (bands_or_bins); p (bins) is scratch. Not for Spectrum::complex.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void features_of(const Analysis<T>& a, const L* x, L* p, L* y) {
  L* const values = a.bands > 0 ? p : y;
  for (long k = 0; k < a.bins(); ++k) values[k] = bin_value(a.spectrum, a.eps, x[2 * k], x[2 * k + 1]);
  for (long b = 0; b < a.bands; ++b) y[b] = band_value(a, b, p);
  if (a.log)
    for (long c = 0; c < a.bands_or_bins(); ++c) y[c] = log_feature(y[c], a.log_floor, a.log_scale);
}

/// The gradient dy of the features, with the spectrum x -> that of the spectrum, in the place of x. Overwrites dy.
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void gradient_of_spectrum(const Analysis<T>& a, L* x, L* p, L* dy) {
  const long bins = a.bins();
  L* dp = dy;
  if (a.bands > 0) {
    if (a.log) {
      for (long k = 0; k < bins; ++k) p[k] = bin_value(a.spectrum, a.eps, x[2 * k], x[2 * k + 1]);
      for (long b = 0; b < a.bands; ++b)
        dy[b] = log_feature_slope(band_value(a, b, p), a.log_floor, a.log_scale, dy[b]);
    }
    for (long k = 0; k < bins; ++k) p[k] = L(T(0));
    for (long b = 0; b < a.bands; ++b) {
      const T* const w = a.weights + a.begin[b];
      for (long k = a.first[b], i = 0; i < a.begin[b + 1] - a.begin[b]; ++i) p[k + i] += dy[b] * L(w[i]);
    }
    dp = p;
  } else if (a.log) {
    for (long k = 0; k < bins; ++k)
      dy[k] = log_feature_slope(bin_value(a.spectrum, a.eps, x[2 * k], x[2 * k + 1]), a.log_floor, a.log_scale, dy[k]);
  }
  for (long k = 0; k < bins; ++k) {
    const L f = dp[k] * bin_slope(a.spectrum, a.eps, x[2 * k], x[2 * k + 1]);
    x[2 * k] *= f;
    x[2 * k + 1] *= f;
  }
}

/// Scratch of one worker, in lanes.
template <class L>
struct FrameBuffers {
  L *a, *b, *spectrum, *features;

  template <class Tables>
  PHONAUT_HD PHONAUT_INLINE FrameBuffers(L* memory, const Tables& t)
      : a(memory), b(a + t.fft.room()), spectrum(b + t.fft.room()), features(spectrum + t.bins()) {}
};

/// Puts a group of frames into `a`, zero-padded to the size of the transform.
template <class Lanes, class T, class S>
PHONAUT_HD PHONAUT_INLINE void load_frames(const Analysis<T>& t, const S* x, long rows, typename Lanes::Lane* a) {
  using L = typename Lanes::Lane;
  Lanes::gather(x, t.hop, rows, t.length, a + t.offset);
  for (long i = 0; i < t.offset; ++i) a[i] = L(T(0));
  for (long i = t.offset + t.length; i < t.fft.size; ++i) a[i] = L(T(0));
}

// The inner transforms are functors, so that a kernel file can keep one copy of each for all its kernels.
struct Transforms {
  template <class L, class T>
  PHONAUT_HD PHONAUT_INLINE static L* forward(const FftTables<T>& fft, L* a, L* b) {
    return rfft(fft, a, b);
  }
  template <class L, class T>
  PHONAUT_HD PHONAUT_INLINE static L* inverse(const FftTables<T>& fft, L* a, L* b) {
    return irfft(fft, a, b);
  }
};

/// Frames first … last-1 of the signal x -> rows of y (`columns` elements, y_step apart).
template <class Lanes, class Fft = Transforms, class S, class T>
PHONAUT_HD PHONAUT_INLINE void analyse(const Analysis<T>& t, const S* x, long first, long last, S* y, long y_step,
                                       typename Lanes::Lane* memory) {
  using L = typename Lanes::Lane;
  const FrameBuffers<L> m(memory, t);
  for (long f = first; f < last; f += Lanes::count) {
    const long rows = last - f < Lanes::count ? last - f : Lanes::count;
    load_frames<Lanes>(t, x + f * t.hop + t.offset, rows, m.a);
    L energy(T(0));
    shape_frame(t, m.a + t.offset, energy);
    L* const spectrum = Fft::forward(t.fft, m.a, m.b);
    if (t.spectrum == Spectrum::complex) {
      Lanes::scatter(spectrum, rows, t.columns(), y + f * y_step, y_step, false);
      continue;
    }
    features_of(t, spectrum, m.spectrum, m.features + t.feature_column());
    if (t.energy != FrameEnergy::none) m.features[t.energy_column()] = log_feature(energy, t.energy_floor, T(1));
    Lanes::scatter(m.features, rows, t.columns(), y + f * y_step, y_step, false);
  }
}

/// Which frames reach into the samples begin … end-1 of the (untrimmed) signal.
struct FrameRange {
  long first, last;

  template <class Tables>
  PHONAUT_HD PHONAUT_INLINE FrameRange(const Tables& t, long frames, long begin, long end) {
    const long before = begin - t.offset - t.length + 1;
    first = before <= 0 ? 0 : (before + t.hop - 1) / t.hop;
    const long after = end - 1 - t.offset;
    last = after < 0 ? 0 : after / t.hop + 1;
    if (last > frames) last = frames;
    if (first > last) first = last;
  }
};
/// Samples of scratch that overlap-add needs for a block of `samples`.
template <class Tables>
PHONAUT_HD PHONAUT_INLINE long overlap_room(const Tables& t, long samples) {
  return samples + 2 * t.length + 2 * t.hop;
}

/// The gradient of the samples begin … end-1 from the gradients dy of all frames that reach into them. Each sample
/// belongs to one call, so that sums do not depend on who computes what; frames at the borders are computed twice.
/// `sum` has overlap_room(end - begin) elements.
template <class Lanes, class Fft = Transforms, class S, class T>
PHONAUT_HD PHONAUT_INLINE void analyse_backward(const Analysis<T>& t, const S* x, long frames, const S* dy,
                                                long dy_step, long begin, long end, typename Lanes::Lane* memory,
                                                S* sum, S* dx, bool add) {
  using L = typename Lanes::Lane;
  const FrameBuffers<L> m(memory, t);
  const FrameRange range(t, frames, begin, end);
  const long origin = range.first * t.hop + t.offset;  // sample of sum[0]
  const long reach = range.last > range.first ? (range.last - range.first - 1) * t.hop + t.length : 0;
  for (long i = 0; i < reach; ++i) sum[i] = S(0);
  for (long f = range.first; f < range.last; f += Lanes::count) {
    const long rows = range.last - f < Lanes::count ? range.last - f : Lanes::count;
    L* g = m.a;
    L energy(T(0)), d_energy(T(0));
    if (t.spectrum == Spectrum::complex) {
      Lanes::gather(dy + f * dy_step, dy_step, rows, t.columns(), g);
    } else {
      Lanes::gather(dy + f * dy_step, dy_step, rows, t.columns(), m.features);
      load_frames<Lanes>(t, x + f * t.hop + t.offset, rows, m.a);
      shape_frame(t, m.a + t.offset, energy);
      if (t.energy != FrameEnergy::none)
        d_energy = log_feature_slope(energy, t.energy_floor, T(1), m.features[t.energy_column()]);
      g = Fft::forward(t.fft, m.a, m.b);
      gradient_of_spectrum(t, g, m.spectrum, m.features + t.feature_column());
    }
    scale_bins(t.fft, g, T(1), T(0.5));
    L* const spare = g == m.a ? m.b : m.a;
    g = Fft::inverse(t.fft, g, spare) + t.offset;
    if (t.energy != FrameEnergy::none) {
      // The energy's own path: the frame once more, as far as the energy looks at it.
      L* const v = (g - t.offset == m.a ? m.b : m.a) + t.offset;
      Lanes::gather(x + f * t.hop + t.offset, t.hop, rows, t.length, v);
      const L two_d = d_energy + d_energy;
      if (t.energy == FrameEnergy::windowed) {
        shape_frame(t, v, energy);
        for (long i = 0; i < t.length; ++i) g[i] += two_d * v[i];
        unshape_gradient(t, g);
      } else {
        unshape_gradient(t, g);
        remove_mean_of_gradient(t, v);  // the same operation as on the samples
        for (long i = 0; i < t.length; ++i) g[i] += two_d * v[i];
      }
    } else {
      unshape_gradient(t, g);
    }
    remove_mean_of_gradient(t, g);
    Lanes::scatter(g, rows, t.length, sum + (f - range.first) * t.hop, t.hop, true);
  }
  for (long s = begin; s < end; ++s) {
    const long i = s - origin;
    const S value = i >= 0 && i < reach ? sum[i] : S(0);
    dx[s] = add ? dx[s] + value : value;
  }
}

/// magnitude and phase -> spectrum: min(exp(m), clip) (cos p, sin p).
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void polar_to_spectrum(const Synthesis<T>& t, const L* polar, L* x) {
  const long bins = t.bins();
  for (long k = 0; k < bins; ++k) {
    const L r = min(exp(polar[k]), L(t.clip)), phase = polar[bins + k];
    x[2 * k] = r * cos(phase);
    x[2 * k + 1] = r * sin(phase);
  }
}
/// The gradient g of the spectrum -> that of (log magnitude, phase).
template <class L, class T>
PHONAUT_HD PHONAUT_INLINE void polar_gradient(const Synthesis<T>& t, const L* polar, const L* g, L* out) {
  const long bins = t.bins();
  for (long k = 0; k < bins; ++k) {
    const L r = exp(polar[k]), phase = polar[bins + k], clip(t.clip);
    const L c = cos(phase), s = sin(phase), bounded = min(r, clip);
    out[k] = select(r <= clip, r * (g[2 * k] * c + g[2 * k + 1] * s), L(T(0)));
    out[bins + k] = bounded * (g[2 * k + 1] * c - g[2 * k] * s);
  }
}

/// Samples begin … end-1 of the trimmed signal y from rows of spectra x (`columns` elements, x_step apart).
template <class Lanes, class Fft = Transforms, class S, class T>
PHONAUT_HD PHONAUT_INLINE void synthesise(const Synthesis<T>& t, const S* x, long x_step, long frames, long begin,
                                          long end, typename Lanes::Lane* memory, S* sum, S* y) {
  using L = typename Lanes::Lane;
  L *const a = memory, *const b = a + t.fft.room(), *const polar = b + t.fft.room();
  const FrameRange range(t, frames, begin + t.trim, end + t.trim);
  const long origin = range.first * t.hop + t.offset;
  const long reach = range.last > range.first ? (range.last - range.first - 1) * t.hop + t.length : 0;
  for (long i = 0; i < reach; ++i) sum[i] = S(0);
  for (long f = range.first; f < range.last; f += Lanes::count) {
    const long rows = range.last - f < Lanes::count ? range.last - f : Lanes::count;
    Lanes::gather(x + f * x_step, x_step, rows, t.columns(), t.polar ? polar : a);
    if (t.polar) polar_to_spectrum(t, polar, a);
    L* const v = Fft::inverse(t.fft, a, b) + t.offset;
    for (long i = 0; i < t.length; ++i) v[i] *= L(t.window[i]);
    Lanes::scatter(v, rows, t.length, sum + (f - range.first) * t.hop, t.hop, true);
  }
  long phase = t.phase(begin + t.trim);
  for (long s = begin; s < end; ++s) {
    const long i = s + t.trim - origin;
    y[s] = i >= 0 && i < reach ? sum[i] * S(t.envelope_inverse(frames, s + t.trim, phase)) : S(0);
    if (++phase == t.hop) phase = 0;
  }
}

/// Rows first … last-1 of the gradient of x from dz, the gradient of the untrimmed signal before the division by the
/// envelope.
template <class Lanes, class Fft = Transforms, class S, class T>
PHONAUT_HD PHONAUT_INLINE void synthesise_backward(const Synthesis<T>& t, const S* x, long x_step, const S* dz,
                                                   long first, long last, typename Lanes::Lane* memory, S* dx,
                                                   long dx_step, bool add) {
  using L = typename Lanes::Lane;
  L *const a = memory, *const b = a + t.fft.room(), *const polar = b + t.fft.room(), *const out = polar + t.columns();
  for (long f = first; f < last; f += Lanes::count) {
    const long rows = last - f < Lanes::count ? last - f : Lanes::count;
    Lanes::gather(dz + f * t.hop + t.offset, t.hop, rows, t.length, a + t.offset);
    for (long i = 0; i < t.offset; ++i) a[i] = L(T(0));
    for (long i = t.offset + t.length; i < t.fft.size; ++i) a[i] = L(T(0));
    for (long i = 0; i < t.length; ++i) a[t.offset + i] *= L(t.window[i]);
    L* g = Fft::forward(t.fft, a, b);
    scale_bins(t.fft, g, T(1), T(2));
    if (t.polar) {
      Lanes::gather(x + f * x_step, x_step, rows, t.columns(), polar);
      polar_gradient(t, polar, g, out);
      g = out;
    }
    Lanes::scatter(g, rows, t.columns(), dx + f * dx_step, dx_step, add);
  }
}

/// The policy for plain numbers: one frame at a time.
template <class S>
struct OneLane {
  using Lane = S;
  static constexpr long count = 1;
  PHONAUT_HD PHONAUT_INLINE static void gather(const S* x, long, long, long width, S* to) {
    for (long i = 0; i < width; ++i) to[i] = x[i];
  }
  PHONAUT_HD PHONAUT_INLINE static void scatter(const S* from, long, long width, S* y, long, bool add) {
    for (long i = 0; i < width; ++i) y[i] = add ? y[i] + from[i] : from[i];
  }
};

}  // namespace phonaut::spectral
