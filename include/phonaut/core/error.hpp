#pragma once
// Exceptions of phonaut. Every message is one sentence that shows both sides of what disagreed.
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace phonaut {

/// Base of everything phonaut throws.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Shapes, ranks or lengths that do not fit together.
struct ShapeError : Error {
  using Error::Error;
};
/// An option or argument outside of its legal range.
struct ConfigError : Error {
  using Error::Error;
};
/// A file that cannot be opened, read, written or renamed.
struct FileError : Error {
  using Error::Error;
};
/// A file that can be read but is not what it claims to be (truncated, hostile, wrong magic).
struct FormatError : Error {
  using Error::Error;
};
/// A checkpoint whose entries differ from the model; lists every difference.
struct LoadError : Error {
  using Error::Error;
};
/// A call at the wrong time: a value of an earlier tape, a backward pass with nothing recorded.
struct StateError : Error {
  using Error::Error;
};
/// NaN or infinity where a number is needed.
struct NumericalError : Error {
  using Error::Error;
};

/// Ranks that train one model together and disagree, or one of which has failed.
struct RankError : Error {
  using Error::Error;
};

/// Joins its arguments into one string; whatever `operator<<` prints, prints here.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  ((out << parts), ...);
  return std::move(out).str();
}

}  // namespace phonaut
