#pragma once
// Pieces of messages and checks of text, shared by the readers.
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace phonaut::detail {

/// `text` between backticks, safe to print: control characters become `?`, long text is cut in the middle.
std::string ticked(std::string_view text);
/// "(2, 3)"
std::string shape_text(std::span<const long> shape);
/// What the system says about that errno value.
std::string error_text(int error);
/// Bytes of the character of well-formed UTF-8 (no overlong forms, no surrogates) that starts at `at`; 0 if none does.
std::size_t utf8_length(std::string_view text, std::size_t at) noexcept;
/// Position of the first byte that is not part of well-formed UTF-8, or npos.
std::size_t find_invalid_utf8(std::string_view text) noexcept;
/// Bytes of a tensor; false if an extent is negative or if elements or bytes exceed `long`, even when another extent
/// is 0, so that nobody's product overflows later.
bool byte_count(std::span<const long> shape, std::size_t element_bytes, std::size_t& bytes) noexcept;

}  // namespace phonaut::detail
