// Files of units: what was written is read again, and what is no such file is refused by file and line.
#include <filesystem>

#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/unit_lines.hpp"

using namespace phonaut;

namespace {

std::vector<UnitLine> parsed(const std::string& text, UnitFormat format = UnitFormat::km) {
  return parse_units(text, "units.km", format);
}

}  // namespace

TEST_CASE("units are written and read again", "[io]") {
  const auto folder = std::filesystem::temp_directory_path() / "phonaut_unit_lines";
  std::filesystem::create_directories(folder);
  const std::vector<UnitLine> lines = {{"a/1", {1, 2, 3}}, {"b", {}}, {"c d", {0, 2147483647}}};
  for (const UnitFormat format : {UnitFormat::km, UnitFormat::gslm, UnitFormat::jsonl}) {
    const std::string path = (folder / "units").string();
    write_units(path, lines, format);
    const auto again = read_units(path, format);
    REQUIRE(again.size() == 3);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(again[i].units == lines[i].units);
      CHECK(again[i].name == (format == UnitFormat::km ? "" : lines[i].name));
    }
    // A refused line leaves the file as it was.
    CHECK_THROWS_AS(write_units(path, std::vector<UnitLine>{{"a", {-1}}}, format), FormatError);
    CHECK(read_units(path, format).size() == 3);
  }
  CHECK_THROWS_AS(write_units((folder / "x").string(), std::vector<UnitLine>{{"a|b", {1}}}, UnitFormat::gslm),
                  FormatError);
  CHECK(!std::filesystem::exists(folder / "x"));
  CHECK_THROWS_AS(read_units((folder / "missing").string(), UnitFormat::km), FileError);
  std::filesystem::remove_all(folder);
}

TEST_CASE("lines of units may end as elsewhere, and may be empty", "[io]") {
  CHECK(parsed("").empty());
  CHECK(parsed("1 2\r\n3")[1].units == std::vector<long>{3});
  CHECK(parsed("\n\n7\n").size() == 3);
}

TEST_CASE("what is no line of units is named", "[io]") {
  CHECK_THROWS_WITH(parsed("1 2\n3 x\n"),
                    "units.km line 2: `x` is no unit; expected whole numbers from 0 to 2147483647 with single spaces "
                    "between them");
  for (const char* text : {"1  2", "1 2 ", " 1", "-1", "-0", "2147483648", "1.5", "0x1", "1\t2"})
    CHECK_THROWS_AS(parsed(text), FormatError);
  CHECK_THROWS_WITH(parsed("1 2 3", UnitFormat::gslm), "units.km line 1: `1 2 3` has no name; expected `name|1 2 3`");
  CHECK_THROWS_AS(parsed("|1", UnitFormat::gslm), FormatError);
  CHECK_THROWS_AS(parsed("a|b|1", UnitFormat::gslm), FormatError);
}

TEST_CASE("lines of JSON have durations if they want, and any name", "[io]") {
  const auto lines = parsed(
      "{\"name\":\"a|\\n\u00e9\",\"units\":[3,1,2],\"durations\":[3,1,2]}\r\n"
      "{ \"speaker\": {\"id\": 7}, \"units\": [], \"name\": \"b\" }",
      UnitFormat::jsonl);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].name == "a|\n\u00e9");
  CHECK(lines[0].units == std::vector<long>{3, 1, 2});
  CHECK(lines[0].durations == std::vector<long>{3, 1, 2});
  CHECK((lines[1].name == "b" && lines[1].units.empty() && lines[1].durations.empty()));

  const auto path = (std::filesystem::temp_directory_path() / "phonaut_units.jsonl").string();
  write_units(path, lines, UnitFormat::jsonl);
  const auto again = read_units(path, UnitFormat::jsonl);
  REQUIRE(again.size() == 2);
  CHECK(
      (again[0].name == lines[0].name && again[0].units == lines[0].units && again[0].durations == lines[0].durations));
  // Nothing is lost in silence.
  CHECK_THROWS_AS(write_units(path, lines, UnitFormat::km), FormatError);
  for (const UnitLine& line : {UnitLine{"", {1}}, UnitLine{"\xff", {1}}, UnitLine{"a", {1, 2}, {1}},
                               UnitLine{"a", {1}, {-1}}, UnitLine{"a", {1L << 31}}})
    CHECK_THROWS_AS(write_units(path, std::span(&line, 1), UnitFormat::jsonl), FormatError);
  CHECK(read_units(path, UnitFormat::jsonl).size() == 2);
  std::filesystem::remove(path);
}

TEST_CASE("what is no JSON line of units is named", "[io]") {
  const std::string good = "{\"name\":\"a\",\"units\":[1]}\n";
  CHECK_THROWS_WITH(parsed(good + "{\"name\":\"b\",\"units\":[1,-2]}", UnitFormat::jsonl),
                    "units.km line 2: units should be a list of whole numbers from 0 to 2147483647, but `-2` is none");
  CHECK_THROWS_WITH(parsed("{\"name\":\"b\",\"units\":[1,2],\"durations\":[1]}", UnitFormat::jsonl),
                    "units.km line 1: there are 2 units, but 1 durations");
  for (const char* text :
       {"\n", "[1]", "1", "{}", "{\"name\":\"a\"}", "{\"units\":[1]}", "{\"name\":\"\",\"units\":[1]}",
        "{\"name\":1,\"units\":[1]}", "{\"name\":\"a\",\"units\":1}", "{\"name\":\"a\",\"units\":[1.5]}",
        "{\"name\":\"a\",\"units\":[\"1\"]}", "{\"name\":\"a\",\"units\":[1e300]}", "{\"name\":\"a\",\"units\":[null]}",
        "{\"name\":\"a\",\"units\":[1],\"durations\":null}", "{\"name\":\"a\",\"units\":[1]",
        "{\"name\":\"a\",\"name\":\"a\",\"units\":[1]}"})
    CHECK_THROWS_AS(parsed(text, UnitFormat::jsonl), FormatError);
}
