#pragma once
// Bytes that can be read from any place: a file, or memory that stands for one.
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace phonaut::detail {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  /// Bytes when it was opened.
  virtual std::size_t size() const noexcept = 0;
  /// Reads exactly `bytes` from `offset` on. Throws FormatError if there are fewer, FileError if the system refuses.
  /// May be called from many threads.
  virtual void read_at(std::size_t offset, void* to, std::size_t bytes) const = 0;
};

/// Throws FileError if `path` cannot be opened or is not a file (a folder, a device).
std::shared_ptr<const ByteSource> open_file(const std::string& path);
/// `name` stands for the path in messages.
std::shared_ptr<const ByteSource> open_memory(std::vector<std::byte> bytes, std::string name);

/// The whole file. Throws FileError as `open_file`, FormatError if it is longer than `most` bytes.
std::string read_text_file(const std::string& path, std::size_t most);

}  // namespace phonaut::detail
