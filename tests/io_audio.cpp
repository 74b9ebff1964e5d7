// Audio files: round trips, resampling, and every way of being a bad recording.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/io/audio.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

std::vector<float> tone(double hertz, int rate, long frames, double amplitude = 0.5) {
  std::vector<float> samples(static_cast<std::size_t>(frames));
  for (long t = 0; t < frames; ++t)
    samples[t] = static_cast<float>(amplitude * std::sin(2 * std::numbers::pi * hertz * static_cast<double>(t) / rate));
  return samples;
}

double rms(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * v;
  return std::sqrt(sum / static_cast<double>(std::max<std::size_t>(x.size(), 1)));
}

double decibels(double ratio) { return 20 * std::log10(ratio + 1e-20); }

/// A mono WAV file by hand: `claimed` bytes of samples by its header.
std::string wav(std::string_view data, std::uint32_t claimed, std::uint32_t rate = 16000, std::uint16_t format = 1,
                std::uint16_t bits = 16) {
  std::string file = "RIFF----WAVEfmt ";
  const auto number = [&](std::uint32_t value, std::size_t bytes) {
    file.append(reinterpret_cast<const char*>(&value), bytes);
  };
  number(16, 4);
  number(format, 2);
  number(1, 2);
  number(rate, 4);
  number(rate * bits / 8, 4);
  number(bits / 8, 2);
  number(bits, 2);
  file += "data";
  number(claimed, 4);
  file += data;
  const auto size = static_cast<std::uint32_t>(file.size() - 8);
  std::memcpy(file.data() + 4, &size, 4);
  return file;
}

Audio read_bytes(const std::string& file, const AudioOptions& options = {}) {
  return read_audio(to_bytes(file), "a.wav", options);
}

std::string float_wav(const std::vector<float>& samples) {
  std::string data(samples.size() * 4, '\0');
  std::memcpy(data.data(), samples.data(), data.size());
  return wav(data, static_cast<std::uint32_t>(data.size()), 16000, 3, 32);
}

const std::string data_folder = std::string(PHONAUT_SOURCE_DIR) + "/examples/data/";

}  // namespace

TEST_CASE("audio: 16-bit samples survive writing and reading unchanged", "[io]") {
  std::vector<float> all(65536);
  for (int i = 0; i < 65536; ++i) all[i] = static_cast<float>(i - 32768) / 32768;
  const TemporaryFolder folder;
  for (const char* name : {"a.wav", "a.FLAC"}) {
    CHECK(write_audio(folder / name, all, 16000) == 0);
    const auto audio = read_audio(folder / name);
    CHECK(audio.samples == all);
    CHECK(audio.rate == 16000);
    CHECK(audio.channels == 1);
    CHECK(audio.seconds() == 4.096);
    const auto info = audio_info(folder / name);
    CHECK(info.frames == 65536);
    CHECK(info.rate == 16000);
    CHECK(info.channels == 1);
    CHECK(contains(info.format, "16 bit PCM"));
  }
}

TEST_CASE("audio: float samples survive unchanged, beyond full scale too", "[io]") {
  const std::vector<float> samples{0.1F, -3.5F, 1e-30F, 0.0F, 1.0F};
  const TemporaryFolder folder;
  CHECK(write_audio(folder / "a.wav", samples, 8000, SampleFormat::float32) == 0);
  CHECK(read_audio(folder / "a.wav", {.rate = 0}).samples == samples);
}

TEST_CASE("audio: the same sound gives the same file", "[io]") {
  const TemporaryFolder folder;
  const auto samples = tone(440, 16000, 1000);
  for (const auto format : {SampleFormat::pcm16, SampleFormat::float32}) {
    write_audio(folder / "a.wav", samples, 16000, format);
    const auto first = slurp(folder / "a.wav");
    write_audio(folder / "b.wav", samples, 16000, format);
    CHECK(first == slurp(folder / "b.wav"));
    CHECK_FALSE(contains(first, "PEAK"));  // the chunk that holds the time of writing
  }
}

TEST_CASE("audio: clipped samples are counted", "[io]") {
  const TemporaryFolder folder;
  const std::vector<float> samples{0, 1, -1, 1.5F, -1.0001F, 1e30F, 0.99999F};
  CHECK(write_audio(folder / "a.wav", samples, 16000) == 3);
  const auto read = read_audio(folder / "a.wav").samples;
  const float top = 32767.0F / 32768;
  CHECK(read == std::vector<float>{0, top, -1, top, -1, top, top});
}

TEST_CASE("audio: channels are averaged or kept", "[io]") {
  const TemporaryFolder folder;
  const std::vector<float> stereo{0.5F, -0.5F, 0.25F, 0.75F, 0, 1.0F / 32768};
  write_audio(folder / "s.wav", stereo, 16000, SampleFormat::pcm16, 2);
  CHECK(read_audio(folder / "s.wav").samples == std::vector<float>{0, 0.5F, 0.5F / 32768});
  const auto kept = read_audio(folder / "s.wav", {.mono = false});
  CHECK(kept.samples == stereo);
  CHECK(kept.channels == 2);
  CHECK(kept.frames() == 3);
  // Many channels over many blocks.
  std::vector<float> many;
  for (int t = 0; t < 20'000; ++t)
    for (int c = 0; c < 3; ++c) many.push_back(static_cast<float>((t + c) % 100) / 128);
  write_audio(folder / "m.wav", many, 16000, SampleFormat::pcm16, 3);
  CHECK(read_audio(folder / "m.wav", {.mono = false}).samples == many);
  const auto resampled = read_audio(folder / "m.wav", {.rate = 8000, .mono = false});
  CHECK(resampled.samples.size() == 30'000);
}

TEST_CASE("audio: N frames become ceil(N new / old) frames at every rate", "[io]") {
  for (const int rate : {8000, 11025, 16000, 22050, 44100, 48000})
    for (const int new_rate : {8000, 16000, 24000, 48000})
      for (const long frames : {1L, 2L, 7L, 159L, 160L, 1000L, 4097L}) {
        const auto out = resample(tone(100, rate, frames), rate, new_rate);
        INFO(frames << " frames from " << rate << " to " << new_rate);
        CHECK(static_cast<long>(out.size()) == (frames * new_rate + rate - 1) / rate);
      }
}

TEST_CASE("audio: a tone keeps its height and place at a new rate", "[io]") {
  for (const int rate : {8000, 22050, 44100, 48000}) {
    const auto out = resample(tone(1000, rate, rate), rate, 16000);
    const auto want = tone(1000, 16000, 16000);
    REQUIRE(out.size() == 16000);
    std::vector<float> difference;  // away from the ends, where silence begins
    for (std::size_t t = 2000; t < 14'000; ++t) difference.push_back(out[t] - want[t]);
    INFO(rate << " Hz: error " << decibels(rms(difference) / rms(want)) << " dB");
    // The filter's ripple is far below 16-bit noise (98 dB); a delay of a hundredth of a sample would give -48 dB.
    CHECK(decibels(rms(difference) / rms(want)) < -90);
  }
}

TEST_CASE("audio: what lies above the new Nyquist frequency is removed", "[io]") {
  const auto filters = {Resampling::best, Resampling::medium, Resampling::quick};
  for (const int rate : {22050, 44100, 48000})
    for (const double hertz : {9000.0, 10'000.0})
      for (const auto filter : filters) {
        if (filter == Resampling::quick && hertz < 9500) continue;  // its transition band reaches 9.6 kHz
        const auto out = resample(tone(hertz, rate, rate), rate, 16000, 1, filter);
        const auto middle = std::span<const float>(out).subspan(2000, 12'000);
        INFO(hertz << " Hz at " << rate << " Hz: " << decibels(rms(middle) / 0.3536));
        CHECK(decibels(rms(middle) / 0.3536) < -60);
      }
}

TEST_CASE("audio: silence and constants stay what they are at a new rate", "[io]") {
  const auto silence = resample(std::vector<float>(1000), 44100, 16000);
  CHECK(std::all_of(silence.begin(), silence.end(), [](float x) { return x == 0; }));
  const auto constant = resample(std::vector<float>(44100, 0.5F), 44100, 16000);
  for (std::size_t t = 2000; t < 14'000; t += 100) CHECK(constant[t] == Approx(0.5).epsilon(1e-4));
  CHECK(resample(std::vector<float>{1, 2}, 8000, 8000) == std::vector<float>{1, 2});
  CHECK_THROWS_AS(resample(std::vector<float>{1}, 0, 8000), ConfigError);
  CHECK_THROWS_AS(resample(std::vector<float>{1}, 1, 8000), ConfigError);
  CHECK_THROWS_AS(resample(std::vector<float>{1, 2, 3}, 8000, 16000, 2), ConfigError);
}

TEST_CASE("audio: a part of a file", "[io]") {
  std::vector<float> ramp(10'000);
  for (int t = 0; t < 10'000; ++t) ramp[t] = static_cast<float>(t) / 32768;
  const TemporaryFolder folder;
  for (const char* name : {"r.wav", "r.flac"}) {
    const auto path = folder / name;
    write_audio(path, ramp, 16000);
    const auto part = read_audio(path, {.from = 4321, .frames = 1234});
    CHECK(part.samples == std::vector<float>(ramp.begin() + 4321, ramp.begin() + 5555));
    CHECK(read_audio(path, {.from = 9990, .frames = 100}).samples.size() == 10);
    CHECK(read_audio(path, {.rate = 8000, .from = 5000}).samples.size() == 2500);
    CHECK(contains(message_of<ConfigError>([&] { read_audio(path, {.from = 10'000}); }),
                   "frame 10000 is asked for, but the file has 10000"));
    CHECK_THROWS_AS(read_audio(path, {.from = -1}), ConfigError);
    CHECK_THROWS_AS(read_audio(path, {.frames = 0}), ConfigError);
    CHECK_THROWS_AS(read_audio(path, {.rate = -8000}), ConfigError);
  }
}

TEST_CASE("audio: a recording without samples", "[io]") {
  CHECK(message_of<FormatError>([] { read_bytes(wav("", 0)); }) == "a.wav: has 1 channel at 16000 Hz, but no samples");
  CHECK(contains(message_of<FormatError>([] { read_bytes(""); }), "0 bytes are no audio"));
}

TEST_CASE("audio: NaN and infinity are named by their place", "[io]") {
  std::vector<float> samples(10'000, 0.25F);
  samples[8000] = std::numeric_limits<float>::quiet_NaN();
  CHECK(message_of<NumericalError>([&] { read_bytes(float_wav(samples)); }) ==
        "a.wav: sample 8000 (channel 1 of 1, at 0.5 s) is nan");
  CHECK(read_bytes(float_wav(samples), {.frames = 8000}).frames() == 8000);
  CHECK(contains(message_of<NumericalError>([&] { read_bytes(float_wav(samples), {.from = 6000}); }), "sample 8000"));
  samples[77] = -std::numeric_limits<float>::infinity();
  CHECK(contains(message_of<NumericalError>([&] { read_bytes(float_wav(samples)); }), "sample 77"));
  const TemporaryFolder folder;
  CHECK(contains(message_of<NumericalError>([&] { write_audio(folder / "n.wav", samples, 16000); }), "sample 77"));
  CHECK(folder.files() == 0);
}

TEST_CASE("audio: files cut short say so", "[io]") {
  const TemporaryFolder folder;
  const auto samples = tone(440, 16000, 16000);
  for (const char* name : {"t.wav", "t.flac"}) {
    const auto path = folder / name;
    write_audio(path, samples, 16000);
    const auto file = slurp(path);
    spill(path, file.substr(0, file.size() / 2));
    const auto message = message_of<FormatError>([&] { read_audio(path); });
    INFO(message);
    CHECK(contains(message, path));
    CHECK(contains(message, "was it cut short?"));
  }
}

TEST_CASE("audio: cut at every length, files are refused or read", "[io]") {
  const TemporaryFolder folder;
  const auto samples = tone(440, 16000, 700);
  for (const char* name : {"t.wav", "t.flac"}) {
    write_audio(folder / name, samples, 16000);
    const auto file = slurp(folder / name);
    for (std::size_t length = 0; length < file.size(); ++length)
      CHECK_THROWS_AS(read_audio(to_bytes(file.substr(0, length)), name), Error);
  }
}

TEST_CASE("audio: headers that claim too much cost no memory", "[io]") {
  const std::string two(4, '\x10');
  CHECK(contains(message_of<FormatError>([&] { read_bytes(wav(two, 0x7000'0000)); }),
                 "claims 1879048192 bytes of samples, but 4 follow"));
  CHECK(read_bytes(wav(two, 0xFFFF'FFFF)).frames() == 2);  // written to a pipe: the length was not known
  CHECK(contains(message_of<FormatError>([&] { read_bytes(wav(two, 4, 2'000'000'000)); }), "2000000000 Hz"));
  CHECK(contains(message_of<FormatError>([&] { read_bytes(wav(two, 4, 1)); }), "factor is above 256"));
  CHECK(read_bytes(wav(two, 4, 1), {.rate = 0}).seconds() == 2);
  const auto seconds = wav(std::string(32'000, 0), 32'000);
  CHECK(
      contains(message_of<FormatError>([&] { read_bytes(seconds, {.max_samples = 9000}); }), "more than 9000 samples"));
  CHECK(contains(message_of<FormatError>([&] { read_bytes(seconds, {.rate = 48000, .max_samples = 30'000}); }),
                 "more than 30000 samples"));
  CHECK(read_bytes(seconds, {.max_samples = 16'000}).frames() == 16'000);
}

TEST_CASE("audio: files that are none", "[io]") {
  const TemporaryFolder folder;
  spill(folder / "text.wav", "this is text, not sound");
  CHECK(contains(message_of<FormatError>([&] { read_audio(folder / "text.wav"); }), "no audio that can be read"));
  CHECK(contains(message_of<FormatError>([&] { audio_info(folder / "text.wav"); }), "no audio that can be read"));
  CHECK(contains(message_of<FormatError>([] { read_bytes("ID3\3 and so on"); }), "look like MP3, which is not read"));
  CHECK(contains(message_of<FormatError>([] { read_bytes("\xff\xfb\x90\x64"); }), "look like MP3, which is not read"));
  CHECK(contains(message_of<FileError>([&] { read_audio(folder / "absent.wav"); }), "No such file"));
  CHECK(contains(message_of<FileError>([&] { read_audio(folder.path()); }), "is a folder"));
}

TEST_CASE("audio: what cannot be written is refused before the disk is touched", "[io]") {
  const TemporaryFolder folder;
  const std::vector<float> samples(6, 0.5F);
  CHECK_THROWS_AS(write_audio(folder / "a.mp3", samples, 16000), ConfigError);
  CHECK_THROWS_AS(write_audio(folder / "a.flac", samples, 16000, SampleFormat::float32), ConfigError);
  CHECK_THROWS_AS(write_audio(folder / "a.wav", {}, 16000), ConfigError);
  CHECK_THROWS_AS(write_audio(folder / "a.wav", samples, 0), ConfigError);
  CHECK_THROWS_AS(write_audio(folder / "a.wav", samples, 16000, SampleFormat::pcm16, 4), ConfigError);
  CHECK_THROWS_AS(write_audio(folder / "a.wav", std::vector<float>(5000), 16000, SampleFormat::pcm16, 5000),
                  ConfigError);
  CHECK_THROWS_AS(write_audio(folder / "no/such/folder.wav", samples, 16000), FileError);
  CHECK(folder.files() == 0);
}

TEST_CASE("audio: a full device is an error, not a short file", "[io]") {
  if (::access("/dev/full", W_OK) != 0) {
    WARN("no /dev/full here");
    return;
  }
  const TemporaryFolder folder;
  std::filesystem::create_symlink("/dev/full", folder / "full.wav");
  std::filesystem::create_symlink("/dev/full", folder / "full.flac");
  for (const char* name : {"full.wav", "full.flac"})
    CHECK(contains(message_of<FileError>([&] { write_audio(folder / name, std::vector<float>(100'000), 16000); }),
                   "No space left on device"));
}

TEST_CASE("audio: the shipped recordings read at their rates", "[io]") {
  long files = 0;
  if (!std::filesystem::exists(data_folder)) {
    WARN("no " << data_folder);
    return;
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data_folder)) {
    if (entry.path().extension() != ".flac" || ++files % 50 != 1) continue;
    const auto info = audio_info(entry.path());
    const auto audio = read_audio(entry.path(), {.resampling = Resampling::quick});
    CHECK(audio.rate == 16000);
    CHECK(audio.frames() == (info.frames * 16000 + info.rate - 1) / info.rate);
    CHECK(rms(audio.samples) > 1e-4);
  }
  CHECK(files > 0);
}
