#include "text.hpp"

#include <limits>
#include <system_error>

namespace phonaut::detail {

std::string ticked(std::string_view text) {
  constexpr std::size_t most = 120;
  std::string out = "`";
  const auto append = [&](std::string_view part) {
    for (const char c : part) out += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  };
  if (text.size() <= most) {
    append(text);
  } else {
    append(text.substr(0, most / 2));
    out += " ... ";
    append(text.substr(text.size() - most / 2));
  }
  return out += '`';
}

std::string shape_text(std::span<const long> shape) {
  std::string out = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i) out += ", ";
    if (i == 8 && shape.size() > 10) {  // a hostile header may claim any rank
      out += "... " + std::to_string(shape.size()) + " axes";
      break;
    }
    out += std::to_string(shape[i]);
  }
  return out += ')';
}

std::string error_text(int error) { return std::generic_category().message(error); }

std::size_t utf8_length(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const unsigned first = byte(at);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned low = 0x80, high = 0xBF;  // of the second byte
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return 0;
  }
  if (byte(at + 1) < low || byte(at + 1) > high) return 0;
  for (std::size_t k = 2; k < length; ++k)
    if (byte(at + k) < 0x80 || byte(at + k) > 0xBF) return 0;
  return length;
}

std::size_t find_invalid_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text, i);
    if (length == 0) return i;
    i += length;
  }
  return std::string_view::npos;
}

bool byte_count(std::span<const long> shape, std::size_t element_bytes, std::size_t& bytes) noexcept {
  bool empty = false;
  long product = static_cast<long>(element_bytes);
  for (const long extent : shape) {
    if (extent < 0) return false;
    if (extent == 0) empty = true;
    else if (extent > std::numeric_limits<long>::max() / product) return false;
    else product *= extent;
  }
  bytes = empty ? 0 : static_cast<std::size_t>(product);
  return true;
}

}  // namespace phonaut::detail
