#pragma once
// libsndfile on top of our own bytes: one way in for files and memory, one way out through AtomicFile.
#include <sndfile.h>

#include <exception>
#include <memory>
#include <string>

#include "byte_source.hpp"
#include "phonaut/io/atomic_file.hpp"

namespace phonaut::detail {

struct CloseSound {
  void operator()(SNDFILE* file) const noexcept { sf_close(file); }
};
using SoundFile = std::unique_ptr<SNDFILE, CloseSound>;

/// An open sound file for reading. libsndfile is C: an exception of the source is kept and rethrown by `check`.
class SoundReader {
 public:
  /// Throws FileError or FormatError.
  SoundReader(std::shared_ptr<const ByteSource> source, std::string name);
  SoundReader(const SoundReader&) = delete;
  SoundReader& operator=(const SoundReader&) = delete;

  const SF_INFO& info() const noexcept { return info_; }
  /// Frames by the header, -1 if it does not tell.
  long frames() const noexcept;
  /// Throws FormatError if the format cannot do that.
  void seek(long frame);
  /// Reads up to `frames` frames; 0 at the end. Throws FileError if the bytes could not be read.
  long read(float* to, long frames);

 private:
  void check() const;

  std::shared_ptr<const ByteSource> source_;
  std::string name_;
  SF_INFO info_{};
  std::size_t position_ = 0;
  std::exception_ptr error_;
  SoundFile file_;  // last: closing it may still read through the others

  friend struct ReaderCallbacks;
};

/// An open sound file for writing; nothing is there until `commit`.
class SoundWriter {
 public:
  /// Throws FileError, or ConfigError if libsndfile does not take that format.
  SoundWriter(const std::string& path, const SF_INFO& info);
  SoundWriter(const SoundWriter&) = delete;
  SoundWriter& operator=(const SoundWriter&) = delete;

  /// All three throw FileError.
  void write(const short* samples, long count);
  void write(const float* samples, long count);
  void commit();

 private:
  void check(bool complete) const;

  AtomicFile out_;
  SF_INFO info_;
  std::size_t position_ = 0, size_ = 0;
  std::exception_ptr error_;
  SoundFile file_;  // last: closing it still writes through the others

  friend struct WriterCallbacks;
};

}  // namespace phonaut::detail
