// safetensors: round trips, conversions, and every way of being a bad file.
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <limits>
#include <thread>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/io/safetensors.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

std::string file_of(std::string_view header, std::string_view data = "") {
  const std::uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file.append(header).append(data);
}

SafetensorsReader reader_of(const std::string& file) { return {to_bytes(file), "a.safetensors"}; }

std::string refusal(const std::string& file) {
  return message_of<FormatError>([&] { reader_of(file); });
}

const std::vector<float> weights{1.5F, -2.25F, 0.0F, -0.0F, 3e38F, 1e-40F};
const std::vector<double> doubles{0.1, -1e300};
const std::vector<std::int64_t> codes{-5, 1LL << 40, 0};
const std::vector<std::uint8_t> bytes{0, 255};

std::string small_file() {
  const TemporaryFolder folder;
  const bool flags[] = {true, false, true};
  const std::vector<SafetensorsEntry> entries{
      safetensors_entry<std::uint8_t>("bytes", {2}, bytes),
      safetensors_entry<float>("encoder.weight", {2, 3}, weights),
      safetensors_entry<bool>("flags", {3}, flags),
      safetensors_entry<double>("doubles", {2, 1}, doubles),
      safetensors_entry<std::int64_t>("codes", {3}, codes),
      safetensors_entry<float>("nothing", {0, 4}, {}),
      safetensors_entry<float>("scalar", {}, std::span(weights).first(1)),
  };
  write_safetensors(folder / "small.safetensors", entries, {{"format", "phonaut/1"}, {"note", "ক \"quoted\"\n\\"}});
  return slurp(folder / "small.safetensors");
}

}  // namespace

TEST_CASE("safetensors: what was written is read", "[io]") {
  const auto reader = reader_of(small_file());
  CHECK(reader.names() ==
        std::vector<std::string>{"doubles", "codes", "encoder.weight", "nothing", "scalar", "bytes", "flags"});
  CHECK(reader.metadata().at("note") == "ক \"quoted\"\n\\");
  CHECK(reader.metadata().size() == 2);
  CHECK(reader.info("encoder.weight").shape == std::vector<long>{2, 3});
  CHECK(reader.info("encoder.weight").dtype == Dtype::f32);
  const auto read = reader.read<float>("encoder.weight");
  CHECK(std::memcmp(read.data(), weights.data(), weights.size() * sizeof(float)) == 0);
  CHECK(reader.read<double>("doubles") == doubles);
  CHECK(reader.read<std::int64_t>("codes") == codes);
  CHECK(reader.read<std::int32_t>("bytes") == std::vector<std::int32_t>{0, 255});
  CHECK(reader.read<std::uint8_t>("flags") == std::vector<std::uint8_t>{1, 0, 1});
  CHECK(reader.info("scalar").shape.empty());
  CHECK(reader.read<float>("scalar") == std::vector{1.5F});
  CHECK(reader.read<float>("nothing").empty());
  CHECK(reader.bytes("bytes") == to_bytes(std::string("\0\xff", 2)));
  CHECK(reader.contains("codes"));
  CHECK_FALSE(reader.contains("code"));
  for (const auto& entry : reader.entries()) CHECK(entry.offset % bytes_of(entry.dtype) == 0);
}

TEST_CASE("safetensors: the same content gives the same bytes", "[io]") { CHECK(small_file() == small_file()); }

TEST_CASE("safetensors: a file without entries", "[io]") {
  const TemporaryFolder folder;
  write_safetensors(folder / "none.safetensors", {});
  CHECK(SafetensorsReader(folder / "none.safetensors").entries().empty());
}

TEST_CASE("safetensors: a missing name is answered with near ones", "[io]") {
  const auto reader = reader_of(small_file());
  CHECK(message_of<LoadError>([&] { reader.info("encoder.wieght"); }) ==
        "a.safetensors: no entry `encoder.wieght` among its 7; did you mean `encoder.weight`?");
  CHECK(message_of<LoadError>([&] { reader.read<float>("zzz"); }) == "a.safetensors: no entry `zzz` among its 7");
}

TEST_CASE("safetensors: elements that the wanted type cannot hold are named", "[io]") {
  const auto reader = reader_of(small_file());
  CHECK(message_of<FormatError>([&] { reader.read<std::int32_t>("codes"); }) ==
        "a.safetensors: entry `codes`: element 1 is 1099511627776 (I64), which I32 cannot hold");
  CHECK(contains(message_of<FormatError>([&] { reader.read<float>("doubles"); }), "element 1 is -1e+300 (F64)"));
  CHECK(contains(message_of<FormatError>([&] { reader.read<std::int64_t>("encoder.weight"); }), "element 0 is 1.5"));
  CHECK(contains(message_of<FormatError>([&] { reader.read<std::uint8_t>("codes"); }), "element 0 is -5"));
  CHECK(reader.read<float>("codes") == std::vector<float>{-5, 0x1p40F, 0});  // a power of two is exact
  std::vector<float> room(5);
  CHECK(contains(message_of<ShapeError>([&] { reader.read_into<float>("encoder.weight", room); }), "(2, 3)"));

  const std::int64_t odd[] = {(1LL << 24) + 1, std::numeric_limits<std::int64_t>::min()};
  const TemporaryFolder folder;
  write_safetensors(folder / "odd", std::vector{safetensors_entry<std::int64_t>("odd", {2}, odd)});
  const SafetensorsReader odds(folder / "odd");
  CHECK_THROWS_AS(odds.read<float>("odd"), FormatError);
  CHECK(odds.read<double>("odd") == std::vector<double>{16777217.0, -0x1p63});
}

TEST_CASE("safetensors: whole floating-point numbers become integers", "[io]") {
  const float values[] = {3, -2147483648.0F, 0};
  const float beyond[] = {2147483648.0F};
  const float not_a_number[] = {std::numeric_limits<float>::quiet_NaN()};
  const TemporaryFolder folder;
  write_safetensors(folder / "f",
                    std::vector{safetensors_entry<float>("a", {3}, values), safetensors_entry<float>("b", {1}, beyond),
                                safetensors_entry<float>("c", {1}, not_a_number)});
  const SafetensorsReader reader(folder / "f");
  CHECK(reader.read<std::int32_t>("a") == std::vector<std::int32_t>{3, std::numeric_limits<std::int32_t>::min(), 0});
  CHECK_THROWS_AS(reader.read<std::int32_t>("b"), FormatError);
  CHECK(reader.read<std::int64_t>("b") == std::vector<std::int64_t>{1LL << 31});
  CHECK_THROWS_AS(reader.read<std::int64_t>("c"), FormatError);
}

TEST_CASE("safetensors: half precision widens exactly", "[io]") {
  // Every half against its value by definition: (-1)^s 2^(e-15) (1 + m/1024), subnormal without the 1.
  std::vector<std::uint16_t> all(65536);
  for (unsigned i = 0; i < 65536; ++i) all[i] = static_cast<std::uint16_t>(i);
  const TemporaryFolder folder;
  write_safetensors(folder / "h",
                    std::vector<SafetensorsEntry>{{"half", Dtype::f16, {65536}, std::as_bytes(std::span(all))},
                                                  {"bfloat", Dtype::bf16, {65536}, std::as_bytes(std::span(all))}});
  const SafetensorsReader reader(folder / "h");
  const auto half = reader.read<float>("half");
  const auto bfloat = reader.read<double>("bfloat");
  long wrong = 0;
  for (unsigned i = 0; i < 65536; ++i) {
    const unsigned e = (i >> 10) & 31, m = i & 1023;
    const double magnitude = e == 31  ? (m ? NAN : INFINITY)
                             : e == 0 ? std::ldexp(m, -24)
                                      : std::ldexp(1 + m / 1024.0, static_cast<int>(e) - 15);
    const double want = i >> 15 ? -magnitude : magnitude;
    wrong += !(half[i] == want || (std::isnan(half[i]) && std::isnan(want))) || std::signbit(half[i]) != (i >> 15 == 1);
    const unsigned be = (i >> 7) & 255, bm = i & 127;
    const double b = be == 255 ? (bm ? NAN : INFINITY)
                     : be == 0 ? std::ldexp(bm, -133)
                               : std::ldexp(1 + bm / 128.0, static_cast<int>(be) - 127);
    const double bwant = i >> 15 ? -b : b;
    wrong += !(bfloat[i] == bwant || (std::isnan(bfloat[i]) && std::isnan(bwant)));
  }
  CHECK(wrong == 0);
}

TEST_CASE("safetensors: files cut at every length are refused", "[io]") {
  const auto file = small_file();
  for (std::size_t length = 0; length < file.size(); ++length) {
    INFO("cut to " << length << " of " << file.size());
    CHECK_THROWS_AS(reader_of(file.substr(0, length)), FormatError);
  }
  CHECK_THROWS_AS(reader_of(file + '\0'), FormatError);
}

TEST_CASE("safetensors: a changed byte is refused or read, never worse", "[io]") {
  const auto file = small_file();
  for (std::size_t at = 0; at < file.size(); ++at)
    for (const int change : {1, 4, 16, 128, 255}) {
      auto other = file;
      other[at] = static_cast<char>(other[at] ^ change);
      try {
        const auto reader = reader_of(other);
        for (const auto& entry : reader.entries()) reader.bytes(entry.name);
        for (const auto& entry : reader.entries()) reader.read<float>(entry.name);
      } catch (const Error&) {
      }
    }
}

TEST_CASE("safetensors: hostile headers each get their sentence", "[io]") {
  const std::string data(8, 'x');
  const auto entry = [](const char* text) { return "{\"a\":" + std::string(text) + "}"; };
  const auto says = [&](const std::string& header, const char* part) {
    const auto message = refusal(file_of(header, data));
    INFO(header.substr(0, 200) << " -> " << message);
    CHECK(contains(message, part));
    CHECK(contains(message, "a.safetensors: "));
  };
  says(entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), "`a` has 8 bytes, but shape (3) of F32 needs 12");
  says(entry(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "negative number -2");
  says(entry(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "fractional");
  says(entry(R"({"dtype":"F32","shape":[99999999999999999999999],"data_offsets":[0,8]})"), "oversized");
  says(entry(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})"), "beyond 2^63");
  says(entry(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"), "more than can be counted");
  says(entry(R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})"), "more than can be counted");
  says(entry(R"({"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]})"), "more than can be counted");
  says(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "not [begin, end]");
  says(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})"), "not [begin, end]");
  says(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,9]})"), "a number where it does not belong");
  says(entry(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})"), "cut short");
  says(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), "fill 4 bytes, but the file has 8");
  says(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "bytes 0 to 4 belong to no entry");
  says(entry(R"({"dtype":"F33","shape":[2],"data_offsets":[0,8]})"), "unknown dtype `F33`");
  says(entry(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})"), "does not belong");
  says(entry(R"({"dtype":"F32","data_offsets":[0,8]})"), "has no shape");
  says(entry(R"({"shape":[2],"data_offsets":[0,8]})"), "has no dtype");
  says(entry(R"({"dtype":"F32","shape":[2]})"), "has no data_offsets");
  says(entry(R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "`dtype` twice");
  says(entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1})"), "unknown field `more`");
  says(entry(R"({"dtype":"F32","shape":[[2]],"data_offsets":[0,8]})"), "an array where it does not belong");
  says(entry(R"({"dtype":{"a":{"b":1}}})"), "an object where it does not belong");
  says(entry("3"), "a number where it does not belong");
  says(entry("null"), "null where it does not belong");
  says(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}})",
       "`a` is there twice");
  says(R"({"a":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
       "`a` and `b` overlap: byte 4");
  says(R"({"":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})", "empty name");
  says(R"({"__metadata__":{"a":1}})", "a number where it does not belong");
  says(R"({"__metadata__":{"a":"1","a":"2"}})", "metadata `a` is there twice");
  says(R"({"__metadata__":{"a":{}}})", "an object where it does not belong");
  says("[1]", "an array where an object belongs");
  says("{", "not JSON");
  says("", "not JSON");
  says("{\"a\xff\":1}", "not JSON");
  says("{} {}", "not JSON");
  says(std::string(1'000'000, '['), "an array where an object belongs");
  says("{\"a\":" + std::string(1'000'000, '['), "an array where it does not belong");
  std::string nested;
  for (int i = 0; i < 100'000; ++i) nested += "{\"a\":";
  says(nested, "unknown field `a`");
  std::string ranks = R"({"a":{"dtype":"U8","shape":[)";
  for (int i = 0; i < 40; ++i) ranks += "1,";
  says(ranks + R"(8],"data_offsets":[0,8]}})", "more than 32 axes");
}

TEST_CASE("safetensors: a header length beyond the file allocates nothing", "[io]") {
  std::string file(16, '\0');
  for (const std::uint64_t length :
       {std::uint64_t{9}, std::uint64_t{100'000'001}, ~std::uint64_t{0}, std::uint64_t{1} << 62}) {
    std::memcpy(file.data(), &length, 8);
    CHECK(contains(refusal(file), "the header claims"));
  }
}

TEST_CASE("safetensors: names with control characters are shown harmlessly", "[io]") {
  const auto message = refusal(file_of("{\"a\\u001b[31m\\n\":3}"));
  CHECK(contains(message, "`a?[31m?`"));
}

TEST_CASE("safetensors: what cannot be written is refused before the disk is touched", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "m.safetensors";
  const std::vector<float> x(6);
  const auto entry = [&](std::string name, std::vector<long> shape) {
    return safetensors_entry<float>(std::move(name), std::move(shape), std::span<const float>(x));
  };
  CHECK(contains(message_of<ShapeError>([&] {
                   write_safetensors(path, std::vector{entry("a", {2, 2})});
                 }),
                 "has 24 bytes, but shape (2, 2) of F32 needs 16"));
  CHECK_THROWS_AS(write_safetensors(path, std::vector{entry("a", {-2, -3})}), ShapeError);
  CHECK_THROWS_AS(write_safetensors(path, std::vector{entry("a", {6}), entry("a", {6})}), ConfigError);
  CHECK_THROWS_AS(write_safetensors(path, std::vector{entry("", {6})}), ConfigError);
  CHECK_THROWS_AS(write_safetensors(path, std::vector{entry("__metadata__", {6})}), ConfigError);
  CHECK_THROWS_AS(write_safetensors(path, std::vector{entry("\xc0\x80", {6})}), ConfigError);
  CHECK_THROWS_AS(write_safetensors(path, std::vector{entry("a", {6})}, {{"k", "\xff"}}), ConfigError);
  CHECK(folder.files() == 0);
}

TEST_CASE("safetensors: a save that fails half way leaves the earlier file and nothing else", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  const std::vector<float> small{1, 2, 3}, large(1 << 18, 7.0F);
  write_safetensors(path, std::vector{safetensors_entry<float>("w", {3}, small)});
  const auto before = slurp(path);

  // A limit on the size of files makes the write fail where a full disk would, without needing one.
  rlimit old{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{1 << 19, old.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  const auto message = message_of<FileError>(
      [&] { write_safetensors(path, std::vector{safetensors_entry<float>("w", {1 << 18}, large)}); });
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);

  INFO(message);
  CHECK(contains(message, path + ": writing stopped after 524288 bytes: File too large"));
  CHECK(slurp(path) == before);
  CHECK(folder.files() == 1);
}

TEST_CASE("safetensors: a process killed while it saves leaves the earlier or the new file", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  const auto save = [&](float value) {
    const std::vector<float> values(100'000, value);
    write_safetensors(path, std::vector{safetensors_entry<float>("w", {100'000}, values)});
  };
  save(0);
  for (int round = 0; round < 5; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0)
      for (int step = 1;; ++step) save(static_cast<float>(step));
    ::usleep(2000 + 1700 * round);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    const auto values = SafetensorsReader(path).read<float>("w");
    CHECK(std::count(values.begin(), values.end(), values.front()) == 100'000);
  }
}

TEST_CASE("safetensors: the file may be replaced or cut while a reader is open", "[io]") {
  const TemporaryFolder folder;
  const auto path = folder / "model.safetensors";
  const std::vector<float> first{1, 2, 3}, second{4, 5, 6};
  write_safetensors(path, std::vector{safetensors_entry<float>("w", {3}, first)});
  const SafetensorsReader reader(path);
  write_safetensors(path, std::vector{safetensors_entry<float>("w", {3}, second)});
  CHECK(reader.read<float>("w") == first);
  const SafetensorsReader other(path);
  std::filesystem::resize_file(path, 20);
  CHECK(contains(message_of<FormatError>([&] { other.read<float>("w"); }), "the file ends after"));
}

TEST_CASE("safetensors: files that are none", "[io]") {
  const TemporaryFolder folder;
  CHECK(contains(message_of<FileError>([&] { SafetensorsReader reader(folder / "absent"); }), "No such file"));
  CHECK(contains(message_of<FileError>([&] { SafetensorsReader reader(folder.path()); }), "is a folder"));
  CHECK(contains(message_of<FileError>([&] { SafetensorsReader reader("/dev/null"); }), "not a regular file"));
}

TEST_CASE("safetensors: one reader serves many threads", "[io][threads]") {
  const TemporaryFolder folder;
  std::vector<float> values(100'000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  write_safetensors(folder / "m", std::vector{safetensors_entry<float>("w", {100'000}, values)});
  const SafetensorsReader reader(folder / "m");
  std::vector<int> equal(4);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      const auto read = reader.read<double>("w");
      equal[t] = std::equal(read.begin(), read.end(), values.begin());
    });
  for (auto& thread : threads) thread.join();
  CHECK(equal == std::vector<int>(4, 1));
}
