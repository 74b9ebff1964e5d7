#include "common/device.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <phonaut/core/error.hpp>
#include <vector>

using namespace phonaut;
namespace fs = std::filesystem;

namespace {

const std::string kSuffix = "-cuda";

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() > end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// What this process was started with. Linux tells, so that main need not carry it to where an option is read.
std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::string> arguments;
  for (size_t at = 0; at < all.size();) {
    arguments.emplace_back(all.c_str() + at);
    at += arguments.back().size() + 1;
  }
  return arguments;
}

}  // namespace

Device device_named(const std::string& text) {
  if (text == "cpu") return {};
  if (text == "cuda") return {.cuda = true};
  const std::string index = text.rfind("cuda:", 0) == 0 ? text.substr(5) : "";
  if (index.empty() || index.size() > 4 ||
      !std::all_of(index.begin(), index.end(), [](unsigned char c) { return c >= '0' && c <= '9'; }))
    throw ConfigError("a device is cpu, cuda or cuda:N, not '" + text + "'");
  return {.cuda = true, .index = std::stoi(index)};
}

void run_for_other_backend(bool cuda) {
  std::error_code unknown;
  const fs::path self = fs::read_symlink("/proc/self/exe", unknown);
  const std::string name = self.filename().string();
  const bool paired = cuda || ends_with(name, kSuffix);
  const fs::path other =
      self.parent_path() / (cuda ? name + kSuffix : name.substr(0, name.size() - (paired ? kSuffix.size() : 0)));
  std::vector<std::string> arguments = own_arguments();
  if (unknown || !paired || arguments.empty() || !fs::exists(other, unknown))
    throw ConfigError(cuda ? "this build has no CUDA backend: there is no " + other.string()
                           : "this program is for CUDA alone, and the one for the processor is not beside it");
  std::vector<char*> words;
  words.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  execv(other.c_str(), words.data());
  throw ConfigError(other.string() + " cannot be started: " + std::strerror(errno));
}
