#pragma once
// Word and character error rates: the fewest edits between what was said and what was heard.
#include <span>
#include <string_view>

namespace phonaut {

/// Edits that turn references into hypotheses. Adding up those of many utterances pools them: the rate of the sum is
/// the error rate of the whole set.
struct EditCounts {
  long substitutions = 0, deletions = 0, insertions = 0;
  long reference = 0;  ///< symbols of the references

  long errors() const { return substitutions + deletions + insertions; }
  /// Errors per symbol of the references; may exceed 1. Of empty references: 0 without errors, else infinity.
  double rate() const;
  EditCounts& operator+=(const EditCounts& other);
};

/// Levenshtein distance (V. Levenshtein, 1966), taken apart. Only the number of errors is unique; among the alignments
/// with so few, the one that jiwer counts is taken (from the end: a deletion where it is one of the best, else an
/// insertion that saves an error). Time is the product of the lengths, memory their sum.
EditCounts count_edits(std::span<const long> reference, std::span<const long> hypothesis);

/// Edits between words, which are what white space separates. Nothing is normalised: "One" and "one" differ.
EditCounts word_errors(std::string_view reference, std::string_view hypothesis);

/// Edits between characters: code points of UTF-8, spaces included. A byte that is no UTF-8 is a character of its own.
EditCounts character_errors(std::string_view reference, std::string_view hypothesis);

}  // namespace phonaut
