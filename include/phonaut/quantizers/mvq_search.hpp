#pragma once
// The search for the sum of codebook entries that is nearest to a point. D. Povey, in the package multi_quantization,
// described by L. Guo et al., "Predicting Multi-Codebook Vector Quantization Indexes for Knowledge Distillation", 2023.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut::detail {

/// All products that the search needs: with them no step of it touches the dimensions of the points any more.
template <class T>
struct MvqProducts {
  long books = 0, entries = 0;
  std::vector<T> centers;  ///< <c, c'> of all centers, (books · entries)²
  double of(long a, long b) const { return static_cast<double>(centers[static_cast<size_t>(a * books * entries + b)]); }
};

/// Refines the codes of one point. Each book in turn offers its best entries, as many as `cut`, with the others left as
/// they are; offers of neighbouring books are joined in pairs and cut again, until one is left for all books together.
/// Changing book i from o to c moves the sum by δ = c - o and the squared error e² by 2 <e, δ> + |δ|²; for two changes
/// that adds up, but for 2 <δ, δ'>. A round may end with a larger error where books are far from orthogonal: what a cut
/// leaves out is judged with the other books as they were.
template <class T>
class MvqSearch {
 public:
  explicit MvqSearch(const MvqProducts<T>& products) : p_(products) {}

  /// `point`: <x, c> for all centers (books · entries). `codes` (books) are changed in place.
  void refine(const T* point, std::int32_t* codes) {
    const long books = p_.books, entries = p_.entries;
    chosen_.resize(static_cast<size_t>(books));
    for (long i = 0; i < books; ++i) chosen_[static_cast<size_t>(i)] = i * entries + codes[i];
    std::vector<Choice> choices(static_cast<size_t>(books));
    for (long i = 0; i < books; ++i) offer(point, i, choices[static_cast<size_t>(i)]);
    for (long covered = 1; choices.size() > 1; covered *= 2) {
      std::vector<Choice> joined(choices.size() / 2);
      for (size_t i = 0; i < joined.size(); ++i) {
        join(choices[2 * i], choices[2 * i + 1], joined[i]);
        keep_best(joined[i], joined.size() == 1 ? 1 : cut(2 * covered));
      }
      choices = std::move(joined);
    }
    keep_best(choices.front(), 1);
    for (long i = 0; i < books; ++i)
      codes[i] = static_cast<std::int32_t>(choices.front().centers[static_cast<size_t>(i)] - i * entries);
  }
  /// |sum of the chosen centers - x|² but for |x|².
  double error(const T* point, const std::int32_t* codes) const {
    double total = 0;
    for (long i = 0; i < p_.books; ++i) {
      const long a = i * p_.entries + codes[i];
      total -= 2 * static_cast<double>(point[a]);
      for (long j = 0; j < p_.books; ++j) total += p_.of(a, j * p_.entries + codes[j]);
    }
    return total;
  }

 private:
  /// Offers of the books first … first + width - 1: for each, the change of the squared error and a center per book.
  struct Choice {
    long first = 0, width = 1;
    std::vector<double> change;
    std::vector<long> centers;  ///< (offers, width)
  };
  /// How many offers are kept where each covers so many books: about the same work in every round.
  long cut(long covered) const {
    long keep = p_.entries <= 16 ? 8 : 16;
    for (; covered >= 4; covered /= 4) keep *= 2;
    return std::min(keep, 128L);
  }
  void offer(const T* point, long book, Choice& choice) {
    choice.first = book;
    const long old = chosen_[static_cast<size_t>(book)];
    const auto product_with_error = [&](long center) {
      double total = -static_cast<double>(point[center]);
      for (const long other : chosen_) total += p_.of(other, center);
      return total;
    };
    const double before = product_with_error(old);
    for (long k = 0; k < p_.entries; ++k) {
      const long center = book * p_.entries + k;
      choice.change.push_back(2 * (product_with_error(center) - before) + p_.of(center, center) -
                              2 * p_.of(center, old) + p_.of(old, old));
      choice.centers.push_back(center);
    }
    keep_best(choice, cut(1));
  }
  /// <δ, δ'> of two changes of different books.
  double product_of_changes(long a, long b) const {
    const long old_a = chosen_[static_cast<size_t>(a / p_.entries)],
               old_b = chosen_[static_cast<size_t>(b / p_.entries)];
    return p_.of(a, b) - p_.of(a, old_b) - p_.of(old_a, b) + p_.of(old_a, old_b);
  }
  void join(const Choice& a, const Choice& b, Choice& both) const {
    both.first = a.first;
    both.width = a.width + b.width;
    for (size_t i = 0; i < a.change.size(); ++i)
      for (size_t j = 0; j < b.change.size(); ++j) {
        const long *from_a = &a.centers[i * static_cast<size_t>(a.width)],
                   *from_b = &b.centers[j * static_cast<size_t>(b.width)];
        double cross = 0;
        for (long s = 0; s < a.width; ++s)
          for (long t = 0; t < b.width; ++t) cross += product_of_changes(from_a[s], from_b[t]);
        both.change.push_back(a.change[i] + b.change[j] + 2 * cross);
        both.centers.insert(both.centers.end(), from_a, from_a + a.width);
        both.centers.insert(both.centers.end(), from_b, from_b + b.width);
      }
  }
  /// The `keep` smallest changes, in order; the first of equals.
  static void keep_best(Choice& choice, long keep) {
    const size_t count = choice.change.size(), most = std::min(count, static_cast<size_t>(keep));
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; ++i) order[i] = i;
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(),
                      [&](size_t i, size_t j) {
                        return choice.change[i] < choice.change[j] || (choice.change[i] == choice.change[j] && i < j);
                      });
    Choice best{choice.first, choice.width, {}, {}};
    for (size_t i = 0; i < most; ++i) {
      best.change.push_back(choice.change[order[i]]);
      const auto from = choice.centers.begin() + static_cast<std::ptrdiff_t>(order[i]) * choice.width;
      best.centers.insert(best.centers.end(), from, from + choice.width);
    }
    choice = std::move(best);
  }

  const MvqProducts<T>& p_;
  std::vector<long> chosen_;
};

/// Pairs of codes packed into one, first + entries · second, again and again while entries² <= 256: as bytes
/// (rows, books / pairs). Throws ShapeError for more than 256 entries.
inline std::vector<std::uint8_t> pack_code_bytes(std::vector<std::int32_t> codes, long books, long entries) {
  if (entries > 256) throw ShapeError(concat("mvq: a code of ", entries, " entries does not fit into a byte"));
  for (; entries * entries <= 256 && books % 2 == 0; entries *= entries, books /= 2) {
    for (size_t i = 0; i < codes.size() / 2; ++i)
      codes[i] = codes[2 * i] + static_cast<std::int32_t>(entries) * codes[2 * i + 1];
    codes.resize(codes.size() / 2);
  }
  return {codes.begin(), codes.end()};
}

/// The inverse of the above: codes (rows, books) of so many entries.
inline std::vector<std::int32_t> unpack_code_bytes(const std::vector<std::uint8_t>& bytes, long books, long entries) {
  long packed = 1, size = entries;
  for (long left = books; size * size <= 256 && left % 2 == 0; size *= size, left /= 2) packed *= 2;
  std::vector<std::int32_t> codes;
  for (long byte : bytes)
    for (long i = 0; i < packed; ++i, byte /= entries) codes.push_back(static_cast<std::int32_t>(byte % entries));
  return codes;
}

}  // namespace phonaut::detail
