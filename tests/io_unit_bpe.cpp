// Files of pair encodings: what was written is read again, and what is no such file is refused by file and line.
#include <filesystem>

#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/unit_bpe.hpp"

using namespace phonaut;

namespace {

UnitBpe parsed(const std::string& text) { return parse_unit_bpe(text, "a.bpe"); }

}  // namespace

TEST_CASE("pair encodings are written and read again", "[io]") {
  const auto folder = std::filesystem::temp_directory_path() / "phonaut_unit_bpe";
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "a.bpe").string();
  for (const UnitBpe& bpe : {UnitBpe(0, {}), UnitBpe(7, {}), UnitBpe(3, {{0, 1}, {3, 2}, {4, 4}})}) {
    write_unit_bpe(path, bpe);
    const UnitBpe read = read_unit_bpe(path);
    CHECK(read.units() == bpe.units());
    CHECK(read.merges() == bpe.merges());
  }
  CHECK(parsed("units 3 merges 1\r\n0 1\r\n").merges().size() == 1);
  CHECK_THROWS_AS(read_unit_bpe((folder / "none").string()), FileError);
  CHECK_THROWS_AS(write_unit_bpe((folder / "none" / "a.bpe").string(), UnitBpe(1, {})), FileError);
  std::filesystem::remove_all(folder);
}

TEST_CASE("what is no pair encoding is named", "[io]") {
  CHECK_THROWS_WITH(parsed("units 3 merges 2\n0 1\n0 x\n"),
                    "a.bpe line 3: `0 x` is not what was expected, two ids such as `3 7`");
  CHECK_THROWS_WITH(parsed("units 3 merges 2\n0 1\n"), "a.bpe line 3: is missing; expected two ids such as `3 7`");
  CHECK_THROWS_WITH(parsed("units 3 merges 1\n0 1"),
                    "a.bpe line 2: has no end, the file is cut off; expected two ids such as `3 7`");
  CHECK_THROWS_WITH(parsed("units 3 merges 0\n0 1\n"), "a.bpe line 2: the file should end behind its 0 merges");
  CHECK_THROWS_WITH(parsed("units 3 merges 1\n0 3\n"),
                    "a.bpe: unit bpe: merge 0 joins 0 and 3, but ids below it are 0 … 2");
  for (const char* text :
       {"", "\n", "units 3\n", "units 3 merges 1 \n0 1\n", "units -1 merges 0\n", "units 3 merges 1\n0  1\n",
        "units 3 merges 1\n0 -0\n", "units 9999999999 merges 0\n", "units 3 merges 2147483647\n0 1\n"})
    CHECK_THROWS_AS(parsed(text), FormatError);
}

TEST_CASE("no file makes tokens that fill the memory", "[io]") {
  std::string text = "units 1 merges 64\n";
  for (int i = 0; i < 64; ++i) text += std::to_string(i) + " " + std::to_string(i) + "\n";
  CHECK_THROWS_WITH(parsed(text), "a.bpe line 22: the token would stand for 2097152 units, more than 1048576");
}
