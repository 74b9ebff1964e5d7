#pragma once
// A file that appears whole or not at all.
#include <cstddef>
#include <string>
#include <string_view>

namespace phonaut {

/// Writes under a temporary name in the same folder; `commit` makes it durable and renames it to `path`. Without
/// `commit` (an exception, a full disk) the temporary is removed and the file that was there before stays untouched.
/// A symbolic link is followed: what it points to is replaced. Where `path` names a device or a pipe, there is
/// nothing to rename and the bytes go straight to it.
/// Every member throws FileError, with the path and the system's reason, when the system refuses.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends.
  void write(const void* data, std::size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Overwrites or extends from byte `offset` on; does not move the place where `write` appends.
  void write_at(std::size_t offset, const void* data, std::size_t bytes);
  /// Flushes to the disk and renames. Nothing may be written after it.
  void commit();

  const std::string& path() const noexcept { return path_; }

 private:
  void flush();
  void send(std::size_t offset, const char* data, std::size_t bytes, bool seek);
  [[noreturn]] void fail(const char* action, int error) const;

  std::string path_;       // as the caller spelled it, for messages
  std::string target_;     // links followed
  std::string temporary_;  // empty once renamed, and for devices
  std::string buffer_;     // the tail that has not been handed to the system yet
  std::size_t sent_ = 0;   // bytes before the buffer
  int descriptor_ = -1;
};

/// Writes `text` to `path`, whole or not at all. Throws FileError.
void write_file(const std::string& path, std::string_view text);

}  // namespace phonaut
