// Atomic files on bad disks, near misses, JSON values.
#include <fcntl.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/io/atomic_file.hpp"
#include "phonaut/io/json_value.hpp"
#include "phonaut/io/near_miss.hpp"

using namespace phonaut;
using namespace phonaut::testing;

TEST_CASE("an atomic file appears with commit and not before", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "a.txt";
  {
    AtomicFile file(path);
    file.write("hello ");
    file.write(std::string(200'000, 'x'));
    file.write(" end");
    file.write_at(0, "HE", 2);
    CHECK_FALSE(std::filesystem::exists(path));
    file.commit();
    CHECK_THROWS_AS(file.write("more"), StateError);
    CHECK_THROWS_AS(file.commit(), StateError);
  }
  CHECK(slurp(path) == "HEllo " + std::string(200'000, 'x') + " end");
  {
    AtomicFile file(path);
    file.write("abandoned");
  }
  CHECK(slurp(path).size() == 200'010);
  CHECK(folder.files() == 1);
}

TEST_CASE("an atomic file keeps the rights of what it replaces and follows links", "[io]") {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "there");
  spill(folder / "there/real", "old");
  ::chmod((folder / "there/real").c_str(), 0640);
  std::filesystem::create_symlink("there/real", folder / "link");
  write_file(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(slurp(folder / "there/real") == "new");
  struct stat status {};
  REQUIRE(::stat((folder / "there/real").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0640);
  const std::string longest(255, 'n');
  write_file(folder / longest, "x");
  CHECK(slurp(folder / longest) == "x");
}

TEST_CASE("a full device is reported with the system's reason", "[io]") {
  if (::access("/dev/full", W_OK) != 0) {
    WARN("no /dev/full here");
    return;
  }
  CHECK(message_of<FileError>([] { write_file("/dev/full", "text"); }) ==
        "/dev/full: writing stopped after 0 bytes: No space left on device");
  CHECK(std::filesystem::is_character_file("/dev/full"));
  write_file("/dev/null", "text");
}

TEST_CASE("a full disk leaves the earlier file", "[io]") {
  const TemporaryFolder folder;
  if (::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    WARN("no right to mount a small disk");
    return;
  }
  const auto path = folder / "report.html";
  write_file(path, "earlier");
  const auto message = message_of<FileError>([&] { write_file(path, std::string(1'000'000, 'x')); });
  const auto kept = slurp(path);
  const auto files = folder.files();
  ::umount(folder.path().c_str());
  CHECK(contains(message, path + ": writing stopped after"));
  CHECK(contains(message, "No space left on device"));
  CHECK(kept == "earlier");
  CHECK(files == 1);
}

TEST_CASE("files that may not be written say so", "[io]") {
  const TemporaryFolder folder;
  spill(folder / "kept", "earlier");
  ::chmod(folder.path().c_str(), 0555);
  // Root passes every check of rights; as another user for the file system it does not.
  const int before = ::geteuid() == 0 ? ::setfsuid(65534) : -1;
  const auto create = message_of<FileError>([&] { write_file(folder / "new", "x"); });
  const auto replace = message_of<FileError>([&] { write_file(folder / "kept", "x"); });
  if (before >= 0) ::setfsuid(static_cast<uid_t>(before));
  ::chmod(folder.path().c_str(), 0755);
  CHECK(create == folder / "new" + ": cannot be created: Permission denied");
  CHECK(contains(replace, "Permission denied"));
  CHECK(slurp(folder / "kept") == "earlier");
  CHECK(contains(message_of<FileError>([&] { write_file(folder / "no/such/folder", "x"); }),
                 "No such file or directory"));
  CHECK(contains(message_of<FileError>([&] { write_file(folder.path(), "x"); }), "is a folder"));
}

TEST_CASE("edit distance counts slips", "[io]") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("abc", "abc") == 0);
  CHECK(edit_distance("", "abc") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("weight", "wieght") == 1);  // neighbours swapped
  CHECK(edit_distance("abcdef", "badcfe") == 3);
  CHECK(edit_distance("flaw", "lawn") == 2);
  CHECK(edit_distance("aaaaaaaa", "bbbbbbbb", 3) == 4);
  CHECK(edit_distance("kitten", "sitting", 2) == 3);
  CHECK(edit_distance("sitting", "kitten") == edit_distance("kitten", "sitting"));
}

TEST_CASE("edit distance with a limit agrees with the one without", "[io]") {
  const std::string words[] = {"abba", "baba", "abab", "bbaa", "aabbab", "ba", "b", "babababa", "acbd", "abcd", "cabd"};
  for (const auto& a : words)
    for (const auto& b : words)
      for (long limit = 0; limit < 8; ++limit)
        CHECK(edit_distance(a, b, limit) == std::min(edit_distance(a, b), limit + 1));
}

TEST_CASE("near misses are few and the nearest first", "[io]") {
  const std::vector<std::string> names{"blocks.0.up.weight", "blocks.1.up.weight", "blocks.0.up.bias", "norm.bias"};
  CHECK(near_misses("blocks.0.up.wieght", names).front() == "blocks.0.up.weight");
  CHECK(near_misses("encoder.norm.bias", names) == std::vector<std::string>{"norm.bias"});
  CHECK(near_misses("unrelated", names).empty());
  CHECK(near_misses("", names).empty());
  CHECK(did_you_mean("norm.biass", names) == "; did you mean `norm.bias`?");
  CHECK(did_you_mean("unrelated", names).empty());
  CHECK(did_you_mean("blocks.2.up.weight", names) == "; did you mean `blocks.0.up.weight` or `blocks.1.up.weight`?");
}

TEST_CASE("JSON values write and read back", "[io]") {
  auto report = JsonValue::object({{"loss", 0.1}, {"step", 3}, {"float", 0.1F}, {"none", nullptr}});
  report["curve"] = std::vector<double>{1, 0.5, std::nan("")};
  report["nested"]["deep"] = "ক \"x\"\\\n\t\x01";
  report["flags"] = JsonValue::array({true, false});
  report["empty"] = JsonValue::object();
  CHECK(report.dump() ==
        "{\"loss\":0.1,\"step\":3,\"float\":0.1,\"none\":null,\"curve\":[1,0.5,null],"
        "\"nested\":{\"deep\":\"ক \\\"x\\\"\\\\\\n\\t\\u0001\"},\"flags\":[true,false],\"empty\":{}}");
  CHECK(JsonValue::parse(report.dump()).dump() == report.dump());
  CHECK(JsonValue::parse(report.dump(2)).dump() == report.dump());
  CHECK(contains(report.dump(2), "\n  \"step\": 3,\n"));
  CHECK(report.at("step").integer() == 3);
  CHECK(report.at("loss").number() == 0.1);
  CHECK(std::isnan(report.at("curve").items()[2].number()));
  CHECK(std::isnan(report.at("none").number()));
  CHECK(report.find("absent") == nullptr);
  CHECK(contains(message_of<FormatError>([&] { report.at("stpe"); }), "did you mean `step`?"));
  CHECK_THROWS_AS(report.at("loss").integer(), FormatError);
  CHECK_THROWS_AS(report.at("loss").string(), FormatError);
  CHECK_THROWS_AS(report["loss"]["x"], FormatError);
}

TEST_CASE("JSON numbers keep their value", "[io]") {
  for (const double x : {0.1, 1e300, 5e-324, -0.0, 123456789.123456789, 1.0 / 3, 1e22, 9007199254740993.0}) {
    const auto read = JsonValue::parse(JsonValue(x).dump());
    CHECK(std::bit_cast<std::int64_t>(read.number()) == std::bit_cast<std::int64_t>(x));
  }
  CHECK(JsonValue(std::numeric_limits<double>::infinity()).dump() == "null");
  CHECK(JsonValue(std::numeric_limits<std::int64_t>::min()).dump() == "-9223372036854775808");
  CHECK(JsonValue::parse("-9223372036854775808").integer() == std::numeric_limits<std::int64_t>::min());
  CHECK(JsonValue::parse("2.0").integer() == 2);
  CHECK_THROWS_AS(JsonValue::parse("1e30").integer(), FormatError);
  CHECK(JsonValue(~std::uint64_t{0}).number() == 0x1p64);
}

TEST_CASE("JSON that is none is refused", "[io]") {
  for (const char* text :
       {"", "{", "[1,]", "{\"a\":1,}", "nul", "1 2", "{\"a\":1,\"a\":2}", "\"\xff\"", "\"\\ud800\"", "NaN"})
    CHECK_THROWS_AS(JsonValue::parse(text), FormatError);
  CHECK(contains(message_of<FormatError>([] { JsonValue::parse(std::string(100'000, '['), "x.json"); }),
                 "x.json: is nested more than 64 deep"));
  CHECK(JsonValue("\xff\xc0ok").dump() == "\"\xEF\xBF\xBD\xEF\xBF\xBDok\"");
}
