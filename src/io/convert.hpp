#pragma once
// Elements of a file turned into the type that the caller wants.
#include <cstddef>
#include <span>
#include <string>

#include "phonaut/io/dtype.hpp"

namespace phonaut::detail {

class ByteSource;

/// Reads `values.size()` elements from `offset` on. Throws FormatError, starting with `what`, if an integer would
/// change, a finite number become infinite, or `dtype` is an 8-bit float.
/// T: float, double, std::int32_t, std::int64_t, std::uint8_t. `swap`: the elements are big-endian.
template <class T>
void read_elements(const ByteSource& source, std::size_t offset, Dtype dtype, std::span<T> values,
                   const std::string& what, bool swap = false);

}  // namespace phonaut::detail
