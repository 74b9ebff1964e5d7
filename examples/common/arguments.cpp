#include "common/arguments.hpp"

#include <cmath>
#include <cstdlib>

using phonaut::concat;

namespace {

const std::string kDevice = "--device";

Device named(const std::string& text) {
  return or_usage_error([&] { return device_named(text); });
}

}  // namespace

double Arguments::number(std::size_t place, const char* what, double otherwise) const {
  if (place >= words.size()) return otherwise;
  const std::string& word = words[place];
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  if (end != word.c_str() + word.size() || !(value > 0) || std::isinf(value))
    throw UsageError(concat(what, " must be a number above 0, not '", word, "'"));
  return value;
}

long Arguments::count(std::size_t place, const char* what, long otherwise) const {
  constexpr long most = 1'000'000'000;
  const double value = number(place, what, static_cast<double>(otherwise));
  if (value != std::floor(value) || value > static_cast<double>(most))
    throw UsageError(concat(what, " must be a whole number up to ", most, ", not '", words[place], "'"));
  return static_cast<long>(value);
}

Arguments arguments_of(int argc, char** argv, std::size_t most, const Device& unless_told) {
  Arguments arguments{.device = unless_told, .words = {}};
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == kDevice) {
      if (++i == argc) throw UsageError(kDevice + " wants a name behind it: cpu, cuda or cuda:N");
      arguments.device = named(argv[i]);
    } else if (word.rfind(kDevice + "=", 0) == 0) {
      arguments.device = named(word.substr(kDevice.size() + 1));
    } else if (word.rfind('-', 0) == 0) {
      throw UsageError(concat("there is no option '", word, "', only ", kDevice));
    } else {
      arguments.words.push_back(word);
    }
  }
  if (arguments.words.size() > most)
    throw UsageError(concat("at most ", most, " words are understood, but '", arguments.words[most], "' is one more"));
  return arguments;
}
