// Metrics of other programs: what they say is read, what they are given is not interpreted, and nothing is left behind.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/metrics/external.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

/// A folder with two files and programs of the test's own.
struct Place {
  TemporaryFolder folder;
  std::string a = folder / "a b.wav", b = folder / "$(touch hacked) 'b';\".wav";
  Place() {
    spill(a, "one");
    spill(b, "three");
  }
  std::string program(const std::string& script) const {
    std::string path = folder / "program";
    spill(path, "#!/bin/sh\n" + script + "\n");
    ::chmod(path.c_str(), 0755);
    return path;
  }
  ExternalMetric metric(const std::string& script, const std::string& behind = "", long which = 0) const {
    return {
        .command = {program(script), "{reference}", "x={degraded}"}, .behind = behind, .which = which, .seconds = 20};
  }
  double score(const ExternalMetric& metric) const { return external_score(a, b, metric); }
};
long descriptors() {
  long count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) count += entry.exists();
  return count;
}

}  // namespace

TEST_CASE("a program's number is found where it is said", "[metrics]") {
  const Place place;
  const auto said = [&](const std::string& text, const std::string& behind = "", long which = 0) {
    return place.score(place.metric("printf '" + text + "'", behind, which));
  };
  CHECK(said("2.25\\n") == 2.25);
  CHECK(said("mos1 is -3.5e-1, really\\n") == -0.35);
  CHECK(said("1 2 3", "", -1) == 3);
  CHECK(said("1 2 3", "", 1) == 2);
  CHECK(said("MOS: 1\\nMOS: 4.5.\\nbye 7", "MOS:") == 4.5);
  // What the programs themselves print.
  CHECK(said("P.862 Prediction (Raw MOS, MOS-LQO):  = 2.237\\t1.844\\n", ExternalMetric::pesq("p", 8000, false).behind,
             ExternalMetric::pesq("p", 8000, false).which) == 1.844);
  CHECK(said("P.862.2 Prediction (MOS-LQO):  = 1.969\\n", ExternalMetric::pesq("p", 16000, true).behind) == 1.969);
  CHECK(said("MOS-LQO:\\t\\t4.12\\n", ExternalMetric::visqol("v").behind) == 4.12);
  CHECK(ExternalMetric::pesq("p", 16000, true).command ==
        std::vector<std::string>{"p", "+16000", "+wb", "{reference}", "{degraded}"});
  CHECK_THROWS_AS(ExternalMetric::pesq("p", 8000, true), ConfigError);
  CHECK_THROWS_AS(ExternalMetric::pesq("p", 44100, false), ConfigError);
  // Standard error counts too; the program may look for its input, and finds none.
  CHECK(place.score(place.metric("cat; echo 8 >&2")) == 8);
}

TEST_CASE("arguments reach the program as they are", "[metrics]") {
  const Place place;
  const auto metric = place.metric("[ \"$1\" = '" + place.a + "' ] || exit 3\nwc -c < \"${2#x=}\"");
  CHECK(place.score(metric) == 5);  // the file with the strange name was found
  CHECK_FALSE(std::filesystem::exists(place.folder / "hacked"));
  CHECK_FALSE(std::filesystem::exists("hacked"));
  const std::vector<float> x(800, 0.25f), y(1600, 0.5f);
  CHECK(external_score(x, y, 8000, place.metric("wc -c < \"$1\"")) == 44 + 2 * 800);
  CHECK(external_score(x, y, 8000, place.metric("wc -c < \"${2#x=}\"")) == 44 + 2 * 1600);
}

TEST_CASE("a program that fails is an error that says so", "[metrics]") {
  const Place place;
  const auto complaint = [&](const ExternalMetric& metric) {
    return message_of<CommandError>([&] { place.score(metric); });
  };
  const auto has = [](const std::string& text, const std::string& part) {
    INFO(text);
    CHECK(text.find(part) != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  };
  has(complaint(place.metric("echo 3\necho 'no such level'\nexit 7")), "status 7; it said `no such level`");
  has(complaint(place.metric("kill -9 $$")), "signal 9; it said nothing");
  has(complaint(place.metric("echo fine")), "did not say a number at place 0; it said `fine`");
  has(complaint(place.metric("echo 1", "MOS:")), "behind `MOS:`");
  has(complaint(place.metric("echo 1", "", 1)), "at place 1");
  has(complaint(place.metric("echo nan")), "did not say a number");
  has(complaint(place.metric("echo 1e999")), "did not say a number");
  has(complaint({.command = {place.folder / "missing", "{reference}{degraded}"}}), "cannot be started");
  auto much = place.metric("while :; do echo 123456789; done");
  much.most_output = 1000;
  has(complaint(much), "says more than 1000 bytes");
  CHECK_THROWS_AS(external_score(place.folder / "none.wav", place.b, place.metric("echo 1")), FileError);
  for (const std::vector<std::string>& command :
       std::vector<std::vector<std::string>>{{}, {"echo"}, {"echo", "{reference}"}, {"", "{reference}{degraded}"}})
    CHECK_THROWS_AS(place.score({.command = command}), ConfigError);
}

TEST_CASE("a program that takes too long is stopped with all that it started, and leaves nothing", "[metrics]") {
  const Place place;
  const long before = descriptors();
  const std::string mark = place.folder / "alive";
  auto slow = place.metric("(sleep 1; touch '" + mark + "') & sleep 30");
  slow.seconds = 0.2;
  const auto start = std::chrono::steady_clock::now();
  CHECK_THROWS_AS(place.score(slow), CommandError);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  // One that closes its output and stays is stopped as well.
  auto quiet = place.metric("echo 1; exec >&- 2>&-; sleep 30");
  quiet.seconds = 0.2;
  CHECK_THROWS_AS(place.score(quiet), CommandError);
  for (int i = 0; i < 20; ++i) CHECK(place.score(place.metric("echo 5")) == 5);
  CHECK(descriptors() == before);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);
  ::usleep(1500000);
  CHECK_FALSE(std::filesystem::exists(mark));
}
