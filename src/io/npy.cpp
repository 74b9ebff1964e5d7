#include "phonaut/io/npy.hpp"

#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "byte_source.hpp"
#include "convert.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/atomic_file.hpp"
#include "text.hpp"

namespace phonaut {
namespace {

constexpr std::string_view magic("\x93NUMPY", 6);
constexpr std::size_t most_header_bytes = 1 << 16;  // numpy's own are below 200, padding included
constexpr std::size_t most_axes = 32;               // numpy's limit

struct Kind {
  const char* code;
  Dtype dtype;
};
constexpr Kind kinds[] = {
    {"b1", Dtype::boolean}, {"?", Dtype::boolean}, {"u1", Dtype::u8},  {"i1", Dtype::i8},  {"u2", Dtype::u16},
    {"i2", Dtype::i16},     {"f2", Dtype::f16},    {"u4", Dtype::u32}, {"i4", Dtype::i32}, {"f4", Dtype::f32},
    {"u8", Dtype::u64},     {"i8", Dtype::i64},    {"f8", Dtype::f64},
};

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<long>> shape;
};

/// Reads the header, a Python dictionary such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : rest_(text), all_(text), name_(name) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const auto key = string();
      expect(':');
      if (key == "descr" && !header.descr) header.descr = string();
      else if (key == "fortran_order" && !header.fortran_order) header.fortran_order = boolean();
      else if (key == "shape" && !header.shape) header.shape = tuple();
      else fail(concat("has an unknown or second key ", detail::ticked(key)));
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip();
    if (!rest_.empty()) fail("goes on after the dictionary");
    if (!header.descr || !header.fortran_order || !header.shape)
      fail(concat("has no ", !header.descr ? "descr" : !header.shape ? "shape" : "fortran_order"));
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw FormatError(concat(name_, ": the .npy header ", what, ", at byte ", all_.size() - rest_.size(), " of ",
                             detail::ticked(all_)));
  }
  void skip() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n' || rest_[0] == '\t' || rest_[0] == '\r'))
      rest_.remove_prefix(1);
  }
  bool accept(char c) {
    skip();
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(concat("has no '", c, "' where one is expected"));
  }
  std::string string() {
    skip();
    const char quote = rest_.empty() ? '\0' : rest_[0];
    const std::size_t end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : rest_.npos;
    if (end == rest_.npos) fail("has no string where one is expected (records of several fields are not read)");
    std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    skip();
    for (const bool value : {true, false}) {
      const std::string_view word = value ? "True" : "False";
      if (!rest_.starts_with(word)) continue;
      rest_.remove_prefix(word.size());
      return value;
    }
    fail("has neither True nor False for fortran_order");
  }
  std::vector<long> tuple() {
    std::vector<long> shape;
    expect('(');
    while (!accept(')')) {
      skip();
      long extent = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      if (error != std::errc() || extent < 0) fail("has an extent that is no whole number from 0 to 2^63");
      if (shape.size() == most_axes) fail(concat("has more than ", most_axes, " axes"));
      shape.push_back(extent);
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      if (rest_.starts_with('L')) rest_.remove_prefix(1);  // Python 2 wrote (3L, 4L)
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view rest_, all_;
  const std::string& name_;
};

/// The element type of a descr such as "<f4", and whether its bytes are the other way round.
std::pair<Dtype, bool> element_type(std::string_view descr, const std::string& name) {
  auto code = descr;
  bool big = false;
  if (!code.empty() && std::string_view("<>=|").find(code[0]) != std::string_view::npos) {
    big = code[0] == '>';
    code.remove_prefix(1);
  }
  for (const auto& kind : kinds)
    if (code == kind.code) return {kind.dtype, big};
  throw FormatError(concat(name, ": elements of type ", detail::ticked(descr),
                           " are not read; booleans, integers and floating point of 2 to 8 bytes are"));
}

/// The row-major copy of an array that is stored with its first axis fastest.
template <class T>
std::vector<T> row_major(const std::vector<T>& columns, const std::vector<long>& shape) {
  std::vector<T> rows;
  rows.reserve(columns.size());
  std::vector<long> index(shape.size(), 0), stride(shape.size(), 1);
  for (std::size_t i = 1; i < shape.size(); ++i) stride[i] = stride[i - 1] * shape[i - 1];
  long at = 0;
  while (rows.size() < columns.size()) {
    rows.push_back(columns[static_cast<std::size_t>(at)]);
    for (std::size_t i = shape.size(); i-- > 0;) {
      at += stride[i];
      if (++index[i] < shape[i]) break;
      at -= stride[i] * shape[i];
      index[i] = 0;
    }
  }
  return rows;
}

template <class T>
NpyArray<T> read(const detail::ByteSource& source, const std::string& name) {
  char start[12] = {};
  const std::size_t size = source.size();
  if (size < 10) throw FormatError(concat(name, ": has ", size, " bytes; a .npy file has more than 10"));
  source.read_at(0, start, 10);
  if (std::string_view(start, 6) != magic) throw FormatError(concat(name, ": does not start as a .npy file does"));
  const int version = static_cast<unsigned char>(start[6]);
  if (version < 1 || version > 3) throw FormatError(concat(name, ": is .npy version ", version, "; 1 to 3 are read"));
  const std::size_t prefix = version == 1 ? 10 : 12;
  std::size_t length = 0;
  if (size >= prefix) {
    source.read_at(8, start + 8, prefix - 8);
    std::memcpy(&length, start + 8, prefix - 8);
  }
  if (size < prefix || length > size - prefix || length > most_header_bytes)
    throw FormatError(concat(name, ": the .npy header claims ", length, " bytes; the file has ", size,
                             " in all, and a header at most ", most_header_bytes));
  std::string text(length, '\0');
  source.read_at(prefix, text.data(), length);
  auto header = HeaderParser(text, name).parse();

  const auto [dtype, swap] = element_type(*header.descr, name);
  NpyArray<T> array{.shape = std::move(*header.shape), .data = {}};
  const std::size_t there = size - prefix - length;
  std::size_t bytes = 0;
  if (!detail::byte_count(array.shape, bytes_of(dtype), bytes))
    throw FormatError(concat(name, ": has shape ", detail::shape_text(array.shape), ", more than can be counted"));
  if (bytes != there)
    throw FormatError(concat(name, ": has ", there, " bytes of elements, but shape ", detail::shape_text(array.shape),
                             " of ", name_of(dtype), " needs ", bytes));
  array.data.resize(bytes / bytes_of(dtype));
  detail::read_elements(source, prefix + length, dtype, std::span<T>(array.data), name, swap);
  if (*header.fortran_order && array.shape.size() > 1) array.data = row_major(array.data, array.shape);
  return array;
}

}  // namespace

template <class T>
NpyArray<T> read_npy(const std::string& path) {
  return read<T>(*detail::open_file(path), path);
}

template <class T>
NpyArray<T> read_npy(std::vector<std::byte> bytes, const std::string& name) {
  return read<T>(*detail::open_memory(std::move(bytes), name), name);
}

template <class T>
void write_npy(const std::string& path, std::span<const long> shape, std::span<const T> values) {
  std::size_t bytes = 0;
  if (!detail::byte_count(shape, sizeof(T), bytes) || bytes != values.size_bytes())
    throw ShapeError(concat(path, ": ", values.size(), " values do not fill shape ", detail::shape_text(shape)));
  if (shape.size() > most_axes)
    throw ShapeError(concat(path, ": ", shape.size(), " axes are to be written; a .npy file has at most ", most_axes));
  const char* code = nullptr;
  for (const auto& kind : kinds)
    if (kind.dtype == dtype_of<T>()) code = kind.code;
  std::string header = concat("{'descr': '", sizeof(T) == 1 ? '|' : '<', code, "', 'fortran_order': False, 'shape': (");
  for (const long extent : shape)
    header += concat(extent, shape.size() == 1 ? "," : &extent == &shape.back() ? "" : ", ");
  header += "), }";
  // Padded so that the elements start at a multiple of 64, as numpy does; the last character is a new line.
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';

  AtomicFile file(path);
  file.write(magic);
  const char rest[] = {1, 0, static_cast<char>(header.size() & 255), static_cast<char>(header.size() >> 8)};
  file.write(rest, sizeof rest);
  file.write(header);
  file.write(values.data(), bytes);
  file.commit();
}

template NpyArray<float> read_npy(const std::string&);
template NpyArray<double> read_npy(const std::string&);
template NpyArray<std::int32_t> read_npy(const std::string&);
template NpyArray<std::int64_t> read_npy(const std::string&);
template NpyArray<std::uint8_t> read_npy(const std::string&);
template NpyArray<float> read_npy(std::vector<std::byte>, const std::string&);
template NpyArray<double> read_npy(std::vector<std::byte>, const std::string&);
template NpyArray<std::int32_t> read_npy(std::vector<std::byte>, const std::string&);
template NpyArray<std::int64_t> read_npy(std::vector<std::byte>, const std::string&);
template NpyArray<std::uint8_t> read_npy(std::vector<std::byte>, const std::string&);
template void write_npy(const std::string&, std::span<const long>, std::span<const float>);
template void write_npy(const std::string&, std::span<const long>, std::span<const double>);
template void write_npy(const std::string&, std::span<const long>, std::span<const std::int32_t>);
template void write_npy(const std::string&, std::span<const long>, std::span<const std::int64_t>);
template void write_npy(const std::string&, std::span<const long>, std::span<const std::uint8_t>);

}  // namespace phonaut
