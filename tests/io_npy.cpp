// .npy files: round trips, both orders of axes and bytes, and every way of being a bad file.
#include <cstdint>
#include <limits>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/io/npy.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

/// A file of that header dictionary and those elements, by hand.
std::string npy(std::string header, std::string_view data, int version = 1) {
  header += '\n';
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  const std::uint64_t length = header.size();
  file.append(reinterpret_cast<const char*>(&length), version == 1 ? 2 : 4);
  return file + header + std::string(data);
}

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T = double>
NpyArray<T> read(const std::string& file) {
  return read_npy<T>(to_bytes(file), "a.npy");
}

std::string dict(const std::string& descr, const std::string& shape, bool fortran = false) {
  return "{'descr': '" + descr + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }";
}

template <class T>
void round_trip(const std::vector<long>& shape, const std::vector<T>& values) {
  const TemporaryFolder folder;
  write_npy<T>(folder / "a.npy", shape, values);
  const auto array = read_npy<T>(folder / "a.npy");
  CHECK(array.shape == shape);
  CHECK(array.data == values);
  const auto file = slurp(folder / "a.npy");
  CHECK((file.size() - values.size() * sizeof(T)) % 64 == 0);
}

}  // namespace

TEST_CASE("npy: what was written is read", "[io]") {
  round_trip<float>({2, 3}, {1, -2, 3.5F, 0, 1e-40F, 3e38F});
  round_trip<double>({2, 1, 1}, {0.1, -1e300});
  round_trip<std::int32_t>({3}, {1, -1, std::numeric_limits<std::int32_t>::min()});
  round_trip<std::int64_t>({1}, {std::numeric_limits<std::int64_t>::min()});
  round_trip<std::uint8_t>({4}, {0, 1, 128, 255});
  round_trip<float>({}, {7});
  round_trip<float>({0, 5}, {});
  const TemporaryFolder folder;
  write_npy<float>(folder / "a.npy", std::vector<long>{2}, std::vector<float>{1, 2});
  CHECK(contains(slurp(folder / "a.npy"), "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } "));
  CHECK_THROWS_AS(write_npy<float>(folder / "b.npy", std::vector<long>{3}, std::vector<float>{1, 2}), ShapeError);
  CHECK_THROWS_AS(write_npy<float>(folder / "b.npy", std::vector<long>(40, 1), std::vector<float>{1}), ShapeError);
  CHECK(folder.files() == 1);
}

TEST_CASE("npy: Fortran order is turned into C order", "[io]") {
  // A (2, 3, 2) array whose element (i, j, k) is 100 i + 10 j + k, first axis fastest.
  std::vector<float> columns;
  std::vector<double> rows;
  for (int k = 0; k < 2; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i) columns.push_back(static_cast<float>(100 * i + 10 * j + k));
  for (int i = 0; i < 2; ++i)
    for (int j = 0; j < 3; ++j)
      for (int k = 0; k < 2; ++k) rows.push_back(100 * i + 10 * j + k);
  const auto array = read(npy(dict("<f4", "(2, 3, 2)", true), raw(columns)));
  CHECK(array.shape == std::vector<long>{2, 3, 2});
  CHECK(array.data == rows);
  CHECK(read(npy(dict("<f4", "(0, 3)", true), "")).data.empty());
  CHECK(read(npy(dict("<f4", "(12,)", true), raw(columns))).data.size() == 12);
}

TEST_CASE("npy: either byte order and every element type", "[io]") {
  const std::string big_float("\x3f\xc0\0\0\xc0\x10\0\0", 8);  // 1.5, -2.25
  CHECK(read<float>(npy(dict(">f4", "(2,)"), big_float)).data == std::vector<float>{1.5F, -2.25F});
  CHECK(read(npy(dict(">f8", "(1,)"), std::string("\x3f\xf8\0\0\0\0\0\0", 8))).data == std::vector{1.5});
  CHECK(read(npy(dict(">i2", "(2,)"), std::string("\xff\xfe\1\0", 4))).data == std::vector<double>{-2, 256});
  CHECK(read(npy(dict("<i2", "(1,)"), "\xfe\xff")).data == std::vector<double>{-2});
  CHECK(read(npy(dict("<f2", "(1,)"), std::string("\0\x3e", 2))).data == std::vector{1.5});
  CHECK(read(npy(dict("|b1", "(2,)"), std::string("\1\0", 2))).data == std::vector<double>{1, 0});
  CHECK(read(npy(dict("|u1", "(1,)"), "\xff")).data == std::vector<double>{255});
  CHECK(read(npy(dict("|i1", "(1,)"), "\xff")).data == std::vector<double>{-1});
  CHECK(read(npy(dict("<u2", "(1,)"), "\xff\xff")).data == std::vector<double>{65535});
  CHECK(read(npy(dict("<u4", "(1,)"), "\xff\xff\xff\xff")).data == std::vector<double>{4294967295.0});
  CHECK(read(npy(dict("<i4", "(1,)"), raw<std::int32_t>({-7}))).data == std::vector<double>{-7});
  CHECK(read(npy(dict("<i8", "(1,)"), raw<std::int64_t>({-7}))).data == std::vector<double>{-7});
  CHECK(contains(message_of<FormatError>([] { read(npy(dict("<u8", "(1,)"), std::string(8, '\xff'))); }),
                 "element 0 is 18446744073709551615 (U64), which F64 cannot hold"));
  CHECK(contains(message_of<FormatError>([] { read<std::uint8_t>(npy(dict("|i1", "(1,)"), "\xff")); }), "is -1"));
}

TEST_CASE("npy: versions 2 and 3, double quotes, Python 2's long integers", "[io]") {
  const std::string header = "{\"shape\": (2L,), \"fortran_order\": False, \"descr\": \"<f4\"}   ";
  for (const int version : {1, 2, 3})
    CHECK(read(npy(header, raw<float>({1, 2}), version)).data == std::vector<double>{1, 2});
  CHECK(contains(message_of<FormatError>([&] { read(npy(header, raw<float>({1, 2}), 4)); }), "version 4"));
}

TEST_CASE("npy: files cut at every length are refused", "[io]") {
  for (const int version : {1, 2}) {
    const auto file = npy(dict("<f8", "(2, 2)"), raw<double>({1, 2, 3, 4}), version);
    CHECK(read(file).data.size() == 4);
    for (std::size_t length = 0; length < file.size(); ++length)
      CHECK_THROWS_AS(read(file.substr(0, length)), FormatError);
    CHECK_THROWS_AS(read(file + '\0'), FormatError);
  }
}

TEST_CASE("npy: a changed byte is refused or read, never worse", "[io]") {
  const auto file = npy(dict("<f4", "(2, 2)", true), raw<float>({1, 2, 3, 4}));
  for (std::size_t at = 0; at < file.size(); ++at)
    for (int value = 0; value < 256; ++value) {
      auto other = file;
      other[at] = static_cast<char>(value);
      try {
        read<float>(other);
      } catch (const Error&) {
      }
    }
}

TEST_CASE("npy: hostile headers each get their sentence", "[io]") {
  const auto says = [](const std::string& file, const char* part) {
    const auto message = message_of<FormatError>([&] { read(file); });
    INFO(message);
    CHECK(contains(message, part));
    CHECK(contains(message, "a.npy"));
  };
  const std::string four(16, '\0');
  says(npy(dict("<f4", "(3,)"), four), "has 16 bytes of elements, but shape (3) of F32 needs 12");
  says(npy(dict("<f4", "(-4,)"), four), "no whole number");
  says(npy(dict("<f4", "(4.0,)"), four), "has no ')'");
  says(npy(dict("<f4", "(99999999999999999999,)"), four), "no whole number");
  says(npy(dict("<f4", "(4294967296, 4294967296)"), four), "more than can be counted");
  says(npy(dict("<f4", "(4611686018427387905,)"), four), "more than can be counted");
  says(npy(dict("<f4", "(4294967296, 4294967296, 0)"), ""), "more than can be counted");
  std::string axes = "(";
  for (int i = 0; i < 40; ++i) axes += "1, ";
  says(npy(dict("<f4", axes + ")"), four), "more than 32 axes");
  says(npy(dict("<c8", "(2,)"), four), "elements of type `<c8` are not read");
  says(npy(dict("|O", "(2,)"), four), "elements of type `|O` are not read");
  says(npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,)}", four), "records of several fields");
  says(npy("{'descr': '<f4', 'shape': (4,)}", four), "has no fortran_order");
  says(npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", four), "second key `descr`");
  says(npy("{'extra': '<f4'}", four), "unknown or second key `extra`");
  says(npy("{'descr': '<f4', 'fortran_order': None, 'shape': (4,)}", four), "neither True nor False");
  says(npy("{'descr': '<f4", four), "no string where one is expected");
  says(npy(dict("<f4", "(4,)") + " x", four), "goes on after the dictionary");
  says(npy("", four), "has no '{'");
  says(npy(std::string(60'000, '('), four), "has no '{'");
  says("\x93NUMPX\1" + four, "does not start as a .npy file does");
  says("", "has 0 bytes");
  std::string claims = npy(dict("<f4", "(4,)"), four, 2);
  claims[11] = '\x7f';  // a header of 2 GB
  says(claims, "the .npy header claims");
}

TEST_CASE("npy: files that are none", "[io]") {
  const TemporaryFolder folder;
  CHECK_THROWS_AS(read_npy<float>(folder / "absent.npy"), FileError);
  CHECK_THROWS_AS(read_npy<float>(folder.path()), FileError);
}
