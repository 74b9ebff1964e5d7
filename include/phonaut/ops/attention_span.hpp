#pragma once
// Which keys a query may look at. Light: per-instruction-set kernel files include it.
#include "phonaut/core/view.hpp"

namespace phonaut::kernel {

/// Padding and chunk masks leave each query a range of keys, never a scattered set, so that no mask is ever stored.
/// Queries 0 … queries-1 are the last ones of the keys 0 … keys-1.
struct AttentionSpan {
  const long* lengths = nullptr;  ///< (N) real keys of each utterance, on the host; null when nothing is padded
  long chunk = 0;                 ///< frames per chunk; 0 when there are no chunks
  long left_chunks = -1;          ///< chunks before its own that a query may see; -1: all of them
  /// What becomes of queries that may see no key. False: weights of zero (and padded queries count as such). True:
  /// uniform weights over all keys, as in implementations that fill masked scores with a large negative number.
  bool uniform_if_empty = false;
  /// (N) first real key of each utterance, on the host: a stream that has just started has no past yet. Null: 0.
  const long* first = nullptr;

  struct Range {
    long begin, end;
    PHONAUT_HD PHONAUT_INLINE bool empty() const { return begin >= end; }
  };
  PHONAUT_HD PHONAUT_INLINE Range keys_of(long n, long query, long queries, long keys) const {
    const long at = query + keys - queries;  // the query's own key
    Range range{0, keys};
    if (chunk > 0) {
      const long own = at / chunk;
      if (left_chunks >= 0 && own > left_chunks) range.begin = (own - left_chunks) * chunk;
      if ((own + 1) * chunk < keys) range.end = (own + 1) * chunk;
    }
    if (first && first[n] > range.begin) range.begin = first[n];
    if (lengths) {
      if (lengths[n] < range.end) range.end = lengths[n];
      if (!uniform_if_empty && at >= lengths[n]) range.end = range.begin;
    }
    return range;
  }
};

}  // namespace phonaut::kernel
