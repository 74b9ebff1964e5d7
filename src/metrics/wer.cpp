#include "phonaut/metrics/wer.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <vector>

#include "io/text.hpp"

namespace phonaut {

namespace {

using Pieces = std::vector<std::string_view>;

Pieces words_of(std::string_view text) {
  constexpr std::string_view space = " \t\r\n\f\v";
  Pieces words;
  for (size_t at = text.find_first_not_of(space); at != text.npos; at = text.find_first_not_of(space, at)) {
    const size_t end = std::min(text.find_first_of(space, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

Pieces characters_of(std::string_view text) {
  Pieces characters;
  for (size_t at = 0; at < text.size(); at += characters.back().size())
    characters.push_back(text.substr(at, std::max<size_t>(1, detail::utf8_length(text, at))));
  return characters;
}

EditCounts count_edits_of(const Pieces& reference, const Pieces& hypothesis) {
  std::unordered_map<std::string_view, long> numbers;
  const auto numbered = [&](const Pieces& pieces) {
    std::vector<long> out;
    for (const auto& piece : pieces)
      out.push_back(numbers.emplace(piece, static_cast<long>(numbers.size())).first->second);
    return out;
  };
  return count_edits(numbered(reference), numbered(hypothesis));
}

}  // namespace

double EditCounts::rate() const {
  if (reference > 0) return static_cast<double>(errors()) / static_cast<double>(reference);
  return errors() == 0 ? 0 : std::numeric_limits<double>::infinity();
}

EditCounts& EditCounts::operator+=(const EditCounts& other) {
  substitutions += other.substitutions;
  deletions += other.deletions;
  insertions += other.insertions;
  reference += other.reference;
  return *this;
}

EditCounts count_edits(std::span<const long> reference, std::span<const long> hypothesis) {
  EditCounts none;
  none.reference = static_cast<long>(reference.size());
  // Equal ends need no edits.
  while (!reference.empty() && !hypothesis.empty() && reference.front() == hypothesis.front())
    reference = reference.subspan(1), hypothesis = hypothesis.subspan(1);
  while (!reference.empty() && !hypothesis.empty() && reference.back() == hypothesis.back())
    reference = reference.first(reference.size() - 1), hypothesis = hypothesis.first(hypothesis.size() - 1);

  // best[j]: the edits of the alignment chosen for reference[0, i) and hypothesis[0, j). The choice at (i, j) does not
  // depend on what follows, so the counts can be carried along and no path needs to be walked back.
  std::vector<EditCounts> best(hypothesis.size() + 1, none);
  for (size_t j = 0; j < best.size(); ++j) best[j].insertions = static_cast<long>(j);
  for (size_t i = 0; i < reference.size(); ++i) {
    EditCounts corner = best[0];  // at (i, j)
    ++best[0].deletions;
    for (size_t j = 0; j < hypothesis.size(); ++j) {
      const EditCounts deleted = best[j + 1], inserted = best[j];  // at (i, j + 1) and (i + 1, j)
      const long diagonal = corner.errors() + (reference[i] != hypothesis[j]);
      EditCounts& now = best[j + 1];
      if (deleted.errors() + 1 <= std::min(diagonal, inserted.errors() + 1)) {
        now = deleted;
        ++now.deletions;
      } else if (inserted.errors() < corner.errors()) {
        now = inserted;
        ++now.insertions;
      } else {
        now = corner;
        now.substitutions += reference[i] != hypothesis[j];
      }
      corner = deleted;
    }
  }
  return best.back();
}

EditCounts word_errors(std::string_view reference, std::string_view hypothesis) {
  return count_edits_of(words_of(reference), words_of(hypothesis));
}

EditCounts character_errors(std::string_view reference, std::string_view hypothesis) {
  return count_edits_of(characters_of(reference), characters_of(hypothesis));
}

}  // namespace phonaut
