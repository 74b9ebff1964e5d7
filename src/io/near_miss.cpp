#include "phonaut/io/near_miss.hpp"

#include <algorithm>
#include <utility>

#include "text.hpp"

namespace phonaut {

long edit_distance(std::string_view a, std::string_view b, long limit) {
  if (limit < 0) limit = 0;
  while (!a.empty() && !b.empty() && a.front() == b.front()) a.remove_prefix(1), b.remove_prefix(1);
  while (!a.empty() && !b.empty() && a.back() == b.back()) a.remove_suffix(1), b.remove_suffix(1);
  if (a.size() > b.size()) std::swap(a, b);
  const auto n = static_cast<long>(a.size()), m = static_cast<long>(b.size());
  if (m - n > limit) return limit + 1;
  if (n == 0) return m;

  // Rows of the table of distances between prefixes; a swap of neighbours looks two rows back.
  std::vector<long> before(n + 1), last(n + 1), row(n + 1);
  for (long i = 0; i <= n; ++i) last[i] = i;
  for (long j = 1; j <= m; ++j) {
    row[0] = j;
    long best = j;
    for (long i = 1; i <= n; ++i) {
      row[i] = std::min({last[i] + 1, row[i - 1] + 1, last[i - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[i] = std::min(row[i], before[i - 2] + 1);
      best = std::min(best, row[i]);
    }
    // A swap may step over one row, so both must have passed the limit.
    if (best > limit && *std::min_element(last.begin(), last.end()) > limit) return limit + 1;
    std::swap(before, last);
    std::swap(last, row);
  }
  return std::min(last[n], limit + 1);
}

std::vector<std::string> near_misses(std::string_view wanted, std::span<const std::string> candidates,
                                     std::size_t most) {
  constexpr std::size_t longest = 256;  // beyond that no name is a slip of the hand, and the table grows
  std::vector<std::pair<long, const std::string*>> found;
  if (wanted.empty() || wanted.size() > longest) return {};
  const long limit = std::max<long>(1, static_cast<long>(wanted.size()) / 4);
  for (const auto& candidate : candidates) {
    if (candidate.empty() || candidate.size() > longest || candidate == wanted) continue;
    const bool nested = candidate.ends_with(wanted) || wanted.ends_with(candidate);
    const long distance = nested ? 1 : edit_distance(wanted, candidate, limit);
    if (distance <= limit) found.emplace_back(distance, &candidate);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> names;
  for (std::size_t i = 0; i < std::min(most, found.size()); ++i) names.push_back(*found[i].second);
  return names;
}

std::string did_you_mean(std::string_view wanted, std::span<const std::string> candidates) {
  const auto names = near_misses(wanted, candidates);
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i)
    out += (i == 0 ? "; did you mean " : i + 1 == names.size() ? " or " : ", ") + detail::ticked(names[i]);
  return out.empty() ? out : out + "?";
}

}  // namespace phonaut
