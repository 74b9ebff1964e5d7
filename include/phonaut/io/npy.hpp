#pragma once
// Arrays in numpy's .npy files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace phonaut {

/// An array in memory, row-major whatever the order in the file.
template <class T>
struct NpyArray {
  std::vector<long> shape;  ///< empty for a scalar
  std::vector<T> data;
};

/// Reads a .npy file: version 1 to 3, C or Fortran order, either byte order, booleans, integers of 1 to 8 bytes,
/// floating point of 2, 4 or 8. T: float, double, std::int32_t, std::int64_t or std::uint8_t; converts as
/// SafetensorsReader::read does. Throws FileError if the file cannot be read; FormatError if it is no such file, its
/// length and shape differ, or, naming the element, T cannot hold a value.
template <class T>
NpyArray<T> read_npy(const std::string& path);
/// The same from memory; `name` stands for the path in messages.
template <class T>
NpyArray<T> read_npy(std::vector<std::byte> bytes, const std::string& name);

/// Writes a .npy file (version 1, C order, little-endian), whole or not at all (see AtomicFile). T: as above.
/// Throws ShapeError if `values` do not fill `shape`, FileError if the disk refuses.
template <class T>
void write_npy(const std::string& path, std::span<const long> shape, std::span<const T> values);

}  // namespace phonaut
