// Training logs: lines that stay whole through kills, full disks and resumed runs.
#include <sys/resource.h>
#include <sys/wait.h>

#include <cmath>
#include <csignal>
#include <limits>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/io/json_lines.hpp"

using namespace phonaut;
using namespace phonaut::testing;

TEST_CASE("log: one line per call, at once in the file", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "log.jsonl";
  JsonLines log(path);
  log.write({{"step", 1}, {"loss", 0.25F}, {"note", "a \"b\"\n\xff"}});
  CHECK(slurp(path) == "{\"step\":1,\"loss\":0.25,\"note\":\"a \\\"b\\\"\\n\xEF\xBF\xBD\"}\n");
  log.write({{"step", 2}, {"loss", std::nan("")}, {"norm", std::numeric_limits<double>::infinity()}});
  const auto lines = read_json_lines(path);
  REQUIRE(lines.size() == 2);
  CHECK(lines[1].at("loss").is_null());
  CHECK(lines[1].dump() == "{\"step\":2,\"loss\":null,\"norm\":null}");
  CHECK(log.path() == path);
}

TEST_CASE("log: opened again it goes on; replaced it starts anew", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "log.jsonl";
  JsonLines(path).write({{"step", 1}});
  JsonLines(path).write({{"step", 2}});
  CHECK(read_json_lines(path).size() == 2);
  JsonLines moved = JsonLines(path, JsonLines::Existing::replace);
  CHECK(slurp(path).empty());
  moved.write({{"step", 3}});
  CHECK(slurp(path) == "{\"step\":3}\n");
}

TEST_CASE("log: a torn last line is cut before the next one", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "log.jsonl";
  const std::string whole = "{\"step\":1}\n{\"step\":2,\"note\":\"" + std::string(10'000, 'x') + "\"}\n";
  const std::string torn = "{\"step\":3,\"note\":\"" + std::string(9000, 'y');
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, torn.size()}) {
    spill(path, whole + torn.substr(0, length));
    CHECK(read_json_lines(path).size() == 2);
    JsonLines(path).write({{"step", 3}});
    CHECK(slurp(path) == whole + "{\"step\":3}\n");
  }
  spill(path, torn);
  JsonLines(path).write({{"step", 1}});
  CHECK(slurp(path) == "{\"step\":1}\n");
}

TEST_CASE("log: a resumed run drops what came after its checkpoint", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "log.jsonl";
  const auto fill = [&](const char* tail) {
    JsonLines log(path, JsonLines::Existing::replace);
    log.write({{"config", "x"}});
    for (int step = 1; step <= 5; ++step) log.write({{"step", step}, {"loss", 1.0 / step}});
    log.write({{"note", "no step"}});
    spill(path, slurp(path) + tail);
  };
  fill("{\"step\":6,\"lo");
  CHECK(keep_lines_through(path, "step", 3) == 3);
  CHECK(read_json_lines(path).size() == 4);
  CHECK(read_json_lines(path).back().at("step").integer() == 3);
  fill("{\"step\":6,\"lo");
  CHECK(keep_lines_through(path, "step", 100) == 0);
  CHECK(slurp(path).ends_with("{\"note\":\"no step\"}\n"));
  CHECK(keep_lines_through(path, "step", 0) == 6);
  CHECK(slurp(path) == "{\"config\":\"x\"}\n");
  CHECK(keep_lines_through(folder / "absent", "step", 0) == 0);

  spill(path, "{\"step\":1}\nnonsense\n{\"step\":3}\n");
  CHECK(contains(message_of<FormatError>([&] { keep_lines_through(path, "step", 0); }), path + " line 2: is not JSON"));
  CHECK(slurp(path).size() == 31);
  spill(path, "[1]\n");
  CHECK(contains(message_of<FormatError>([&] { read_json_lines(path); }), "line 1: is no JSON object"));
}

TEST_CASE("log: a full disk leaves whole lines", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "log.jsonl";
  JsonLines log(path);
  log.write({{"step", 1}});
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{100, old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  const auto message = message_of<FileError>([&] { log.write({{"note", std::string(1000, 'x')}}); });
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CHECK(contains(message, path + ": a line cannot be written: File too large"));
  CHECK(slurp(path) == "{\"step\":1}\n");
  log.write({{"step", 2}});
  CHECK(read_json_lines(path).size() == 2);
}

TEST_CASE("log: killed at any moment it stays readable", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "log.jsonl";
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    JsonLines log(path);
    for (int step = 1;; ++step) log.write({{"step", step}, {"note", std::string(200, 'x')}});
  }
  // Looked at from outside: to read a file to its end one must be faster than who writes it.
  std::error_code not_there_yet;
  while (std::filesystem::file_size(path, not_there_yet) + 1 <= 100'000) ::usleep(1000);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  const auto before = read_json_lines(path).size();
  CHECK(before > 100);
  JsonLines(path).write({{"step", -1}});
  const auto lines = read_json_lines(path);
  REQUIRE(lines.size() == before + 1);
  for (std::size_t i = 0; i < before; ++i) CHECK(lines[i].at("step").integer() == static_cast<long>(i) + 1);
}

TEST_CASE("log: what cannot be opened says so", "[io]") {
  const TemporaryFolder folder;
  CHECK(contains(message_of<FileError>([&] { JsonLines log(folder / "no/such/log"); }), "No such file"));
  CHECK(contains(message_of<FileError>([&] { JsonLines log(folder.path()); }), "directory"));
  if (::access("/dev/full", W_OK) == 0)
    CHECK(contains(message_of<FileError>([] { JsonLines("/dev/full").write({{"a", 1}}); }), "No space left on device"));
}
