#pragma once
// Audio files: read by libsndfile (WAV, FLAC, Ogg Vorbis and Opus, AIFF, AU, CAF, W64, NIST), resampled by
// libsamplerate. Functions of the library phonaut::audio.
#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace phonaut {

/// Sound in memory. Full scale is 1.
struct Audio {
  std::vector<float> samples;  ///< frame by frame: with several channels, the channels of a frame lie side by side
  int channels = 1;
  int rate = 0;  ///< frames per second, Hz

  long frames() const noexcept { return channels > 0 ? static_cast<long>(samples.size()) / channels : 0; }
  double seconds() const noexcept { return rate > 0 ? static_cast<double>(frames()) / rate : 0; }
};

/// What the header of an audio file says.
struct AudioInfo {
  long frames = -1;  ///< -1 if the header does not tell
  int channels = 0;
  int rate = 0;        ///< Hz
  std::string format;  ///< in words: "FLAC (Free Lossless Audio Codec), Signed 16 bit PCM"

  /// -1 if the header does not tell.
  double seconds() const noexcept { return frames < 0 ? -1 : static_cast<double>(frames) / rate; }
};

/// The filters of libsamplerate: noise below the signal, part of the band that is kept, and time relative to `best`.
enum class Resampling {
  best,    ///< 144 dB, 96 %, 1
  medium,  ///< 121 dB, 90 %, about 1/3
  quick    ///< 97 dB, 80 %, about 1/7
};

/// How `read_audio` reads.
struct AudioOptions {
  int rate = 16000;  ///< resample to this rate, Hz; 0 keeps that of the file
  bool mono = true;  ///< average the channels; otherwise all are kept
  long from = 0;     ///< first frame, counted at the rate of the file
  long frames = -1;  ///< at most so many frames, at the rate of the file; -1 reads to the end
  Resampling resampling = Resampling::best;
  /// Refuse to hold more samples than this, before or after resampling (four bytes each): a small file can claim, and
  /// compressed silence even hold, hours of sound.
  long max_samples = 500'000'000;
};

/// Reads an audio file. N frames at rate R become exactly ceil(N · rate / R) frames, without delay.
/// Throws FileError if the file cannot be opened or read; FormatError if it is no audio, has no frames, is cut short
/// or too long for `max_samples`, or has a rate from which `rate` cannot be reached (a factor above 256);
/// NumericalError, naming the first frame, if a sample is NaN or infinite; ConfigError if an option is out of range or
/// `from` lies behind the end.
Audio read_audio(const std::string& path, const AudioOptions& options = {});
/// The same from the bytes of a file; `name` stands for the path in messages.
Audio read_audio(std::vector<std::byte> bytes, const std::string& name, const AudioOptions& options = {});

/// Reads only the header. Throws FileError or FormatError as `read_audio`.
AudioInfo audio_info(const std::string& path);

/// Changes the rate of interleaved samples from `rate` to `new_rate` (Hz) by band-limited interpolation. The result has
/// ceil(frames · new_rate / rate) frames and no delay. Throws ConfigError for rates below 1 or a factor above 256.
std::vector<float> resample(std::span<const float> samples, int rate, int new_rate, int channels = 1,
                            Resampling resampling = Resampling::best);

/// How samples are stored.
enum class SampleFormat {
  pcm16,   ///< 16 bit; what lies beyond ±1 is clipped
  float32  ///< as they are; WAV only
};

/// Writes a WAV file, or FLAC if `path` ends in `.flac`, whole or not at all (see AtomicFile). Reading it back gives
/// the same values, rounded to 1/32768 for pcm16. The same arguments give the same bytes.
/// Returns how many samples lay beyond ±1 and were clipped; 0 for float32.
/// Throws FileError if the disk refuses; NumericalError, naming the first, if a sample is NaN or infinite; ConfigError
/// for a rate or number of channels out of range, samples that do not fill whole frames, none at all, another ending
/// than `.wav` or `.flac`, or more than a WAV file can hold (4 GB).
long write_audio(const std::string& path, std::span<const float> samples, int rate,
                 SampleFormat format = SampleFormat::pcm16, int channels = 1);

}  // namespace phonaut
