#include "phonaut/metrics/external.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <string_view>

#include "io/text.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX leaves declaring it to its users

namespace phonaut {

namespace {

using Clock = std::chrono::steady_clock;

struct Descriptor {
  int number = -1;
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  void close() {
    if (number >= 0) ::close(number);
    number = -1;
  }
};

struct SpawnSettings {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

/// A program that runs in a group of its own, with all that it says in one pipe. Ends with this object at the latest.
class Program {
 public:
  explicit Program(const std::vector<std::string>& arguments) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      throw CommandError(concat("external_score: no pipe can be had: ", detail::error_text(errno)));
    said_.number = ends[0];
    Descriptor write;
    write.number = ends[1];
    SpawnSettings settings;
    posix_spawn_file_actions_addopen(&settings.files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&settings.files, write.number, 1);
    posix_spawn_file_actions_adddup2(&settings.files, write.number, 2);
    posix_spawnattr_setflags(&settings.attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&settings.attributes, 0);
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const int error = ::posix_spawnp(&process_, argv[0], &settings.files, &settings.attributes, argv.data(), environ);
    if (error != 0) {
      process_ = -1;
      throw CommandError(
          concat("external_score: ", detail::ticked(arguments[0]), " cannot be started: ", detail::error_text(error)));
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
    if (process_ < 0) return;
    ::kill(-process_, SIGKILL);
    int ignored = 0;
    while (::waitpid(process_, &ignored, 0) < 0 && errno == EINTR) {
    }
  }

  /// Takes what has been said, until the pipe is closed or the time is over or there is too much; whether it is closed.
  bool listen(Clock::time_point until, std::size_t most, std::string& text) {
    std::array<char, 4096> block{};
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
      if (left <= 0 || text.size() > most) return false;
      pollfd waiting{said_.number, POLLIN, 0};
      const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<long>(left + 1, 1000)));
      if (ready <= 0) continue;  // time passes, or a signal came
      const ssize_t got = ::read(said_.number, block.data(), block.size());
      if (got == 0) return true;
      if (got < 0 && errno != EINTR && errno != EAGAIN) return true;
      if (got > 0) text.append(block.data(), static_cast<std::size_t>(got));
    }
  }
  /// The status with which it ended, or -1 - the signal; false if it has not ended by then.
  bool ended(Clock::time_point until, int& status) {
    for (;;) {
      int raw = 0;
      const pid_t got = ::waitpid(process_, &raw, WNOHANG);
      if (got == process_) {
        ::kill(-process_, SIGKILL);  // whoever it has left behind
        process_ = -1;
        status = WIFEXITED(raw) ? WEXITSTATUS(raw) : -1 - WTERMSIG(raw);
        return true;
      }
      if (got < 0 && errno != EINTR) {
        process_ = -1;
        throw CommandError(
            concat("external_score: how the program ended cannot be found out: ", detail::error_text(errno)));
      }
      if (Clock::now() >= until) return false;
      ::poll(nullptr, 0, 1);
    }
  }

 private:
  pid_t process_ = -1;
  Descriptor said_;
};

std::string filled_in(std::string argument, std::string_view name, const std::string& value, bool& used) {
  for (std::size_t at = 0; (at = argument.find(name, at)) != std::string::npos; at += value.size()) {
    argument.replace(at, name.size(), value);
    used = true;
  }
  return argument;
}

/// All numbers of a text: whatever begins like one and does not go on from a letter or another number.
std::vector<double> numbers_in(std::string_view text) {
  std::vector<double> numbers;
  const auto is_word = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at > 0 && is_word(text[at - 1])) continue;
    double value = 0;
    const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), value);
    const auto length = static_cast<std::size_t>(end - (text.data() + at));
    const bool whole =
        at + length == text.size() || !is_word(text[at + length]) ||
        (text[at + length] == '.' && (at + length + 1 == text.size() || !is_word(text[at + length + 1])));
    if (error != std::errc() || length == 0 || !whole) continue;
    numbers.push_back(value);
    at += length - 1;
  }
  return numbers;
}

/// The last line of a text that is not empty, for a message.
std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  return text.empty() ? "nothing" : detail::ticked(text.substr(text.rfind('\n') + 1));
}

}  // namespace

ExternalMetric ExternalMetric::pesq(const std::string& program, int rate, bool wide_band) {
  if ((rate != 8000 && rate != 16000) || (wide_band && rate != 16000))
    throw ConfigError(concat("pesq: a rate of ", rate, " Hz is not 8000 or 16000, and wide band needs 16000"));
  ExternalMetric metric{.command = {program, concat('+', rate)}, .behind = "MOS-LQO):", .which = wide_band ? 0 : 1};
  if (wide_band) metric.command.push_back("+wb");
  metric.command.insert(metric.command.end(), {"{reference}", "{degraded}"});
  return metric;
}
ExternalMetric ExternalMetric::visqol(const std::string& program) {
  return {.command = {program, "--reference_file", "{reference}", "--degraded_file", "{degraded}", "--use_speech_mode"},
          .behind = "MOS-LQO:"};
}

double external_score(const std::string& reference, const std::string& degraded, const ExternalMetric& metric) {
  bool first = false, second = false;
  std::vector<std::string> arguments;
  // Whole paths: no program can take one for an option.
  const std::string files[] = {std::filesystem::absolute(reference).string(),
                               std::filesystem::absolute(degraded).string()};
  for (const std::string& argument : metric.command)
    arguments.push_back(filled_in(filled_in(argument, "{reference}", files[0], first), "{degraded}", files[1], second));
  if (!first || !second || metric.command[0].empty() || !(metric.seconds > 0) || metric.most_output < 1)
    throw ConfigError(
        concat("external_score: a command of ", metric.command.size(),
               " parts must name a program and both `{reference}` and `{degraded}`, with more than 0 s and"
               " 0 bytes to answer"));
  for (const std::string& file : files)
    if (::access(file.c_str(), R_OK) != 0)
      throw FileError(concat(file, ": cannot be read: ", detail::error_text(errno)));

  constexpr double longest = 1e7;  // seconds; a clock can count so many
  const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(std::min(metric.seconds, longest)));
  std::string text;
  int status = 0;
  {
    Program program(arguments);
    const auto most = static_cast<std::size_t>(metric.most_output);
    const bool silent = program.listen(until, most, text);
    if (text.size() > most)
      throw CommandError(concat("external_score: ", detail::ticked(arguments[0]), " says more than ", most, " bytes"));
    if (!silent || !program.ended(until, status))
      throw CommandError(concat("external_score: ", detail::ticked(arguments[0]), " did not end within ",
                                metric.seconds, " s; it said ", last_line(text)));
  }
  if (status < 0)
    throw CommandError(concat("external_score: ", detail::ticked(arguments[0]), " was ended by signal ", -1 - status,
                              "; it said ", last_line(text)));
  if (status != 0)
    throw CommandError(concat("external_score: ", detail::ticked(arguments[0]), " ended with status ", status,
                              "; it said ", last_line(text)));
  std::string_view where = text;
  if (!metric.behind.empty()) {
    const std::size_t at = where.rfind(metric.behind);
    where = at == std::string_view::npos ? std::string_view() : where.substr(at + metric.behind.size());
  }
  const auto numbers = numbers_in(where);
  const long count = static_cast<long>(numbers.size()), which = metric.which < 0 ? count - 1 : metric.which;
  if (which < 0 || which >= count || !std::isfinite(numbers[static_cast<std::size_t>(which)]))
    throw CommandError(concat("external_score: ", detail::ticked(arguments[0]), " did not say a number at place ",
                              metric.which, metric.behind.empty() ? "" : " behind ",
                              metric.behind.empty() ? std::string() : detail::ticked(metric.behind), "; it said ",
                              last_line(text)));
  return numbers[static_cast<std::size_t>(which)];
}

namespace detail {

ScratchFolder::ScratchFolder() {
  std::error_code error;
  const auto base = std::filesystem::temp_directory_path(error);
  if (error) throw FileError(concat("there is no temporary folder: ", error.message()));
  path_ = (base / "phonaut-XXXXXX").string();
  if (!::mkdtemp(path_.data())) throw FileError(concat(path_, ": cannot be created: ", error_text(errno)));
}
ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace detail

}  // namespace phonaut
