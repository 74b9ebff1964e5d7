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
  for (const UnitFormat format : {UnitFormat::km, UnitFormat::gslm}) {
    const std::string path = (folder / "units").string();
    write_units(path, lines, format);
    const auto again = read_units(path, format);
    REQUIRE(again.size() == 3);
    for (size_t i = 0; i < 3; ++i) {
      CHECK(again[i].units == lines[i].units);
      CHECK(again[i].name == (format == UnitFormat::gslm ? lines[i].name : ""));
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
