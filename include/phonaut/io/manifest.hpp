#pragma once
// Lists of recordings: what to train on, who speaks, what is said.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace phonaut {

/// One recording of a manifest. Text is UTF-8; empty (`-` in the file) where the manifest does not tell.
struct Utterance {
  std::string path;        ///< absolute
  std::string speaker;     ///< name within the data set
  std::string label;       ///< class
  std::string transcript;  ///< what is said
  std::string language;    ///< ISO 639 code; `zxx` for sound that is no speech
  double seconds = 0;      ///< length; 0 if not told
  int rate = 0;            ///< of the file, Hz; 0 if not told
  std::string split;       ///< `train`, `valid`, `test` or another name
  std::string origin;      ///< where this row stands, for messages: "digits/manifest.tsv line 7"
};

/// Reads a list of recordings, in its order. `path` names one of
/// - a table: a line with the names of the columns, then one line per recording, fields separated by tabs, no quoting.
///   Columns are found by name: path (required), speaker, label, transcript, language, seconds, sample_rate, split;
///   others are ignored. Paths are relative to the folder of the table.
/// - a list (any file but .tsv whose first line has no tab): one path per line, relative to its folder.
/// - a folder: its `manifest.tsv` if there is one, else all audio files below (see manifest_from_folder).
/// - a single audio file.
/// Text is UTF-8; a byte order mark, CRLF and empty lines are accepted.
/// Throws FileError if the file cannot be read; FormatError, naming file and line and what was expected, if it is
/// malformed or holds no recording. Whether the recordings exist is not looked at: see check_manifest.
std::vector<Utterance> read_manifest(const std::string& path);

/// The same from text: `name` stands for the path in messages, relative paths start at `folder`, and it is a table or
/// a list as `is_table` says.
std::vector<Utterance> parse_manifest(std::string_view text, const std::string& name, const std::string& folder,
                                      bool is_table = true);

/// All audio files below `folder` (by ending: wav, flac, ogg, opus, aiff, au, caf, w64), sorted by path; links to
/// folders are not followed. The first folder on the way names the speaker: `anna/take1.wav` is by anna, `take1.wav` by
/// nobody. Throws FileError if it is no folder or cannot be read, FormatError if it holds no audio.
std::vector<Utterance> manifest_from_folder(const std::string& folder);

/// A recording that cannot be used.
struct ManifestProblem {
  std::size_t index;    ///< in the manifest
  std::string message;  ///< one sentence: "digits/manifest.tsv line 7: there is no file /data/digits/7.wav"
};

/// The recordings that point nowhere (no such file, or not a file). Does not open any.
std::vector<ManifestProblem> check_manifest(std::span<const Utterance> utterances);

/// The recordings of one split, in their order.
std::vector<Utterance> in_split(std::span<const Utterance> utterances, std::string_view split);

/// Parts of the data; need not sum to 1. A split with part 0 stays empty.
struct SplitFractions {
  double train = 0.8;
  double valid = 0.1;
  double test = 0.1;
};

/// Assigns `train`, `valid` and `test` by whole speakers, so that nobody is heard in two of them; every split with a
/// part gets at least one speaker. Depends on the names of the speakers and `seed` alone, not on the order of rows.
/// Parts are measured in seconds, or in recordings where the manifest does not tell the seconds of all.
/// Throws ConfigError if parts are negative, all 0, or if there are fewer speakers than splits. Recordings without a
/// speaker count as one unknown speaker.
void speaker_disjoint_split(std::span<Utterance> utterances, const SplitFractions& fractions = {},
                            std::uint64_t seed = 0);

/// Assigns `train`, `valid` and `test` recording by recording: for data of one speaker, or of unknown ones. Depends on
/// the file names (without folders) and `seed`. Throws ConfigError as above.
void recording_split(std::span<Utterance> utterances, const SplitFractions& fractions = {}, std::uint64_t seed = 0);

/// Speakers that are heard in more than one split, sorted. Sounds without a speaker are not counted.
std::vector<std::string> speakers_in_two_splits(std::span<const Utterance> utterances);
inline bool is_speaker_disjoint(std::span<const Utterance> utterances) {
  return speakers_in_two_splits(utterances).empty();
}

}  // namespace phonaut
