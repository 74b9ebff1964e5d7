#pragma once
// Tensors in a safetensors file (https://github.com/huggingface/safetensors, format.md): eight bytes of header
// length, a JSON header, the elements.
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "phonaut/io/dtype.hpp"

namespace phonaut {

namespace detail {
class ByteSource;
}

/// What the header says about one tensor.
struct SafetensorsInfo {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<long> shape;     ///< empty for a scalar
  std::size_t offset = 0;      ///< of the first byte, counted from the start of the file
  std::size_t bytes = 0;       ///< elements × bytes of one
  long size() const noexcept;  ///< elements
};

/// Reads a safetensors file. The constructor validates the whole header (see `FormatError` below), after which every
/// entry is known to lie within the file; elements are read when asked for, so that opening is cheap and nothing is
/// held in memory. The file stays open: replacing it by a rename does not disturb a reader, and shortening it makes
/// the next `read` throw, where a memory map would end the process. Copies share the file; one reader may serve many
/// threads.
class SafetensorsReader {
 public:
  /// Throws FileError if the file cannot be opened or read; FormatError, naming the entry, if it is not a well-formed
  /// safetensors file: header beyond the file or 100 MB, JSON of another form, a name twice, an unknown dtype, a shape
  /// whose bytes overflow or differ from its offsets, entries that overlap, leave gaps or miss the end of the file.
  explicit SafetensorsReader(const std::string& path);
  /// The same from memory; `name` stands for the path in messages.
  SafetensorsReader(std::vector<std::byte> bytes, const std::string& name);

  const std::string& path() const noexcept { return path_; }
  /// In the order of their elements in the file.
  const std::vector<SafetensorsInfo>& entries() const noexcept { return entries_; }
  std::vector<std::string> names() const;
  const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
  bool contains(std::string_view name) const;

  /// Throws LoadError with the nearest names if there is no such entry; so do the functions below.
  const SafetensorsInfo& info(std::string_view name) const;
  /// The elements as they are in the file, little-endian.
  std::vector<std::byte> bytes(std::string_view name) const;
  /// The elements, row-major, converted to T: float, double, std::int32_t, std::int64_t or std::uint8_t. Rounding to
  /// a narrower floating-point type is accepted; throws FormatError, naming the element, if an integer would change
  /// or a finite number become infinite, and for the 8-bit float types.
  template <class T>
  std::vector<T> read(std::string_view name) const;
  /// The same into memory of the caller. Throws ShapeError if `values` has another length than the entry.
  template <class T>
  void read_into(std::string_view name, std::span<T> values) const;

 private:
  void parse();

  std::string path_;
  std::shared_ptr<const detail::ByteSource> source_;
  std::vector<SafetensorsInfo> entries_;
  std::unordered_map<std::string, std::size_t> index_;
  std::map<std::string, std::string> metadata_;
};

/// A tensor to be written; the elements stay the caller's until then.
struct SafetensorsEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<long> shape;
  std::span<const std::byte> bytes;  ///< row-major, little-endian
};

/// An entry over the values of an array of bool, integers, float or double.
template <class T>
SafetensorsEntry safetensors_entry(std::string name, std::vector<long> shape, std::span<const T> values) {
  return {std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(values)};
}

/// Writes a safetensors file, whole or not at all (see AtomicFile). The same arguments give the same bytes. Entries
/// keep their order but for one thing: wider element types come first, so that all are aligned.
/// Throws ConfigError for a name or metadata that is not UTF-8, a name that is empty, taken or `__metadata__`;
/// ShapeError if an entry's bytes do not fit its shape; FileError if the disk refuses.
void write_safetensors(const std::string& path, std::span<const SafetensorsEntry> entries,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace phonaut
