#include "phonaut/io/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "phonaut/core/error.hpp"
#include "text.hpp"

namespace phonaut {
namespace {

constexpr std::size_t buffer_bytes = 1 << 16;

/// Makes a rename durable. A file system that cannot do this for folders is not an error: the rename has happened.
void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  (void)::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), target_(path_) {
  std::error_code ignored;
  const auto resolved = std::filesystem::canonical(path_, ignored);
  if (!ignored) target_ = resolved.string();

  struct stat status {};
  const bool exists = ::stat(target_.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) throw FileError(concat(path_, ": is a folder; a file cannot take its place"));
  if (exists && !S_ISREG(status.st_mode)) {
    descriptor_ = ::open(target_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) fail("cannot be opened for writing", errno);
    return;
  }
  // A rename would silently replace a file that its owner has write-protected.
  if (exists && ::faccessat(AT_FDCWD, target_.c_str(), W_OK, AT_EACCESS) != 0) fail("cannot be replaced", errno);

  const std::filesystem::path target(target_);
  const auto folder = target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
  const std::string stem = target.filename().string().substr(0, 200);  // names have at most 255 bytes
  static std::atomic<unsigned> counter{0};
  do {
    temporary_ = (folder / concat('.', stem, '.', ::getpid(), '-', counter++, ".tmp")).string();
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && errno == EEXIST);
  if (descriptor_ < 0) fail("cannot be created", errno);
  if (exists) (void)::fchmod(descriptor_, status.st_mode & 07777);  // best effort: rights do not decide over the data
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* action, int error) const {
  throw FileError(concat(path_, ": ", action, ": ", detail::error_text(error)));
}

void AtomicFile::send(std::size_t offset, const char* data, std::size_t bytes, bool seek) {
  while (bytes > 0) {
    const std::size_t part = std::min<std::size_t>(bytes, 1U << 30);
    const ssize_t done =
        seek ? ::pwrite(descriptor_, data, part, static_cast<off_t>(offset)) : ::write(descriptor_, data, part);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const int error = done < 0 ? errno : ENOSPC;
      throw FileError(concat(path_, ": writing stopped after ", offset, " bytes: ", detail::error_text(error)));
    }
    data += done;
    offset += static_cast<std::size_t>(done);
    bytes -= static_cast<std::size_t>(done);
  }
}

void AtomicFile::flush() {
  // A device or pipe cannot be written at a position; a file is, because write_at must not move where we append.
  send(sent_, buffer_.data(), buffer_.size(), !temporary_.empty());
  sent_ += buffer_.size();
  buffer_.clear();
}

void AtomicFile::write(const void* data, std::size_t bytes) {
  if (descriptor_ < 0) throw StateError(concat(path_, ": written to after it was committed"));
  if (bytes == 0) return;
  if (buffer_.size() + bytes > buffer_bytes) flush();
  if (bytes >= buffer_bytes) {
    send(sent_, static_cast<const char*>(data), bytes, !temporary_.empty());
    sent_ += bytes;
  } else {
    buffer_.append(static_cast<const char*>(data), bytes);
  }
}

void AtomicFile::write_at(std::size_t offset, const void* data, std::size_t bytes) {
  if (descriptor_ < 0) throw StateError(concat(path_, ": written to after it was committed"));
  flush();
  send(offset, static_cast<const char*>(data), bytes, true);
}

void AtomicFile::commit() {
  if (descriptor_ < 0) throw StateError(concat(path_, ": committed twice"));
  flush();
  // EINVAL and EROFS: devices and pipes have nothing to synchronise.
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) fail("cannot be flushed to the disk", errno);
  if (::close(std::exchange(descriptor_, -1)) != 0) fail("cannot be closed", errno);
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot be put in place", errno);
  temporary_.clear();
  const auto folder = std::filesystem::path(target_).parent_path();
  sync_folder(folder.empty() ? std::filesystem::path(".") : folder);
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace phonaut
