#include "convert.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "byte_source.hpp"
#include "phonaut/core/error.hpp"

static_assert(std::endian::native == std::endian::little, "the readers take the elements as they lie in the file");

namespace phonaut {

namespace {
struct DtypeRow {
  Dtype dtype;
  const char* name;
  std::size_t bytes;
};
constexpr DtypeRow dtypes[] = {
    {Dtype::boolean, "BOOL", 1},    {Dtype::u8, "U8", 1},   {Dtype::i8, "I8", 1},   {Dtype::f8_e4m3, "F8_E4M3", 1},
    {Dtype::f8_e5m2, "F8_E5M2", 1}, {Dtype::u16, "U16", 2}, {Dtype::i16, "I16", 2}, {Dtype::f16, "F16", 2},
    {Dtype::bf16, "BF16", 2},       {Dtype::u32, "U32", 4}, {Dtype::i32, "I32", 4}, {Dtype::f32, "F32", 4},
    {Dtype::u64, "U64", 8},         {Dtype::i64, "I64", 8}, {Dtype::f64, "F64", 8},
};
}  // namespace

const char* name_of(Dtype dtype) noexcept {
  for (const auto& row : dtypes)
    if (row.dtype == dtype) return row.name;
  return "?";
}

std::size_t bytes_of(Dtype dtype) noexcept {
  for (const auto& row : dtypes)
    if (row.dtype == dtype) return row.bytes;
  return 1;
}

Dtype dtype_named(std::string_view name) {
  for (const auto& row : dtypes)
    if (name == row.name) return row.dtype;
  throw FormatError(concat("unknown element type `", name.substr(0, 20), "`"));
}

namespace detail {
namespace {

struct Half {
  std::uint16_t bits;
};
struct Bfloat {
  std::uint16_t bits;
};
struct Bool {
  std::uint8_t byte;
};

float widen(Half half) {
  const std::uint32_t sign = (half.bits & 0x8000U) << 16, exponent = (half.bits >> 10) & 31U, rest = half.bits & 0x3FFU;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000U | (rest << 13));
  if (exponent > 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (rest << 13));
  const float magnitude = static_cast<float>(rest) * 0x1p-24F;  // subnormal
  return sign ? -magnitude : magnitude;
}
float widen(Bfloat value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16); }
std::uint8_t widen(Bool value) { return value.byte != 0; }
template <class S>
S widen(S value) {
  return value;
}

template <class S>
S swapped(S value) {
  char bytes[sizeof(S)];
  std::memcpy(bytes, &value, sizeof(S));
  std::reverse(bytes, bytes + sizeof(S));
  std::memcpy(&value, bytes, sizeof(S));
  return value;
}

/// Whether T keeps the value: exactly for integers, up to rounding from one floating-point type to another.
template <class T, class S>
bool fits(S value) {
  if constexpr (std::is_floating_point_v<S> && std::is_floating_point_v<T>) {
    if constexpr (sizeof(T) >= sizeof(S)) return true;
    else return !std::isfinite(value) || std::abs(value) <= static_cast<S>(std::numeric_limits<T>::max());
  } else if constexpr (std::is_floating_point_v<T>) {
    // Exact if the digits between the highest and the lowest set bit are no more than those of T.
    std::uint64_t magnitude = static_cast<std::uint64_t>(value);
    if (std::is_signed_v<S> && value < S(0)) magnitude = 0 - magnitude;
    if (magnitude == 0) return true;
    return std::bit_width(magnitude >> std::countr_zero(magnitude)) <= std::numeric_limits<T>::digits;
  } else if constexpr (std::is_floating_point_v<S>) {
    // Both bounds are powers of two (or zero), so they are exact as double; NaN fails every comparison.
    const double x = value, above = std::ldexp(1.0, std::numeric_limits<T>::digits);
    return x >= (std::is_signed_v<T> ? -above : 0.0) && x < above && x == std::floor(x);
  } else {
    return std::in_range<T>(value);
  }
}

template <class S, class T>
void convert_block(const std::byte* from, std::span<T> to, bool swap, Dtype dtype, std::size_t first,
                   const std::string& what) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    S stored;
    std::memcpy(&stored, from + i * sizeof(S), sizeof(S));
    const auto value = widen(swap ? swapped(stored) : stored);
    if (!fits<T>(value))
      throw FormatError(concat(what, ": element ", first + i, " is ", +value, " (", name_of(dtype), "), which ",
                               name_of(dtype_of<T>()), " cannot hold"));
    to[i] = static_cast<T>(value);
  }
}

template <class T>
auto converter(Dtype dtype) -> decltype(&convert_block<float, T>) {
  switch (dtype) {
    case Dtype::boolean:
      return convert_block<Bool, T>;
    case Dtype::u8:
      return convert_block<std::uint8_t, T>;
    case Dtype::i8:
      return convert_block<std::int8_t, T>;
    case Dtype::u16:
      return convert_block<std::uint16_t, T>;
    case Dtype::i16:
      return convert_block<std::int16_t, T>;
    case Dtype::f16:
      return convert_block<Half, T>;
    case Dtype::bf16:
      return convert_block<Bfloat, T>;
    case Dtype::u32:
      return convert_block<std::uint32_t, T>;
    case Dtype::i32:
      return convert_block<std::int32_t, T>;
    case Dtype::f32:
      return convert_block<float, T>;
    case Dtype::u64:
      return convert_block<std::uint64_t, T>;
    case Dtype::i64:
      return convert_block<std::int64_t, T>;
    case Dtype::f64:
      return convert_block<double, T>;
    case Dtype::f8_e4m3:
    case Dtype::f8_e5m2:
      break;
  }
  return nullptr;
}

}  // namespace

template <class T>
void read_elements(const ByteSource& source, std::size_t offset, Dtype dtype, std::span<T> values,
                   const std::string& what, bool swap) {
  if (dtype == dtype_of<T>() && !swap) return source.read_at(offset, values.data(), values.size_bytes());
  const auto convert = converter<T>(dtype);
  if (!convert) throw FormatError(concat(what, ": is ", name_of(dtype), ", which is not converted to numbers"));
  constexpr std::size_t block = 1 << 16;
  const std::size_t width = bytes_of(dtype);
  std::vector<std::byte> bytes(std::min(block, values.size()) * width);
  for (std::size_t at = 0; at < values.size(); at += block) {
    const auto part = values.subspan(at, std::min(block, values.size() - at));
    source.read_at(offset + at * width, bytes.data(), part.size() * width);
    convert(bytes.data(), part, swap, dtype, at, what);
  }
}

template void read_elements(const ByteSource&, std::size_t, Dtype, std::span<float>, const std::string&, bool);
template void read_elements(const ByteSource&, std::size_t, Dtype, std::span<double>, const std::string&, bool);
template void read_elements(const ByteSource&, std::size_t, Dtype, std::span<std::int32_t>, const std::string&, bool);
template void read_elements(const ByteSource&, std::size_t, Dtype, std::span<std::int64_t>, const std::string&, bool);
template void read_elements(const ByteSource&, std::size_t, Dtype, std::span<std::uint8_t>, const std::string&, bool);

}  // namespace detail
}  // namespace phonaut
