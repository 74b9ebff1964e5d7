#include "byte_source.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "phonaut/core/error.hpp"
#include "text.hpp"

namespace phonaut::detail {
namespace {

[[noreturn]] void end_of_file(const std::string& name, std::size_t wanted, std::size_t size) {
  throw FormatError(concat(name, ": byte ", wanted, " is wanted, but the file ends after ", size));
}

class FileSource final : public ByteSource {
 public:
  explicit FileSource(const std::string& path) : path_(path) {
    // O_NONBLOCK: opening a pipe must not wait for somebody to write into it.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) throw FileError(concat(path, ": cannot be opened: ", error_text(errno)));
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(descriptor_);
      throw FileError(concat(path, S_ISDIR(status.st_mode) ? ": is a folder, not a file" : ": is not a regular file"));
    }
    size_ = static_cast<std::size_t>(status.st_size);
  }
  ~FileSource() override { ::close(descriptor_); }
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  std::size_t size() const noexcept override { return size_; }
  void read_at(std::size_t offset, void* to, std::size_t bytes) const override {
    auto* place = static_cast<char*>(to);
    while (bytes > 0) {
      // One call of the system transfers less than 2 GiB.
      const ssize_t got =
          ::pread(descriptor_, place, std::min<std::size_t>(bytes, 1U << 30), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw FileError(concat(path_, ": cannot be read at byte ", offset, ": ", error_text(errno)));
      if (got == 0) end_of_file(path_, offset + bytes, offset);
      place += got;
      offset += static_cast<std::size_t>(got);
      bytes -= static_cast<std::size_t>(got);
    }
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
};

class MemorySource final : public ByteSource {
 public:
  MemorySource(std::vector<std::byte> bytes, std::string name) : bytes_(std::move(bytes)), name_(std::move(name)) {}
  std::size_t size() const noexcept override { return bytes_.size(); }
  void read_at(std::size_t offset, void* to, std::size_t bytes) const override {
    if (offset > bytes_.size() || bytes > bytes_.size() - offset) end_of_file(name_, offset + bytes, bytes_.size());
    if (bytes > 0) std::memcpy(to, bytes_.data() + offset, bytes);
  }

 private:
  std::vector<std::byte> bytes_;
  std::string name_;
};

}  // namespace

std::shared_ptr<const ByteSource> open_file(const std::string& path) { return std::make_shared<FileSource>(path); }

std::shared_ptr<const ByteSource> open_memory(std::vector<std::byte> bytes, std::string name) {
  return std::make_shared<MemorySource>(std::move(bytes), std::move(name));
}

std::string read_text_file(const std::string& path, std::size_t most) {
  const auto source = open_file(path);
  if (source->size() > most)
    throw FormatError(concat(path, ": has ", source->size(), " bytes; such a file has at most ", most));
  std::string text(source->size(), '\0');
  source->read_at(0, text.data(), text.size());
  return text;
}

}  // namespace phonaut::detail
