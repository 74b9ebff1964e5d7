// Manifests: tables, lists, folders; errors with line numbers; splits by speaker.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/io/manifest.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

const std::string header = "path\tspeaker\tlabel\ttranscript\tlanguage\tseconds\tsample_rate\tsplit\n";

std::vector<Utterance> table(const std::string& text) { return parse_manifest(text, "m.tsv", "/data"); }

std::string refusal(const std::string& text) {
  return message_of<FormatError>([&] { table(text); });
}

std::vector<Utterance> people(int speakers, int each) {
  std::vector<Utterance> utterances;
  for (int s = 0; s < speakers; ++s)
    for (int u = 0; u < each + s % 3; ++u) {
      auto& one = utterances.emplace_back();
      one.speaker = "speaker" + std::to_string(s);
      one.path = "/data/" + one.speaker + "_" + std::to_string(u) + ".wav";
      one.seconds = 1 + u % 4;
    }
  return utterances;
}

}  // namespace

TEST_CASE("manifest: all columns", "[io]") {
  const auto rows =
      table(header + "a/1.flac\tanna\t7\tসাত\tbn\t1.25\t44100\ttrain\n/abs/2.wav\t-\t-\t-\tzxx\t-\t-\t-\n");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].path == "/data/a/1.flac");
  CHECK(rows[0].speaker == "anna");
  CHECK(rows[0].label == "7");
  CHECK(rows[0].transcript == "সাত");
  CHECK(rows[0].language == "bn");
  CHECK(rows[0].seconds == 1.25);
  CHECK(rows[0].rate == 44100);
  CHECK(rows[0].split == "train");
  CHECK(rows[0].origin == "m.tsv line 2");
  CHECK(rows[1].path == "/abs/2.wav");
  CHECK(rows[1].speaker.empty());
  CHECK(rows[1].transcript.empty());
  CHECK(rows[1].seconds == 0);
  CHECK(rows[1].split.empty());
}

TEST_CASE("manifest: only path is needed, order and further columns do not matter", "[io]") {
  const auto rows = table("mood\tsplit\tpath\nhappy\ttest\t../b.wav\n");
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].path == "/b.wav");
  CHECK(rows[0].split == "test");
  CHECK(rows[0].speaker.empty());
}

TEST_CASE("manifest: byte order mark, CRLF, empty lines and a missing last line end", "[io]") {
  const auto rows = table("\xEF\xBB\xBFpath\tspeaker\r\n\r\na.wav\tanna\r\n\n\nb.wav\tben");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].speaker == "anna");
  CHECK(rows[1].speaker == "ben");
  CHECK(rows[1].origin == "m.tsv line 6");
}

TEST_CASE("manifest: errors name file, line and what was expected", "[io]") {
  CHECK(refusal("") == "m.tsv: is empty; a header line with a column `path` is expected");
  CHECK(refusal(header) == "m.tsv: names no recording");
  CHECK(refusal("speaker\tpaht\na\tb\n") ==
        "m.tsv line 1: a header with a column `path` is expected, but the line is `speaker paht ...`; did you mean "
        "`paht`?");
  CHECK(contains(refusal("path\tpath\na\tb\n"), "m.tsv line 1: column `path` is there twice"));
  CHECK(refusal(header + "a.wav\tanna\n") ==
        "m.tsv line 2: has 2 fields, but the header has 8; fields are separated by tabs");
  CHECK(refusal("path\tseconds\na.wav\t1\nb.wav\tlong\n") ==
        "m.tsv line 3: seconds is `long`, but a length in seconds is expected");
  CHECK(contains(refusal("path\tseconds\na.wav\t-1\n"), "line 2: seconds is `-1`"));
  CHECK(contains(refusal("path\tseconds\na.wav\tnan\n"), "seconds is `nan`"));
  CHECK(contains(refusal("path\tseconds\na.wav\tinf\n"), "seconds is `inf`"));
  CHECK(contains(refusal("path\tseconds\na.wav\t1e999\n"), "seconds is `1e999`"));
  CHECK(contains(refusal("path\tsample_rate\na.wav\t16k\n"), "sample_rate is `16k`, but a whole number of Hz"));
  CHECK(contains(refusal("path\tsample_rate\na.wav\t99999999999\n"), "sample_rate is"));
  CHECK(contains(refusal("path\tspeaker\n\tanna\n"), "line 2: path is empty"));
  CHECK(contains(refusal("path\na\xff.wav\n"), "line 2: byte 2 is not text"));
  CHECK(contains(refusal(std::string("path\na\0b.wav\n", 12)), "line 2: byte 2 is not text"));
  CHECK(contains(refusal(std::string("\xff\xfep\0a\0", 6)), "line 1: byte 1 is not text"));
}

TEST_CASE("manifest: rows that point nowhere are found by the check", "[io]") {
  const TemporaryFolder folder;
  spill(folder / "here.wav", "x");
  std::filesystem::create_directory(folder / "sub.wav");
  spill(folder / "m.tsv", "path\nhere.wav\nnowhere.wav\nsub.wav\n");
  const auto rows = read_manifest(folder / "m.tsv");
  const auto problems = check_manifest(rows);
  REQUIRE(problems.size() == 2);
  CHECK(problems[0].index == 1);
  CHECK(problems[0].message == folder / "m.tsv line 3: there is no file " + folder / "nowhere.wav");
  CHECK(contains(problems[1].message, "is not a file"));
}

TEST_CASE("manifest: lists, folders and single files", "[io]") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "anna/old");
  std::filesystem::create_directories(folder / "ben");
  for (const char* name : {"anna/old/2.wav", "anna/1.FLAC", "ben/1.ogg", "loose.wav", "notes.txt"})
    spill(folder / name, "x");
  std::filesystem::create_directory_symlink(".", folder / "loop");

  const auto found = read_manifest(folder.path());
  REQUIRE(found.size() == 4);
  CHECK(found[0].path == folder / "anna/1.FLAC");
  CHECK(found[0].speaker == "anna");
  CHECK(found[1].path == folder / "anna/old/2.wav");
  CHECK(found[1].speaker == "anna");
  CHECK(found[2].speaker == "ben");
  CHECK(found[3].path == folder / "loose.wav");
  CHECK(found[3].speaker.empty());

  spill(folder / "list.txt", "loose.wav\nben/1.ogg\n");
  const auto listed = read_manifest(folder / "list.txt");
  REQUIRE(listed.size() == 2);
  CHECK(listed[1].path == folder / "ben/1.ogg");
  CHECK(listed[1].origin == folder / "list.txt line 2");

  CHECK(read_manifest(folder / "loose.wav").at(0).path == folder / "loose.wav");
  CHECK_THROWS_AS(read_manifest(folder / "absent.wav"), FileError);
  CHECK_THROWS_AS(read_manifest(folder / "absent.tsv"), FileError);

  spill(folder / "manifest.tsv", "path\nloose.wav\n");
  CHECK(read_manifest(folder.path()).size() == 1);

  std::filesystem::create_directory(folder / "empty");
  CHECK(contains(message_of<FormatError>([&] { manifest_from_folder(folder / "empty"); }), "holds no audio files"));
  CHECK(contains(message_of<FileError>([&] { manifest_from_folder(folder / "absent"); }), "No such file"));
}

TEST_CASE("manifest: a split by speaker keeps every speaker in one place", "[io]") {
  for (int speakers = 3; speakers < 40; ++speakers)
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      auto rows = people(speakers, 4);
      speaker_disjoint_split(rows, {.train = 0.7, .valid = 0.1, .test = 0.2}, seed);
      CHECK(is_speaker_disjoint(rows));
      std::set<std::string> splits;
      for (const auto& u : rows) splits.insert(u.split);
      CHECK(splits == std::set<std::string>{"test", "train", "valid"});
    }
  auto rows = people(100, 4);
  speaker_disjoint_split(rows, {.train = 0.7, .valid = 0.1, .test = 0.2}, 1);
  std::map<std::string, double> seconds;
  double total = 0;
  for (const auto& u : rows) seconds[u.split] += u.seconds, total += u.seconds;
  // A hundred speakers of about 1 % each: off by less than one of them.
  CHECK(seconds["train"] / total == Approx(0.7).margin(0.02));
  CHECK(seconds["valid"] / total == Approx(0.1).margin(0.02));
}

TEST_CASE("manifest: a split depends on the seed and not on the order of rows", "[io]") {
  const auto splits = [](std::vector<Utterance> rows, std::uint64_t seed) {
    speaker_disjoint_split(rows, {}, seed);
    std::map<std::string, std::string> of;
    for (const auto& u : rows) of[u.path] = u.split;
    return of;
  };
  auto rows = people(12, 3);
  const auto first = splits(rows, 7);
  std::shuffle(rows.begin(), rows.end(), std::mt19937(1));
  CHECK(splits(rows, 7) == first);
  CHECK(splits(rows, 8) != first);
}

TEST_CASE("manifest: splits that cannot be made say why", "[io]") {
  auto rows = people(2, 3);
  CHECK(message_of<ConfigError>([&] { speaker_disjoint_split(rows); }) ==
        "split: 3 splits are asked for, but the manifest has only 2 speakers");
  speaker_disjoint_split(rows, {.train = 1, .valid = 0, .test = 1});
  CHECK(in_split(rows, "valid").empty());
  CHECK(in_split(rows, "train").size() + in_split(rows, "test").size() == rows.size());
  CHECK_THROWS_AS(speaker_disjoint_split(rows, {.train = 0, .valid = 0, .test = 0}), ConfigError);
  CHECK_THROWS_AS(speaker_disjoint_split(rows, {.train = -1, .valid = 1, .test = 1}), ConfigError);
  auto alone = people(1, 20);
  CHECK_THROWS_AS(speaker_disjoint_split(alone), ConfigError);
  recording_split(alone);
  CHECK(in_split(alone, "train").size() >= 14);
  CHECK_FALSE(in_split(alone, "test").empty());
  CHECK_FALSE(is_speaker_disjoint(alone));
  CHECK(speakers_in_two_splits(alone) == std::vector<std::string>{"speaker0"});
}

TEST_CASE("manifest: sounds of nobody may be in every split", "[io]") {
  const auto rows = table("path\tspeaker\tsplit\na\t-\ttrain\nb\t-\ttest\nc\tanna\ttest\n");
  CHECK(is_speaker_disjoint(rows));
}

TEST_CASE("manifest: the shipped sets are well-formed and whole", "[io]") {
  const std::filesystem::path folder = std::string(PHONAUT_SOURCE_DIR) + "/examples/data";
  if (!std::filesystem::exists(folder)) {
    WARN("no " << folder);
    return;
  }
  long sets = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!std::filesystem::exists(entry.path() / "manifest.tsv")) continue;
    const auto rows = read_manifest(entry.path());
    ++sets;
    CHECK(check_manifest(rows).empty());
    for (const auto& u : rows) CHECK((u.seconds > 0 && u.rate > 0 && !u.split.empty() && !u.language.empty()));
  }
  CHECK(sets > 0);
}
