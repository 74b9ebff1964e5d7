#include "phonaut/io/manifest.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>

#include "byte_source.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/near_miss.hpp"
#include "text.hpp"

namespace phonaut {
namespace {

namespace fs = std::filesystem;
using detail::ticked;

constexpr std::size_t most_bytes = std::size_t{1} << 31;

bool is_audio_name(const fs::path& path) {
  static const char* const endings[] = {".wav", ".flac", ".ogg", ".oga", ".opus",
                                        ".aif", ".aiff", ".au",  ".caf", ".w64"};
  std::string ending = path.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return std::find(std::begin(endings), std::end(endings), ending) != std::end(endings);
}

std::string absolute(const fs::path& folder, std::string_view path) {
  return fs::absolute(folder / path).lexically_normal().string();
}

/// Hands out the lines of a text one by one, without line ends.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
  }
  /// The next line that is not empty.
  std::optional<std::string_view> next() {
    while (!rest_.empty()) {
      const std::size_t end = std::min(rest_.find('\n'), rest_.size());
      auto line = rest_.substr(0, end);
      rest_.remove_prefix(std::min(end + 1, rest_.size()));
      ++number_;
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!line.empty()) return line;
    }
    return std::nullopt;
  }
  long number() const { return number_; }

 private:
  std::string_view rest_;
  long number_ = 0;
};

void split_fields(std::string_view line, std::vector<std::string_view>& fields) {
  fields.clear();
  for (;;) {
    const std::size_t tab = line.find('\t');
    fields.push_back(line.substr(0, tab));
    if (tab == line.npos) return;
    line.remove_prefix(tab + 1);
  }
}

void check_characters(std::string_view line, const std::string& where) {
  const std::size_t bad = std::min(detail::find_invalid_utf8(line), line.find('\0'));
  if (bad != line.npos) throw FormatError(concat(where, ": byte ", bad + 1, " is not text; a manifest is UTF-8"));
}

template <class T>
T number(std::string_view field, const char* column, const char* expected, const std::string& where) {
  if (field.empty() || field == "-") return T(0);
  T value{};
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() || !(value >= T(0)) || !std::isfinite(double(value)))
    throw FormatError(concat(where, ": ", column, " is ", ticked(field), ", but ", expected, " is expected"));
  return value;
}

/// The place of each known column in the header line; npos where it is absent.
struct Columns {
  std::size_t count = 0;
  std::size_t path, speaker, label, transcript, language, seconds, sample_rate, split;

  Columns(const std::vector<std::string_view>& names, const std::string& where) : count(names.size()) {
    const auto find = [&](std::string_view name) {
      const auto first = std::find(names.begin(), names.end(), name);
      if (first == names.end()) return std::string_view::npos;
      if (std::find(first + 1, names.end(), name) != names.end())
        throw FormatError(concat(where, ": column ", ticked(name), " is there twice"));
      return static_cast<std::size_t>(first - names.begin());
    };
    path = find("path"), speaker = find("speaker"), label = find("label"), transcript = find("transcript");
    language = find("language"), seconds = find("seconds"), sample_rate = find("sample_rate"), split = find("split");
    if (path == std::string_view::npos) {
      const std::vector<std::string> there(names.begin(), names.end());
      throw FormatError(concat(where, ": a header with a column `path` is expected, but the line is ",
                               ticked(there.size() == 1 ? there[0] : there[0] + " " + there[1] + " ..."),
                               did_you_mean("path", there)));
    }
  }
};

std::vector<Utterance> parse_table(Lines& lines, const std::string& name, const fs::path& folder) {
  std::vector<std::string_view> fields;
  const auto header = lines.next();
  if (!header) throw FormatError(concat(name, ": is empty; a header line with a column `path` is expected"));
  std::string where = concat(name, " line ", lines.number());
  check_characters(*header, where);
  split_fields(*header, fields);
  const Columns columns(fields, where);

  std::vector<Utterance> utterances;
  while (const auto line = lines.next()) {
    where = concat(name, " line ", lines.number());
    check_characters(*line, where);
    split_fields(*line, fields);
    if (fields.size() != columns.count)
      throw FormatError(concat(where, ": has ", fields.size(), " fields, but the header has ", columns.count,
                               "; fields are separated by tabs"));
    const auto field = [&](std::size_t column) {
      return column == std::string_view::npos ? std::string_view() : fields[column];
    };
    const auto text = [&](std::size_t column) { return std::string(field(column) == "-" ? "" : field(column)); };
    if (field(columns.path).empty()) throw FormatError(concat(where, ": path is empty, but a file is expected"));
    Utterance& u = utterances.emplace_back();
    u.path = absolute(folder, field(columns.path));
    u.speaker = text(columns.speaker);
    u.label = text(columns.label);
    u.transcript = text(columns.transcript);
    u.language = text(columns.language);
    u.seconds = number<double>(field(columns.seconds), "seconds", "a length in seconds", where);
    u.rate = number<int>(field(columns.sample_rate), "sample_rate", "a whole number of Hz", where);
    u.split = text(columns.split);
    u.origin = std::move(where);
  }
  return utterances;
}

std::vector<Utterance> parse_list(Lines& lines, const std::string& name, const fs::path& folder) {
  std::vector<Utterance> utterances;
  while (const auto line = lines.next()) {
    auto where = concat(name, " line ", lines.number());
    check_characters(*line, where);
    Utterance& u = utterances.emplace_back();
    u.path = absolute(folder, *line);
    u.origin = std::move(where);
  }
  return utterances;
}

bool looks_like_table(const std::string& path, std::string_view text) {
  if (path.ends_with(".tsv")) return true;
  const auto first = Lines(text).next();
  return first && (*first == "path" || first->find('\t') != first->npos);
}

}  // namespace

std::vector<Utterance> parse_manifest(std::string_view text, const std::string& name, const std::string& folder,
                                      bool is_table) {
  Lines lines(text);
  auto utterances = is_table ? parse_table(lines, name, folder) : parse_list(lines, name, folder);
  if (utterances.empty()) throw FormatError(concat(name, ": names no recording"));
  return utterances;
}

std::vector<Utterance> read_manifest(const std::string& path) {
  std::error_code ignored;
  const fs::path place(path);
  if (fs::is_directory(place, ignored)) {
    const auto table = place / "manifest.tsv";
    return fs::exists(table, ignored) ? read_manifest(table.string()) : manifest_from_folder(path);
  }
  if (is_audio_name(place)) {
    (void)detail::open_file(path);  // the error of a missing file belongs here: there is nothing else to read
    Utterance u;
    u.path = absolute("", path);
    u.origin = path;
    return {std::move(u)};
  }
  const auto text = detail::read_text_file(path, most_bytes);
  return parse_manifest(text, path, fs::absolute(place).parent_path().string(), looks_like_table(path, text));
}

std::vector<Utterance> manifest_from_folder(const std::string& folder) {
  std::vector<Utterance> utterances;
  try {
    const fs::path root(folder);
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (!is_audio_name(entry.path()) || !entry.is_regular_file()) continue;
      const auto relative = entry.path().lexically_relative(root);
      Utterance& u = utterances.emplace_back();
      u.path = absolute("", entry.path().string());
      if (std::distance(relative.begin(), relative.end()) > 1) u.speaker = relative.begin()->string();
      u.origin = entry.path().string();
    }
  } catch (const fs::filesystem_error& error) {
    throw FileError(concat(folder, ": cannot be searched for audio files: ", error.code().message()));
  }
  if (utterances.empty()) throw FormatError(concat(folder, ": holds no audio files (.wav, .flac, .ogg …)"));
  std::sort(utterances.begin(), utterances.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return utterances;
}

std::vector<ManifestProblem> check_manifest(std::span<const Utterance> utterances) {
  std::vector<ManifestProblem> problems;
  for (std::size_t i = 0; i < utterances.size(); ++i) {
    std::error_code error;
    const auto status = fs::status(utterances[i].path, error);
    if (fs::is_regular_file(status)) continue;
    const char* what = fs::exists(status) ? ": is not a file: " : ": there is no file ";
    problems.push_back({i, concat(utterances[i].origin, what, utterances[i].path)});
  }
  return problems;
}

}  // namespace phonaut
