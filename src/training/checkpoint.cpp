#include "phonaut/training/checkpoint.hpp"

#include <signal.h>
#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <set>
#include <system_error>

#include "io/text.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/near_miss.hpp"

namespace phonaut {
namespace {

constexpr std::string_view training_part = "training/";

bool is_floating(Dtype t) { return t == Dtype::f16 || t == Dtype::bf16 || t == Dtype::f32 || t == Dtype::f64; }
bool is_integer(Dtype t) {
  return t != Dtype::boolean && t != Dtype::f8_e4m3 && t != Dtype::f8_e5m2 && !is_floating(t);
}

/// Whether a value of an entry may become one of a weight: any floating-point type, any whole number that fits.
bool converts(Dtype from, Dtype to) {
  return from == to || (is_floating(from) && is_floating(to)) || (is_integer(from) && is_integer(to));
}

template <class Number>
bool parse(const std::string& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

/// " (perhaps `a` or `b`)", or nothing.
std::string perhaps(const std::string& name, const std::vector<std::string>& candidates) {
  const auto names = near_misses(name, candidates);
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) out += (i == 0 ? " (perhaps " : " or ") + detail::ticked(names[i]);
  return out.empty() ? out : out + ")";
}

}  // namespace

namespace detail {

std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;  // the shortest that reads back as the same bits
  return {text, end};
}

void check_whole(const std::string& name, bool contiguous) {
  if (!contiguous)
    throw ShapeError(
        concat("checkpoint: ", name, " is a strided slice of another tensor, but only whole tensors are kept"));
}

}  // namespace detail

void CheckpointWriter::put(const std::string& name, std::string value) {
  if (!metadata_.emplace(name, std::move(value)).second)
    throw ConfigError(concat("checkpoint: two numbers or texts are called ", detail::ticked(name)));
}

void CheckpointWriter::write(const std::string& path, const std::map<std::string, std::string>& metadata) {
  std::map<std::string, std::string> all = metadata;
  for (const auto& [name, value] : metadata_)
    if (!all.emplace(name, value).second)
      throw ConfigError(concat(path, ": the metadata ", detail::ticked(name), " belongs to the state that is saved"));
  write_safetensors(path, entries_, all);
}

CheckpointReader::CheckpointReader(const std::string& path, LoadOptions options)
    : file_(path), options_(std::move(options)) {}

void CheckpointReader::want(const std::string& name, const std::vector<long>& extents, Dtype dtype,
                            std::function<std::function<void()>(const SafetensorsReader&, const Want&)> read) {
  Want w{name, name, extents, {}, dtype, std::move(read)};
  if (options_.file_name && !name.starts_with(training_part)) w.entry = options_.file_name(name);
  if (w.entry.empty()) return;
  w.entry = options_.part + w.entry;
  if (options_.axes) w.axes = options_.axes(name);
  if (!w.axes.empty()) {
    std::vector<int> sorted = w.axes;
    std::sort(sorted.begin(), sorted.end());
    bool permutation = sorted.size() == extents.size();
    for (std::size_t i = 0; i < sorted.size(); ++i) permutation = permutation && sorted[i] == static_cast<int>(i);
    if (!permutation)
      throw ConfigError(concat(file_.path(), ": the order of axes for ", detail::ticked(name),
                               " is not a permutation of ", extents.size(), " axes"));
  }
  wants_.push_back(std::move(w));
}

const std::string* CheckpointReader::find_text(const std::string& name) {
  asked_texts_.push_back(name);
  const auto found = file_.metadata().find(name);
  return found == file_.metadata().end() ? nullptr : &found->second;
}
void CheckpointReader::text(const std::string& name, std::string& value) {
  if (const std::string* found = find_text(name)) setters_.push_back([&value, found] { value = *found; });
}
void CheckpointReader::same(const std::string& name, const std::string& value) {
  const std::string* found = find_text(name);
  if (found && *found != value)
    problems_.push_back(concat(name, " is ", detail::ticked(*found), " in the file, ", detail::ticked(value), " now"));
}
void CheckpointReader::want_double(const std::string& name, std::function<void(double)> set) {
  const std::string* found = find_text(name);
  double value = 0;
  if (!found) return;
  if (parse(*found, value)) setters_.push_back([set = std::move(set), value] { set(value); });
  else problems_.push_back(concat(name, " is ", detail::ticked(*found), ", which is no number"));
}
void CheckpointReader::want_signed(const std::string& name, std::int64_t least, std::int64_t most,
                                   std::function<void(std::int64_t)> set) {
  const std::string* found = find_text(name);
  std::int64_t value = 0;
  if (!found) return;
  if (parse(*found, value) && value >= least && value <= most)
    setters_.push_back([set = std::move(set), value] { set(value); });
  else
    problems_.push_back(
        concat(name, " is ", detail::ticked(*found), ", not a whole number from ", least, " to ", most));
}
void CheckpointReader::want_unsigned(const std::string& name, std::uint64_t most,
                                     std::function<void(std::uint64_t)> set) {
  const std::string* found = find_text(name);
  std::uint64_t value = 0;
  if (!found) return;
  if (parse(*found, value) && value <= most) setters_.push_back([set = std::move(set), value] { set(value); });
  else problems_.push_back(concat(name, " is ", detail::ticked(*found), ", not a whole number from 0 to ", most));
}

void CheckpointReader::compare() {
  const bool training = !asked_texts_.empty();
  // What of the file is our business: without a training state to be read, that of the file is passed over.
  const auto counts = [&](const std::string& name) {
    if (!name.starts_with(options_.part) || (options_.ignore && options_.ignore(name))) return false;
    return training || !options_.part.empty() || !name.starts_with(training_part);
  };
  std::set<std::string> wanted;
  std::vector<std::string> extra, missing;
  for (const Want& w : wants_) {
    wanted.insert(w.entry);
    if (!file_.contains(w.entry)) missing.push_back(w.entry);
  }
  std::size_t relevant = 0;
  for (const SafetensorsInfo& entry : file_.entries()) {
    if (!counts(entry.name)) continue;
    ++relevant;
    if (!wanted.contains(entry.name)) extra.push_back(entry.name);
  }
  std::vector<std::string> problems;
  std::size_t matched = 0;
  for (const Want& w : wants_) {
    const std::string label = w.entry == w.name ? w.name : w.name + " (" + detail::ticked(w.entry) + " in the file)";
    if (!file_.contains(w.entry)) {
      problems.push_back(label + " is missing" + perhaps(w.entry, extra));
      continue;
    }
    ++matched;
    const SafetensorsInfo& info = file_.info(w.entry);
    std::vector<long> shape = info.shape;
    if (!w.axes.empty() && shape.size() == w.axes.size())
      for (std::size_t i = 0; i < shape.size(); ++i) shape[i] = info.shape[static_cast<std::size_t>(w.axes[i])];
    if (shape != w.extents)
      problems.push_back(concat(label, " is ", detail::shape_text(info.shape), " in the file, ",
                                detail::shape_text(w.extents), " in the model",
                                w.axes.empty() ? "" : " (after the axes are put in order)"));
    else if (!converts(info.dtype, w.dtype))
      problems.push_back(
          concat(label, " holds ", name_of(info.dtype), " in the file, ", name_of(w.dtype), " in the model"));
  }
  for (const std::string& name : extra) problems.push_back(name + " is in the file only" + perhaps(name, missing));

  bool some_text = false;
  std::vector<std::string> missing_texts;
  for (const std::string& name : asked_texts_) {
    if (file_.metadata().contains(name)) some_text = true;
    else missing_texts.push_back(name);
  }
  if (training && !some_text)
    throw LoadError(
        concat(file_.path(), ": this file holds weights but no training state, so a run cannot go on from it"));
  for (const std::string& name : missing_texts) problems.push_back(name + " is missing");
  problems.insert(problems.end(), problems_.begin(), problems_.end());
  if (problems.empty()) return;

  std::string message = file_.path() + ": ";
  if (matched == 0 && relevant > 0 && !wants_.empty())
    message += concat("this is a checkpoint of another model, none of whose ", relevant, " entries fits one of our ",
                      wants_.size(), ": ");
  else message += concat(problems.size(), problems.size() == 1 ? " entry differs: " : " entries differ: ");
  for (std::size_t i = 0; i < problems.size(); ++i) message += (i ? "; " : "") + problems[i];
  throw LoadError(message);
}

void CheckpointReader::finish() {
  compare();
  // Conversions first: a value that does not fit throws before any weight has been touched.
  std::vector<std::function<void()>> assign;
  for (const Want& w : wants_)
    if (file_.info(w.entry).dtype != w.dtype) assign.push_back(w.read(file_, w));
  for (const auto& set : assign) set();
  for (const Want& w : wants_)
    if (file_.info(w.entry).dtype == w.dtype) w.read(file_, w);
  for (const auto& set : setters_) set();
  for (const auto& action : actions_) action();
}

CheckpointFolder::CheckpointFolder(std::string folder) : folder_(std::move(folder)) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(folder_, error);
  if (!fs::is_directory(folder_))
    throw FileError(
        concat(folder_, ": cannot be made a folder for checkpoints: ", error ? error.message() : "it is a file"));
  // AtomicFile's unfinished files: .<name>.<process>-<number>.tmp
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with('.') || !name.ends_with(".tmp")) continue;
    const std::size_t stem = name.find(".safetensors.");
    if (stem == std::string::npos) continue;
    const std::size_t first = stem + std::string_view(".safetensors.").size(), dash = name.find('-', first);
    long process = 0;
    if (dash == std::string::npos || !parse(name.substr(first, dash - first), process) || process <= 0) continue;
    if (::kill(static_cast<pid_t>(process), 0) == 0 || errno != ESRCH) continue;  // its writer still lives
    std::error_code ignored;
    fs::remove(entry.path(), ignored);
  }
}
bool CheckpointFolder::has_latest() const { return std::filesystem::exists(latest()); }
bool CheckpointFolder::has_best() const { return std::filesystem::exists(best()); }

}  // namespace phonaut
