#pragma once
// What every communicator of ours does alike: compares what the ranks call, and cuts a sum into parts.
#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <vector>

#include "phonaut/core/error.hpp"

namespace phonaut {

/// What a rank wants of a collective.
struct Call {
  enum class Kind : long { sum_floats, sum_doubles, broadcast, all_gather, barrier, duplicate, abandoned, ended };
  Kind kind = Kind::barrier;
  long n = 0;  ///< elements of a sum, else bytes
  long root = 0;
  std::array<char, 232> more{};  ///< of Kind::abandoned: the beginning of its reason; else what need not be sent apart

  static Call last(Kind kind, const std::string& why) {
    Call call{kind, 0, 0, {}};
    std::copy_n(why.begin(), std::min(why.size(), call.more.size() - 1), call.more.begin());
    return call;
  }
};

inline std::string text(const Call& call) {
  switch (call.kind) {
    case Call::Kind::sum_floats:
      return concat("the sum of ", call.n, " floats");
    case Call::Kind::sum_doubles:
      return concat("the sum of ", call.n, " doubles");
    case Call::Kind::broadcast:
      return concat("the ", call.n, " bytes of rank ", call.root);
    case Call::Kind::all_gather:
      return concat(call.n, " bytes of each rank");
    case Call::Kind::duplicate:
      return "another channel";
    case Call::Kind::abandoned:
      return concat("nothing, because it has failed: ", call.more.data());
    case Call::Kind::ended:
      return "nothing, because it has ended";
    case Call::Kind::barrier:
      break;
  }
  return "to wait for all";
}

/// Says which two ranks want different things; empty if all want the same.
inline std::string disagreement(const std::vector<Call>& calls) {
  for (size_t r = 1; r < calls.size(); ++r)
    if (calls[r].kind != calls[0].kind || calls[r].n != calls[0].n || calls[r].root != calls[0].root)
      return concat("rank 0 wants ", text(calls[0]), ", but rank ", r, " wants ", text(calls[r]));
  return {};
}

/// The part of `n` values that a rank adds up.
struct Part {
  long first = 0, count = 0;
};
inline Part part_of(long n, int rank, int size) {
  const long whole = n / size, rest = n % size;
  return {rank * whole + std::min<long>(rank, rest), whole + (rank < rest ? 1 : 0)};
}

inline std::string reason_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "something that is no std::exception";
  }
}

}  // namespace phonaut
