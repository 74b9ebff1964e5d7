#pragma once
// Element types of tensors in files.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace phonaut {

/// Element types that a file may hold; all are little-endian in safetensors.
/// `f8_*` are carried as raw bytes: nothing here converts them.
enum class Dtype : unsigned char {
  boolean,
  u8,
  i8,
  f8_e4m3,
  f8_e5m2,
  u16,
  i16,
  f16,
  bf16,
  u32,
  i32,
  f32,
  u64,
  i64,
  f64
};

/// The name that safetensors uses: `F32`, `I64`, `BOOL` …
const char* name_of(Dtype dtype) noexcept;
/// Bytes of one element: 1, 2, 4 or 8.
std::size_t bytes_of(Dtype dtype) noexcept;
/// The type of that (safetensors) name. Throws FormatError if it is unknown.
Dtype dtype_named(std::string_view name);

/// The element type that holds a C++ `bool`, integer, `float` or `double` unchanged.
template <class T>
constexpr Dtype dtype_of() {
  static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8, "files hold booleans, integers, float and double");
  if constexpr (std::is_same_v<T, bool>) return Dtype::boolean;
  else if constexpr (std::is_floating_point_v<T>) return sizeof(T) == 4 ? Dtype::f32 : Dtype::f64;
  else if constexpr (std::is_signed_v<T>)
    return sizeof(T) == 1 ? Dtype::i8 : sizeof(T) == 2 ? Dtype::i16 : sizeof(T) == 4 ? Dtype::i32 : Dtype::i64;
  else return sizeof(T) == 1 ? Dtype::u8 : sizeof(T) == 2 ? Dtype::u16 : sizeof(T) == 4 ? Dtype::u32 : Dtype::u64;
}

}  // namespace phonaut
