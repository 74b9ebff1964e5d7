#include "phonaut/io/audio.hpp"

#include <samplerate.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#include "audio_stream.hpp"
#include "phonaut/core/error.hpp"
#include "text.hpp"

namespace phonaut {
namespace {

constexpr int highest_rate = 768'000;    // Hz; above it a header is more likely wrong than ultrasonic
constexpr double most_resampling = 256;  // libsamplerate's limit
constexpr long block_frames = 4096;

/// Frames after resampling: ceil(frames · new_rate / rate).
long resampled_frames(long frames, int rate, int new_rate) {
  return (frames / rate) * new_rate + ((frames % rate) * new_rate + rate - 1) / rate;
}

/// Throws FormatError if the `data` chunk of a WAV file claims more bytes than follow. libsndfile reads such a file as
/// if the rest had never been there.
void check_wav_is_whole(const detail::ByteSource& source, const std::string& name) {
  const std::size_t size = source.size();
  char head[12];
  if (size < sizeof head) return;
  source.read_at(0, head, sizeof head);
  if (std::memcmp(head, "RIFF", 4) != 0 || std::memcmp(head + 8, "WAVE", 4) != 0) return;
  std::size_t at = sizeof head;
  for (int chunk = 0; chunk < 1000 && at + 8 <= size; ++chunk) {
    source.read_at(at, head, 8);
    std::uint32_t length = 0;
    std::memcpy(&length, head + 4, 4);
    at += 8;
    if (std::memcmp(head, "data", 4) == 0) {
      // Programs that write to a pipe cannot go back to fill in the length; they leave about 2^31 or 2^32 there.
      if (length < 0x7FFF'0000U && length > size - at)
        throw FormatError(concat(name, ": the header claims ", length, " bytes of samples, but ", size - at,
                                 " follow; was it cut short?"));
      return;
    }
    at += length + (length & 1);
  }
}

void check_options(const std::string& name, const AudioOptions& options) {
  if (options.rate < 0 || options.rate > highest_rate)
    throw ConfigError(concat(name, ": the rate ", options.rate,
                             " Hz is asked for, but it must be 0 (as in the file) to ", highest_rate));
  if (options.from < 0 || options.frames < -1 || options.frames == 0 || options.max_samples < 1)
    throw ConfigError(
        concat(name, ": from ", options.from, ", frames ", options.frames, " and max_samples ", options.max_samples,
               " are asked for, but they must be at least 0, at least 1 (or -1 for all)", " and at least 1"));
}

/// Appends a block of frames, averaged if `mono`; `first` is the place of the block in the file.
void append(std::vector<float>& samples, std::span<const float> block, int channels, bool mono, long first,
            const std::string& name, int rate) {
  for (std::size_t i = 0; i < block.size(); ++i)
    if (!std::isfinite(block[i])) {
      const long frame = first + static_cast<long>(i) / channels;
      throw NumericalError(concat(name, ": sample ", frame, " (channel ", i % channels + 1, " of ", channels, ", at ",
                                  static_cast<double>(frame) / rate, " s) is ", block[i]));
    }
  if (!mono || channels == 1) {
    samples.insert(samples.end(), block.begin(), block.end());
    return;
  }
  for (std::size_t i = 0; i < block.size(); i += channels) {
    double sum = 0;  // as double: the sum of large channels stays finite
    for (int c = 0; c < channels; ++c) sum += block[i + c];
    samples.push_back(static_cast<float>(sum / channels));
  }
}

Audio read_sound(const std::shared_ptr<const detail::ByteSource>& source, const std::string& name,
                 const AudioOptions& options) {
  check_options(name, options);
  detail::SoundReader reader(source, name);
  const int channels = reader.info().channels, rate = reader.info().samplerate;
  const long total = reader.frames();
  if (rate < 1 || rate > highest_rate || channels < 1)
    throw FormatError(
        concat(name, ": has ", channels, " channels at ", rate, " Hz; 1 Hz to ", highest_rate, " Hz can be read"));
  const int new_rate = options.rate > 0 ? options.rate : rate;
  const double factor = static_cast<double>(new_rate) / rate;
  if (factor > most_resampling || factor < 1 / most_resampling)
    throw FormatError(concat(name, ": has ", rate, " Hz, from which ", new_rate,
                             " Hz cannot be made: the factor is above ", most_resampling));
  check_wav_is_whole(*source, name);
  if (options.from > 0) {
    if (total >= 0 && options.from >= total)
      throw ConfigError(
          concat(name, ": frame ", options.from, " is asked for, but the file has ", total, " at ", rate, " Hz"));
    reader.seek(options.from);
  }

  Audio audio{.samples = {}, .channels = options.mono ? 1 : channels, .rate = new_rate};
  const long most = options.max_samples / audio.channels;
  std::vector<float> block(static_cast<std::size_t>(block_frames) * channels);
  long frames = 0;
  while (options.frames < 0 || frames < options.frames) {
    const long wanted = options.frames < 0 ? block_frames : std::min(block_frames, options.frames - frames);
    const long got = reader.read(block.data(), wanted);
    if (got == 0) break;
    if (frames + got > most || resampled_frames(frames + got, rate, new_rate) > most)
      throw FormatError(concat(name, ": has more than ", options.max_samples, " samples after ",
                               static_cast<double>(frames) / rate, " s; read it in parts, or raise max_samples"));
    append(audio.samples, std::span(block).first(static_cast<std::size_t>(got * channels)), channels, options.mono,
           options.from + frames, name, rate);
    frames += got;
  }

  if (total >= 0) {
    const long promised = options.frames < 0 ? total - options.from : std::min(options.frames, total - options.from);
    if (frames < promised)
      throw FormatError(concat(name, ": the header claims ", total, " frames at ", rate,
                               " Hz, but the file ends after ", options.from + frames, "; was it cut short?"));
  }
  if (frames == 0)
    throw FormatError(concat(name, ": has ", channels, channels == 1 ? " channel" : " channels", " at ", rate,
                             " Hz, but no samples"));
  if (new_rate != rate) audio.samples = resample(audio.samples, rate, new_rate, audio.channels, options.resampling);
  return audio;
}

std::string format_name(int format) {
  const auto words = [](int part) {
    SF_FORMAT_INFO info{};
    info.format = part;
    return sf_command(nullptr, SFC_GET_FORMAT_INFO, &info, sizeof info) == 0 && info.name ? std::string(info.name)
                                                                                          : std::string("unknown");
  };
  return words(format & SF_FORMAT_TYPEMASK) + ", " + words(format & SF_FORMAT_SUBMASK);
}

bool ends_with(const std::string& path, std::string_view ending) {
  return path.size() >= ending.size() &&
         std::equal(ending.begin(), ending.end(), path.end() - static_cast<std::ptrdiff_t>(ending.size()),
                    [](char a, char b) { return a == (b >= 'A' && b <= 'Z' ? b - 'A' + 'a' : b); });
}

SF_INFO format_for(const std::string& path, std::size_t samples, int rate, SampleFormat format, int channels) {
  SF_INFO info{};
  info.samplerate = rate;
  info.channels = channels;
  info.format = format == SampleFormat::pcm16 ? SF_FORMAT_PCM_16 : SF_FORMAT_FLOAT;
  if (ends_with(path, ".flac")) {
    if (format != SampleFormat::pcm16)
      throw ConfigError(concat(path, ": FLAC holds whole numbers; float32 samples need a .wav file"));
    info.format |= SF_FORMAT_FLAC;
  } else if (ends_with(path, ".wav")) {
    info.format |= SF_FORMAT_WAV;
    const std::size_t bytes = samples * (format == SampleFormat::pcm16 ? 2 : 4);
    if (bytes > 0xFFFF'F000U)
      throw ConfigError(concat(path, ": ", bytes, " bytes of samples, but a WAV file holds at most 4 GB"));
  } else {
    throw ConfigError(concat(path, ": audio is written as .wav or .flac, and this name ends in neither"));
  }
  return info;
}

}  // namespace

Audio read_audio(const std::string& path, const AudioOptions& options) {
  return read_sound(detail::open_file(path), path, options);
}

Audio read_audio(std::vector<std::byte> bytes, const std::string& name, const AudioOptions& options) {
  return read_sound(detail::open_memory(std::move(bytes), name), name, options);
}

AudioInfo audio_info(const std::string& path) {
  const detail::SoundReader reader(detail::open_file(path), path);
  const auto& info = reader.info();
  if (info.samplerate < 1) throw FormatError(concat(path, ": has a rate of ", info.samplerate, " Hz"));
  return {.frames = reader.frames(),
          .channels = info.channels,
          .rate = info.samplerate,
          .format = format_name(info.format)};
}

std::vector<float> resample(std::span<const float> samples, int rate, int new_rate, int channels,
                            Resampling resampling) {
  if (rate < 1 || new_rate < 1 || channels < 1 || samples.size() % static_cast<std::size_t>(channels) != 0)
    throw ConfigError(concat("resample: ", samples.size(), " samples of ", channels, " channels from ", rate, " Hz to ",
                             new_rate, " Hz; rates and channels must be positive and frames whole"));
  const double factor = static_cast<double>(new_rate) / rate;
  if (factor > most_resampling || factor < 1 / most_resampling)
    throw ConfigError(concat("resample: from ", rate, " Hz to ", new_rate, " Hz is a factor above ", most_resampling));
  if (rate == new_rate) return {samples.begin(), samples.end()};
  const long frames = static_cast<long>(samples.size()) / channels;
  const long wanted = resampled_frames(frames, rate, new_rate);
  std::vector<float> out(static_cast<std::size_t>(wanted * channels));

  struct Free {
    void operator()(SRC_STATE* state) const { src_delete(state); }
  };
  const int filter = resampling == Resampling::best     ? SRC_SINC_BEST_QUALITY
                     : resampling == Resampling::medium ? SRC_SINC_MEDIUM_QUALITY
                                                        : SRC_SINC_FASTEST;
  int error = 0;
  const std::unique_ptr<SRC_STATE, Free> state(src_new(filter, channels, &error));
  const auto check = [](int code) {
    if (code != 0) throw ConfigError(concat("resample: ", src_strerror(code)));
  };
  check(error);
  // After the signal comes silence, as much as the last output frame may look ahead for; without it libsamplerate
  // rounds the number of frames down. Both are handed over in pieces, since its counters are 32 bits wide inside.
  const std::vector<float> silence(static_cast<std::size_t>(channels) * 64);
  long produced = 0, consumed = 0;
  while (produced < wanted) {
    const bool tail = consumed >= frames;
    SRC_DATA data{};
    data.src_ratio = factor;
    data.data_in = tail ? silence.data() : samples.data() + consumed * channels;
    data.input_frames = tail ? 64 : std::min<long>(frames - consumed, 1 << 20);
    data.data_out = out.data() + produced * channels;
    data.output_frames = std::min<long>(wanted - produced, 1 << 20);
    check(src_process(state.get(), &data));
    if (data.input_frames_used == 0 && data.output_frames_gen == 0)
      throw StateError(concat("resample: no progress after ", produced, " of ", wanted, " frames"));
    consumed += tail ? 0 : data.input_frames_used;
    produced += data.output_frames_gen;
  }
  return out;
}

long write_audio(const std::string& path, std::span<const float> samples, int rate, SampleFormat format, int channels) {
  if (samples.empty() || rate < 1 || rate > highest_rate || channels < 1 ||
      samples.size() % static_cast<std::size_t>(channels) != 0)
    throw ConfigError(concat(path, ": ", samples.size(), " samples of ", channels, " channels at ", rate,
                             " Hz are to be written; there must be some, in whole frames, at 1 to ", highest_rate,
                             " Hz"));
  const SF_INFO info = format_for(path, samples.size(), rate, format, channels);
  for (std::size_t i = 0; i < samples.size(); ++i)
    if (!std::isfinite(samples[i]))
      throw NumericalError(concat(path, ": sample ", i / channels, " to be written is ", samples[i]));

  detail::SoundWriter writer(path, info);
  long clipped = 0;
  if (format == SampleFormat::float32) {
    writer.write(samples.data(), static_cast<long>(samples.size()));
  } else {
    std::vector<short> block;  // whole frames: libsndfile refuses others
    for (std::size_t at = 0; at < samples.size(); at += block.size()) {
      block.resize(std::min(samples.size() - at, static_cast<std::size_t>(block_frames * channels)));
      for (std::size_t i = 0; i < block.size(); ++i) {
        const float x = samples[at + i];
        clipped += x > 1 || x < -1;
        // The factor by which libsndfile divides as it reads, so that what was read is written unchanged.
        block[i] = static_cast<short>(std::lrint(std::clamp(x * 32768.0F, -32768.0F, 32767.0F)));
      }
      writer.write(block.data(), static_cast<long>(block.size()));
    }
  }
  writer.commit();
  return clipped;
}

}  // namespace phonaut
