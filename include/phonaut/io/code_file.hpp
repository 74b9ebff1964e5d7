#pragma once
// Codes of one recording, packed bit by bit: what a codec stores or sends.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace phonaut {

/// The codes of a mono recording. The file needs ceil(log2 entries) bits for each, and 36 bytes besides:
///
/// | bytes | content, little-endian |
/// |---|---|
/// | 4 | `PHNC` |
/// | 2, 2 | version 1; levels |
/// | 4, 4, 4, 4 | entries; samples per second; samples per frame; the model that made them |
/// | 8 | samples |
/// | … | codes, frame by frame, in each frame level by level, lowest bits first, zeros up to a whole byte |
/// | 4 | CRC-32 (that of Ethernet and zlib) of everything before |
struct CodeFile {
  long levels = 1;           ///< codes for each frame
  long entries = 0;          ///< of each codebook
  long rate = 0;             ///< samples per second
  long hop = 0;              ///< samples for each frame
  std::uint32_t model = 0;   ///< tells models apart (their `fingerprint`), as only the one that encoded can decode
  std::int64_t samples = 0;  ///< of the recording
  std::vector<std::int32_t> codes;  ///< (frames, levels), each in 0 … entries - 1

  std::int64_t frames() const { return hop > 0 ? samples / hop + (samples % hop > 0) : 0; }
  /// Bits of one code.
  int bits() const;
};

/// Writes such a file, whole or not at all. Throws ShapeError unless there are as many codes as frames · levels, and
/// for codes out of range; ConfigError for sizes that the format cannot hold; FileError.
void write_code_file(const std::string& path, const CodeFile& file);
/// Throws FileError if the file cannot be read; FormatError, naming it, if it is none, is of another version, is cut
/// off or too long, if one of its bits is not what was written, or if a code is beyond the entries.
CodeFile read_code_file(const std::string& path);
/// The same from memory; `name` stands for the path in messages.
CodeFile parse_code_file(const std::vector<std::byte>& bytes, const std::string& name);

/// CRC-32 of bytes (polynomial 0x04C11DB7, reflected); `so_far` is that of the bytes before them.
std::uint32_t crc32(const void* bytes, std::size_t count, std::uint32_t so_far = 0);

}  // namespace phonaut
