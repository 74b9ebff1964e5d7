#include "audio_stream.hpp"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>

#include "phonaut/core/error.hpp"

namespace phonaut::detail {
namespace {

/// libsndfile's words for an error, without the full stop.
std::string sound_error(int error) {
  std::string text = sf_error_number(error);
  while (!text.empty() && (text.back() == '.' || text.back() == '\n')) text.pop_back();
  return text;
}

/// Throws FormatError unless the file starts as one of the formats that speech is kept in. libsndfile would go on and
/// try two dozen others, old and little tested, and MPEG, whose decoder prints what it thinks of a damaged file.
void check_magic(const ByteSource& source, const std::string& name) {
  char start[4] = {};
  source.read_at(0, start, std::min(source.size(), sizeof start));
  const std::string_view magic(start, sizeof start);
  for (const char* known : {"RIFF", "RIFX", "RF64", "riff", "fLaC", "OggS", "FORM", ".snd", "dns.", "caff", "NIST"})
    if (magic == known) return;
  const bool mpeg = magic.starts_with("ID3") || (start[0] == '\xff' && (start[1] & 0xE0) == 0xE0);
  throw FormatError(concat(name, ": its ", source.size(), " bytes ",
                           mpeg ? "look like MP3, which is not read; convert it to FLAC or WAV"
                                : "are no audio that can be read; WAV, FLAC, Ogg, AIFF, AU, CAF and NIST are"));
}

/// Where a seek leads: false if before the start.
bool seek_target(sf_count_t offset, int whence, std::size_t position, std::size_t size, std::size_t& target) {
  sf_count_t base = 0;
  if (whence == SEEK_CUR) base = static_cast<sf_count_t>(position);
  if (whence == SEEK_END) base = static_cast<sf_count_t>(size);
  sf_count_t sum = 0;
  if (__builtin_add_overflow(base, offset, &sum) || sum < 0) return false;
  target = static_cast<std::size_t>(sum);
  return true;
}

}  // namespace

struct ReaderCallbacks {
  static SoundReader& self(void* data) { return *static_cast<SoundReader*>(data); }
  static sf_count_t length(void* data) { return static_cast<sf_count_t>(self(data).source_->size()); }
  static sf_count_t seek(sf_count_t offset, int whence, void* data) {
    auto& reader = self(data);
    if (!seek_target(offset, whence, reader.position_, reader.source_->size(), reader.position_)) return -1;
    return static_cast<sf_count_t>(reader.position_);
  }
  static sf_count_t read(void* to, sf_count_t count, void* data) {
    auto& reader = self(data);
    const std::size_t size = reader.source_->size();
    if (count <= 0 || reader.position_ >= size || reader.error_) return 0;
    const std::size_t bytes = std::min(static_cast<std::size_t>(count), size - reader.position_);
    try {
      reader.source_->read_at(reader.position_, to, bytes);
    } catch (const std::exception&) {
      reader.error_ = std::current_exception();
      return 0;
    }
    reader.position_ += bytes;
    return static_cast<sf_count_t>(bytes);
  }
  static sf_count_t write(const void*, sf_count_t, void*) { return 0; }
  static sf_count_t tell(void* data) { return static_cast<sf_count_t>(self(data).position_); }
};

SoundReader::SoundReader(std::shared_ptr<const ByteSource> source, std::string name)
    : source_(std::move(source)), name_(std::move(name)) {
  check_magic(*source_, name_);
  SF_VIRTUAL_IO calls{ReaderCallbacks::length, ReaderCallbacks::seek, ReaderCallbacks::read, ReaderCallbacks::write,
                      ReaderCallbacks::tell};
  file_.reset(sf_open_virtual(&calls, SFM_READ, &info_, this));
  check();
  if (!file_)
    throw FormatError(concat(name_, ": its ", source_->size(),
                             " bytes are no audio that can be read: ", sound_error(sf_error(nullptr))));
}

void SoundReader::check() const {
  if (error_) std::rethrow_exception(error_);
}

long SoundReader::frames() const noexcept {
  // libsndfile stands SF_COUNT_MAX for "unknown".
  return info_.frames < 0 || info_.frames == SF_COUNT_MAX ? -1 : static_cast<long>(info_.frames);
}

void SoundReader::seek(long frame) {
  const sf_count_t at = sf_seek(file_.get(), frame, SEEK_SET);
  check();
  if (at != frame)
    throw FormatError(concat(name_, ": frame ", frame, " cannot be reached: ", sound_error(sf_error(file_.get()))));
}

long SoundReader::read(float* to, long frames) {
  const sf_count_t got = sf_readf_float(file_.get(), to, frames);
  check();
  return static_cast<long>(std::max<sf_count_t>(got, 0));
}

struct WriterCallbacks {
  static SoundWriter& self(void* data) { return *static_cast<SoundWriter*>(data); }
  static sf_count_t length(void* data) { return static_cast<sf_count_t>(self(data).size_); }
  static sf_count_t seek(sf_count_t offset, int whence, void* data) {
    auto& writer = self(data);
    if (!seek_target(offset, whence, writer.position_, writer.size_, writer.position_)) return -1;
    return static_cast<sf_count_t>(writer.position_);
  }
  static sf_count_t read(void*, sf_count_t, void*) { return 0; }
  static sf_count_t write(const void* from, sf_count_t count, void* data) {
    auto& writer = self(data);
    if (writer.error_ || count <= 0) return 0;
    const auto bytes = static_cast<std::size_t>(count);
    try {
      writer.out_.write_at(writer.position_, from, bytes);
    } catch (const std::exception&) {
      writer.error_ = std::current_exception();
      return 0;
    }
    writer.position_ += bytes;
    writer.size_ = std::max(writer.size_, writer.position_);
    return count;
  }
  static sf_count_t tell(void* data) { return static_cast<sf_count_t>(self(data).position_); }
};

SoundWriter::SoundWriter(const std::string& path, const SF_INFO& info) : out_(path), info_(info) {
  SF_VIRTUAL_IO calls{WriterCallbacks::length, WriterCallbacks::seek, WriterCallbacks::read, WriterCallbacks::write,
                      WriterCallbacks::tell};
  file_.reset(sf_open_virtual(&calls, SFM_WRITE, &info_, this));
  if (error_) std::rethrow_exception(error_);
  if (!file_)
    throw ConfigError(concat(path, ": ", info.channels, " channels at ", info.samplerate,
                             " Hz cannot be written: ", sound_error(sf_error(nullptr))));
  // It would hold the time of writing, and the same sound should give the same file.
  sf_command(file_.get(), SFC_SET_ADD_PEAK_CHUNK, nullptr, SF_FALSE);
}

void SoundWriter::check(bool complete) const {
  if (error_) std::rethrow_exception(error_);
  if (!complete) throw FileError(concat(out_.path(), ": cannot be written: ", sound_error(sf_error(file_.get()))));
}

void SoundWriter::write(const short* samples, long count) {
  check(sf_write_short(file_.get(), samples, count) == count);
}

void SoundWriter::write(const float* samples, long count) {
  check(sf_write_float(file_.get(), samples, count) == count);
}

void SoundWriter::commit() {
  check(sf_close(file_.release()) == 0);  // completes the header
  out_.commit();
}

}  // namespace phonaut::detail
