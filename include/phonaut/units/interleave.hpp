#pragma once
// Codes of several codebooks as one stream of tokens, for models that write one token after the other. Z. Borsos et
// al., "AudioLM: a Language Modeling Approach to Audio Generation", 2022.
#include <span>
#include <vector>

namespace phonaut {

/// Codes (T, books) frame by frame, each book with ids of its own: those of book k begin behind the entries of the
/// books before it. Throws ConfigError for no books or one without entries (or more than 2^31 - 1), ShapeError if the
/// codes are not whole frames or are no entries of their book.
std::vector<long> interleave_codes(std::span<const long> codes, std::span<const long> entries);
/// The opposite. Throws as `interleave_codes`, and ShapeError for a token of another book than the one whose turn it
/// is.
std::vector<long> deinterleave_codes(std::span<const long> tokens, std::span<const long> entries);

}  // namespace phonaut
