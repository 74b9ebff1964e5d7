#pragma once
// Golden files keep the axis order of their source; phonaut has one of its own. Transposing happens here.
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "phonaut/core/error.hpp"
#include "phonaut/core/tensor.hpp"

namespace phonaut::golden {

/// Order of the axes of a file, one letter each: N utterances, H heads, T frames (or queries), S keys, F bands,
/// C channels, M samples, Q codebooks. "TNC" is a (time, batch, channel) tensor.
template <size_t R>
struct Layout {
  std::array<size_t, R> file_axis{};  ///< axis i of ours is axis file_axis[i] of the file

  Layout() {
    for (size_t i = 0; i < R; ++i) file_axis[i] = i;
  }
  explicit Layout(std::string_view letters) : Layout() {
    constexpr std::string_view ours = "NHTSFCMQ";
    for (char letter : letters)
      if (ours.find(letter) == std::string_view::npos)
        throw ConfigError(concat("layout `", letters, "`: the letter ", letter, " is none of ", ours));
    std::sort(file_axis.begin(), file_axis.end(),
              [&](size_t a, size_t b) { return ours.find(letters[a]) < ours.find(letters[b]); });
  }

  /// Shape of ours for the shape in a file.
  Shape<R> to_ours(const Shape<R>& file) const {
    Shape<R> shape{};
    for (size_t i = 0; i < R; ++i) shape[i] = file[file_axis[i]];
    return shape;
  }
  Shape<R> to_file(const Shape<R>& ours) const {
    Shape<R> shape{};
    for (size_t i = 0; i < R; ++i) shape[file_axis[i]] = ours[i];
    return shape;
  }
  /// Position in the file of each of our elements, in row-major order.
  std::vector<size_t> positions(const Shape<R>& ours) const {
    const Shape<R> file_stride = packed_strides(to_file(ours));
    std::vector<size_t> at(static_cast<size_t>(element_count(ours)));
    Shape<R> index{};
    for (size_t& position : at) {
      long offset = 0;
      for (size_t i = 0; i < R; ++i) offset += index[i] * file_stride[file_axis[i]];
      position = static_cast<size_t>(offset);
      for (size_t i = R; i-- > 0 && ++index[i] == ours[i];) index[i] = 0;
    }
    return at;
  }
  std::vector<double> values_to_ours(const std::vector<double>& file, const Shape<R>& ours) const {
    const std::vector<size_t> at = positions(ours);
    std::vector<double> values(at.size());
    for (size_t i = 0; i < at.size(); ++i) values[i] = file[at[i]];
    return values;
  }
  template <class S>
  std::vector<double> values_to_file(const std::vector<S>& values, const Shape<R>& ours) const {
    const std::vector<size_t> at = positions(ours);
    std::vector<double> file(at.size());
    for (size_t i = 0; i < at.size(); ++i) file[at[i]] = static_cast<double>(values[i]);
    return file;
  }
};

/// `g.input("x", rank<2>)`: a tensor whose axes are taken as they are.
template <size_t R>
inline constexpr std::integral_constant<size_t, R> rank{};

}  // namespace phonaut::golden
