#include "phonaut/io/code_file.hpp"

#include <array>
#include <bit>
#include <limits>
#include <string_view>

#include "byte_source.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/atomic_file.hpp"

namespace phonaut {
namespace {

constexpr std::string_view magic = "PHNC";
constexpr std::size_t header_bytes = 32, crc_bytes = 4;
constexpr std::uint64_t version = 1;

/// Appends the low bytes of a number, lowest first.
void put(std::string& to, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
}
std::uint64_t get(const std::byte*& from, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= std::to_integer<std::uint64_t>(*from++) << (8 * i);
  return value;
}
/// Bytes of the packed codes.
std::uint64_t packed_bytes(std::uint64_t codes, int bits) {
  return codes / 8 * static_cast<std::uint64_t>(bits) + (codes % 8 * static_cast<std::uint64_t>(bits) + 7) / 8;
}

}  // namespace

int CodeFile::bits() const {
  return entries > 1 ? static_cast<int>(std::bit_width(static_cast<std::uint64_t>(entries - 1))) : 0;
}

std::uint32_t crc32(const void* bytes, std::size_t count, std::uint32_t so_far) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> of{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      of[i] = c;
    }
    return of;
  }();
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::uint32_t c = ~so_far;
  for (std::size_t i = 0; i < count; ++i) c = table[(c ^ at[i]) & 0xFF] ^ (c >> 8);
  return ~c;
}

void write_code_file(const std::string& path, const CodeFile& file) {
  constexpr long most = std::numeric_limits<std::int32_t>::max();
  if (file.levels < 1 || file.levels > 0xFFFF || file.entries < 1 || file.entries > most || file.rate < 1 ||
      file.rate > most || file.hop < 1 || file.hop > most || file.samples < 0)
    throw ConfigError(concat("code file: cannot hold ", file.samples, " samples at ", file.rate, " Hz in frames of ",
                             file.hop, " samples, with ", file.levels, " levels of ", file.entries, " entries"));
  // Not a product: it may be beyond 64 bits.
  const auto codes = static_cast<std::int64_t>(file.codes.size());
  if (codes % file.levels != 0 || codes / file.levels != file.frames())
    throw ShapeError(concat("code file: ", file.samples, " samples are ", file.frames(), " frames of ", file.levels,
                            " codes, but there are ", codes, " codes"));
  for (const std::int32_t code : file.codes)
    if (code < 0 || code >= file.entries)
      throw ShapeError(concat("code file: code ", code, " is beyond the ", file.entries, " entries"));

  std::string out(magic);
  put(out, version, 2);
  put(out, static_cast<std::uint64_t>(file.levels), 2);
  for (const long field : {file.entries, file.rate, file.hop}) put(out, static_cast<std::uint64_t>(field), 4);
  put(out, file.model, 4);
  put(out, static_cast<std::uint64_t>(file.samples), 8);
  const int bits = file.bits();
  std::uint64_t waiting = 0;  // bits that do not fill a byte yet, and how many
  int held = 0;
  for (const std::int32_t code : file.codes) {
    waiting |= static_cast<std::uint64_t>(code) << held;
    for (held += bits; held >= 8; held -= 8, waiting >>= 8) put(out, waiting & 0xFF, 1);
  }
  if (held > 0) put(out, waiting & 0xFF, 1);
  put(out, crc32(out.data(), out.size()), 4);
  write_file(path, out);
}

CodeFile parse_code_file(const std::vector<std::byte>& bytes, const std::string& name) {
  const std::byte* at = bytes.data();
  const auto is_magic = [&] {
    for (std::size_t i = 0; i < magic.size(); ++i)
      if (std::to_integer<char>(bytes[i]) != magic[i]) return false;
    return true;
  };
  if (bytes.size() < magic.size() || !is_magic())
    throw FormatError(concat(name, ": does not begin with ", magic, ", so it holds no codes"));
  if (bytes.size() < header_bytes + crc_bytes)
    throw FormatError(concat(name, ": is cut off after ", bytes.size(), " bytes, in its header"));
  at += magic.size();
  if (const auto found = get(at, 2); found != version)
    throw FormatError(concat(name, ": has version ", found, " of the format, but this reads version ", version));
  CodeFile file;
  file.levels = static_cast<long>(get(at, 2));
  file.entries = static_cast<long>(get(at, 4));
  file.rate = static_cast<long>(get(at, 4));
  file.hop = static_cast<long>(get(at, 4));
  file.model = static_cast<std::uint32_t>(get(at, 4));
  const std::uint64_t samples = get(at, 8);
  constexpr long most = std::numeric_limits<std::int32_t>::max();
  if (file.levels < 1 || file.entries < 1 || file.entries > most || file.rate < 1 || file.rate > most || file.hop < 1 ||
      file.hop > most || samples > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    throw FormatError(concat(name, ": says that it holds ", samples, " samples at ", file.rate, " Hz in frames of ",
                             file.hop, " samples, with ", file.levels, " levels of ", file.entries, " entries"));
  file.samples = static_cast<std::int64_t>(samples);
  const int bits = file.bits();
  // At most 2^63 · 2^16 codes are promised; so many bits are compared in frames.
  const auto frames = static_cast<std::uint64_t>(file.frames()), levels = static_cast<std::uint64_t>(file.levels);
  const std::size_t payload = bytes.size() - header_bytes - crc_bytes;
  const std::uint64_t frame_bits = levels * static_cast<std::uint64_t>(bits);
  const bool short_of_it = frame_bits > 0 && frames > std::uint64_t{8} * payload / frame_bits;
  if (short_of_it)
    throw FormatError(concat(name, ": is cut off: ", frames, " frames of ", frame_bits, " bits do not fit into its ",
                             payload, " bytes of codes"));
  // Codes of no bits take no room, so nothing in the file limits how many there are.
  if (frame_bits == 0 && frames > (std::uint64_t{1} << 20) / levels)
    throw FormatError(concat(name, ": promises ", frames, " frames of codes that take no bits"));
  if (const std::uint64_t needed = packed_bytes(frames * levels, bits); payload != needed)
    throw FormatError(concat(name, ": ", frames, " frames of ", frame_bits, " bits take ", needed,
                             " bytes, but there are ", payload));
  const std::byte* end = bytes.data() + bytes.size() - crc_bytes;
  const std::uint32_t computed = crc32(bytes.data(), bytes.size() - crc_bytes);
  if (const std::uint64_t written = get(end, 4); written != computed)
    throw FormatError(concat(name, ": is damaged: its checksum is ", computed, ", but it was written with ", written));

  file.codes.resize(frames * levels);
  std::uint64_t waiting = 0;
  int held = 0;
  for (std::int32_t& code : file.codes) {
    for (; held < bits; held += 8) waiting |= get(at, 1) << held;
    code = static_cast<std::int32_t>(waiting & ((std::uint64_t{1} << bits) - 1));
    waiting >>= bits;
    held -= bits;
    if (code >= file.entries)
      throw FormatError(concat(name, ": holds code ", code, ", which is beyond its ", file.entries, " entries"));
  }
  if (waiting != 0) throw FormatError(concat(name, ": goes on behind its last code"));
  return file;
}

CodeFile read_code_file(const std::string& path) {
  const auto source = detail::open_file(path);
  std::vector<std::byte> bytes(source->size());
  source->read_at(0, bytes.data(), bytes.size());
  return parse_code_file(bytes, path);
}

}  // namespace phonaut
