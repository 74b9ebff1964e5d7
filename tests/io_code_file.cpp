// Files of codes: what was written is read again, to the bit; what is cut off or flipped is refused.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "catch.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/core/random.hpp"
#include "phonaut/io/code_file.hpp"

using namespace phonaut;

namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "phonaut_code_file";
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string operator()(const char* name) const { return (path / name).string(); }
};

CodeFile some(long levels, long entries, long frames) {
  CodeFile file{.levels = levels,
                .entries = entries,
                .rate = 16000,
                .hop = 320,
                .model = 0xDEADBEEF,
                .samples = frames * 320 - (frames > 0 ? 319 : 0),
                .codes = {}};
  const Draws draws = Random{5, 0}.take(levels * frames);
  for (long i = 0; i < levels * frames; ++i)
    file.codes.push_back(static_cast<std::int32_t>(draws.block(static_cast<std::uint64_t>(i)).word[0] %
                                                   static_cast<std::uint32_t>(entries)));
  return file;
}
std::vector<std::byte> bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

}  // namespace

TEST_CASE("the checksum is the CRC-32 of zlib", "[io]") {
  CHECK(crc32("123456789", 9) == 0xCBF43926u);  // the published check value
  CHECK(crc32("", 0) == 0u);
  CHECK(crc32("6789", 4, crc32("12345", 5)) == 0xCBF43926u);
}

TEST_CASE("codes are written bit by bit and read again", "[io]") {
  const Folder folder;
  const std::string path = folder("a.phnc");
  for (const auto& [levels, entries, frames, bytes] : {std::tuple{8L, 1024L, 50L, 500L},
                                                       {1L, 1000L, 7L, 9L},
                                                       {3L, 2L, 5L, 2L},
                                                       {5L, 1L, 4L, 0L},
                                                       {2L, 2147483647L, 3L, 24L},
                                                       {4L, 1024L, 0L, 0L}}) {
    const CodeFile file = some(levels, entries, frames);
    write_code_file(path, file);
    CHECK(std::filesystem::file_size(path) == static_cast<std::uintmax_t>(36 + bytes));
    const CodeFile read = read_code_file(path);
    CHECK(read.codes == file.codes);
    CHECK(std::tuple(read.levels, read.entries, read.rate, read.hop, read.model, read.samples) ==
          std::tuple(file.levels, file.entries, file.rate, file.hop, file.model, file.samples));
  }
}

TEST_CASE("every cut and every flipped bit of a file of codes is found", "[io]") {
  const Folder folder;
  write_code_file(folder("a.phnc"), some(3, 100, 11));
  const auto whole = bytes_of(folder("a.phnc"));
  REQUIRE(parse_code_file(whole, "a").codes.size() == 33);
  for (std::size_t length = 0; length < whole.size(); ++length)
    CHECK_THROWS_AS(parse_code_file({whole.begin(), whole.begin() + static_cast<long>(length)}, "a"), FormatError);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    auto flipped = whole;
    flipped[bit / 8] ^= std::byte(1 << bit % 8);
    CHECK_THROWS_AS(parse_code_file(flipped, "a"), FormatError);
  }
  auto longer = whole;
  longer.push_back(std::byte(0));
  CHECK_THROWS_AS(parse_code_file(longer, "a"), FormatError);
}

TEST_CASE("a file of codes says what is wrong with it", "[io]") {
  const Folder folder;
  write_code_file(folder("a.phnc"), some(2, 8, 4));
  auto bytes = bytes_of(folder("a.phnc"));
  REQUIRE(bytes.size() == 39);
  const auto with = [&](std::size_t at, int value) {
    auto changed = bytes;
    changed[at] = std::byte(value);
    return changed;
  };
  CHECK_THROWS_WITH(parse_code_file({}, "a"), "a: does not begin with PHNC, so it holds no codes");
  CHECK_THROWS_WITH(parse_code_file({bytes.begin(), bytes.begin() + 20}, "a"),
                    "a: is cut off after 20 bytes, in its header");
  CHECK_THROWS_WITH(parse_code_file({bytes.begin(), bytes.begin() + 38}, "a"),
                    "a: is cut off: 4 frames of 6 bits do not fit into its 2 bytes of codes");
  CHECK_THROWS_WITH(parse_code_file(with(4, 2), "a"), "a: has version 2 of the format, but this reads version 1");
  CHECK_THROWS_WITH(parse_code_file(with(24, 0xFF), "a"), Catch::Contains("a: is damaged"));  // 62 samples more
  CHECK_THROWS_WITH(parse_code_file(with(33, 0), "a"), Catch::Contains("a: is damaged: its checksum is"));
  // Nothing is allocated for promises: 2^63 samples in 39 bytes.
  CHECK_THROWS_WITH(parse_code_file(with(31, 0x7F), "a"), Catch::Contains("is cut off"));

  CodeFile file = some(2, 8, 4);
  file.codes.pop_back();
  CHECK_THROWS_WITH(write_code_file(folder("b.phnc"), file),
                    "code file: 961 samples are 4 frames of 2 codes, but there are 7 codes");
  file.codes.push_back(8);
  CHECK_THROWS_WITH(write_code_file(folder("b.phnc"), file), "code file: code 8 is beyond the 8 entries");
  file.codes.back() = -1;
  CHECK_THROWS_AS(write_code_file(folder("b.phnc"), file), ShapeError);
  file = some(2, 8, 4);
  file.levels = 70000;
  CHECK_THROWS_AS(write_code_file(folder("b.phnc"), file), ConfigError);
  CHECK_THROWS_AS(write_code_file(folder("none/b.phnc"), some(2, 8, 4)), FileError);
  CHECK_FALSE(std::filesystem::exists(folder("b.phnc")));
  CHECK_THROWS_AS(read_code_file(folder("none")), FileError);
}
