#include "phonaut/io/json_lines.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "byte_source.hpp"
#include "phonaut/core/error.hpp"
#include "text.hpp"

namespace phonaut {
namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 31;

[[noreturn]] void refused(const std::string& path, const char* action, int error) {
  throw FileError(concat(path, ": ", action, ": ", detail::error_text(error)));
}

/// Where the last complete line of the file ends.
off_t end_of_lines(const std::string& path, int descriptor, off_t size) {
  char block[4096];
  for (off_t end = size; end > 0;) {
    const off_t begin = end > off_t{sizeof block} ? end - off_t{sizeof block} : 0;
    const ssize_t got = ::pread(descriptor, block, static_cast<std::size_t>(end - begin), begin);
    if (got != end - begin) refused(path, "cannot be read", got < 0 ? errno : EIO);
    const auto last = std::string_view(block, static_cast<std::size_t>(got)).rfind('\n');
    if (last != std::string_view::npos) return begin + static_cast<off_t>(last) + 1;
    end = begin;
  }
  return 0;
}

/// Calls `use(line as JSON, offset of its first byte)` for each complete line, until that returns false.
template <class Use>
void each_line(const std::string& path, std::string_view text, Use&& use) {
  std::size_t begin = 0;
  for (long number = 1;; ++number) {
    const std::size_t end = text.find('\n', begin);
    if (end == text.npos) return;
    const auto name = concat(path, " line ", number);
    auto value = JsonValue::parse(text.substr(begin, end - begin), name);
    if (!value.is_object()) throw FormatError(concat(name, ": is no JSON object"));
    if (!use(std::move(value), begin)) return;
    begin = end + 1;
  }
}

}  // namespace

JsonLines::JsonLines(std::string path, Existing existing) : path_(std::move(path)) {
  const int truncate = existing == Existing::replace ? O_TRUNC : 0;
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | truncate, 0666);
  if (descriptor_ < 0) refused(path_, "cannot be opened for writing", errno);
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) refused(path_, "cannot be looked at", errno);
    if (!S_ISREG(status.st_mode)) return;  // a device or a pipe has no lines to keep
    const off_t end = end_of_lines(path_, descriptor_, status.st_size);
    if (end < status.st_size && ::ftruncate(descriptor_, end) != 0) refused(path_, "cannot be cut", errno);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

JsonLines::~JsonLines() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

JsonLines::JsonLines(JsonLines&& other) noexcept
    : path_(std::move(other.path_)), line_(std::move(other.line_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

JsonLines& JsonLines::operator=(JsonLines&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(line_, other.line_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

void JsonLines::write(const JsonValue::Object& members) {
  line_ = JsonValue::object(members).dump();
  line_ += '\n';
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  for (std::size_t done = 0; done < line_.size();) {
    const ssize_t part = ::write(descriptor_, line_.data() + done, line_.size() - done);
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) {
      const int error = part < 0 ? errno : ENOSPC;
      // Half a line would make the next one unreadable. If even this fails, opening the log again cuts it.
      if (done > 0 && before >= 0) (void)!::ftruncate(descriptor_, before);
      refused(path_, "a line cannot be written", error);
    }
    done += static_cast<std::size_t>(part);
  }
}

long keep_lines_through(const std::string& path, std::string_view key, double last) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 && errno == ENOENT) return 0;
  const auto text = detail::read_text_file(path, most_bytes);
  std::size_t end = text.rfind('\n') + 1;  // npos + 1 is 0: no complete line
  long dropped = 0;
  each_line(path, text, [&](const JsonValue& line, std::size_t begin) {
    const auto* value = line.find(key);
    if (dropped > 0 || (value && value->is_number() && value->number() > last)) {
      if (dropped++ == 0) end = begin;
    }
    return true;
  });
  if (end < text.size() && ::truncate(path.c_str(), static_cast<off_t>(end)) != 0)
    refused(path, "cannot be cut", errno);
  return dropped;
}

std::vector<JsonValue> read_json_lines(const std::string& path) {
  std::vector<JsonValue> lines;
  each_line(path, detail::read_text_file(path, most_bytes), [&](JsonValue&& line, std::size_t) {
    lines.push_back(std::move(line));
    return true;
  });
  return lines;
}

}  // namespace phonaut
