#include "phonaut/io/safetensors.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "byte_source.hpp"
#include "convert.hpp"
#include "phonaut/core/error.hpp"
#include "phonaut/io/atomic_file.hpp"
#include "phonaut/io/json_value.hpp"
#include "phonaut/io/near_miss.hpp"
#include "safetensors_header.hpp"
#include "text.hpp"

namespace phonaut {
namespace {

using detail::ticked;
constexpr std::size_t most_header_bytes = 100'000'000;  // as the reference implementation

}  // namespace

long SafetensorsInfo::size() const noexcept { return static_cast<long>(bytes / bytes_of(dtype)); }

SafetensorsReader::SafetensorsReader(const std::string& path) : path_(path), source_(detail::open_file(path)) {
  parse();
}

SafetensorsReader::SafetensorsReader(std::vector<std::byte> bytes, const std::string& name)
    : path_(name), source_(detail::open_memory(std::move(bytes), name)) {
  parse();
}

void SafetensorsReader::parse() {
  const std::size_t size = source_->size();
  if (size < 8) throw FormatError(concat(path_, ": has ", size, " bytes; a safetensors file has at least 10"));
  std::uint64_t length = 0;
  source_->read_at(0, &length, 8);
  if (length > most_header_bytes || length > size - 8)
    throw FormatError(concat(path_, ": the header claims ", length, " bytes; the file has ", size - 8,
                             " after the length, and a header at most ", most_header_bytes));
  std::string json(length, '\0');
  source_->read_at(8, json.data(), length);
  const std::size_t data = 8 + length;
  auto header = detail::parse_safetensors_header(json, size - data, path_);
  entries_ = std::move(header.entries);
  metadata_ = std::move(header.metadata);
  index_.reserve(entries_.size());
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    entries_[i].offset += data;
    index_.emplace(entries_[i].name, i);
  }
}

std::vector<std::string> SafetensorsReader::names() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& entry : entries_) names.push_back(entry.name);
  return names;
}

bool SafetensorsReader::contains(std::string_view name) const { return index_.contains(std::string(name)); }

const SafetensorsInfo& SafetensorsReader::info(std::string_view name) const {
  const auto found = index_.find(std::string(name));
  if (found == index_.end())
    throw LoadError(
        concat(path_, ": no entry ", ticked(name), " among its ", entries_.size(), did_you_mean(name, names())));
  return entries_[found->second];
}

std::vector<std::byte> SafetensorsReader::bytes(std::string_view name) const {
  const auto& entry = info(name);
  std::vector<std::byte> bytes(entry.bytes);
  source_->read_at(entry.offset, bytes.data(), bytes.size());
  return bytes;
}

template <class T>
void SafetensorsReader::read_into(std::string_view name, std::span<T> values) const {
  const auto& entry = info(name);
  if (values.size() != static_cast<std::size_t>(entry.size()))
    throw ShapeError(concat(path_, ": entry ", ticked(name), " has shape ", detail::shape_text(entry.shape),
                            ", but room was made for ", values.size(), " elements"));
  detail::read_elements(*source_, entry.offset, entry.dtype, values, concat(path_, ": entry ", ticked(name)));
}

template <class T>
std::vector<T> SafetensorsReader::read(std::string_view name) const {
  std::vector<T> values(static_cast<std::size_t>(info(name).size()));
  read_into<T>(name, values);
  return values;
}

template std::vector<float> SafetensorsReader::read(std::string_view) const;
template std::vector<double> SafetensorsReader::read(std::string_view) const;
template std::vector<std::int32_t> SafetensorsReader::read(std::string_view) const;
template std::vector<std::int64_t> SafetensorsReader::read(std::string_view) const;
template std::vector<std::uint8_t> SafetensorsReader::read(std::string_view) const;
template void SafetensorsReader::read_into(std::string_view, std::span<float>) const;
template void SafetensorsReader::read_into(std::string_view, std::span<double>) const;
template void SafetensorsReader::read_into(std::string_view, std::span<std::int32_t>) const;
template void SafetensorsReader::read_into(std::string_view, std::span<std::int64_t>) const;
template void SafetensorsReader::read_into(std::string_view, std::span<std::uint8_t>) const;

namespace {

void check_text(const std::string& path, std::string_view text, const char* what) {
  if (detail::find_invalid_utf8(text) != std::string_view::npos)
    throw ConfigError(concat(path, ": ", what, " ", ticked(text), " is not UTF-8"));
}

void check_entries(const std::string& path, std::span<const SafetensorsEntry> entries) {
  std::unordered_set<std::string_view> names;
  for (const auto& entry : entries) {
    check_text(path, entry.name, "the name");
    if (entry.name.empty() || entry.name == "__metadata__")
      throw ConfigError(concat(path, ": an entry cannot be called ", ticked(entry.name)));
    if (!names.insert(entry.name).second)
      throw ConfigError(concat(path, ": two entries are called ", ticked(entry.name)));
    std::size_t wanted = 0;
    if (!detail::byte_count(entry.shape, bytes_of(entry.dtype), wanted) || wanted != entry.bytes.size())
      throw ShapeError(concat(path, ": entry ", ticked(entry.name), " has ", entry.bytes.size(), " bytes, but shape ",
                              detail::shape_text(entry.shape), " of ", name_of(entry.dtype), " needs ", wanted));
  }
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const SafetensorsEntry> entries,
                       const std::map<std::string, std::string>& metadata) {
  check_entries(path, entries);
  std::vector<const SafetensorsEntry*> order;
  for (const auto& entry : entries) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return bytes_of(a->dtype) > bytes_of(b->dtype); });

  std::string header = "{";
  if (!metadata.empty()) {
    header += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) {
      check_text(path, key, "the metadata key");
      check_text(path, value, "the metadata");
      if (header.back() != '{') header += ',';
      append_json_string(header, key);
      header += ':';
      append_json_string(header, value);
    }
    header += '}';
  }
  std::size_t offset = 0;
  for (const auto* entry : order) {
    if (header.size() > 1) header += ',';
    append_json_string(header, entry->name);
    header += concat(":{\"dtype\":\"", name_of(entry->dtype), "\",\"shape\":[");
    for (std::size_t i = 0; i < entry->shape.size(); ++i) header += concat(i ? "," : "", entry->shape[i]);
    header += concat("],\"data_offsets\":[", offset, ",", offset + entry->bytes.size(), "]}");
    offset += entry->bytes.size();
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');  // so that the elements start at a multiple of 8
  if (header.size() > most_header_bytes)
    throw ConfigError(concat(path, ": its header would have ", header.size(), " bytes, more than ", most_header_bytes));

  AtomicFile file(path);
  const std::uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header);
  for (const auto* entry : order) file.write(entry->bytes.data(), entry->bytes.size());
  file.commit();
}

}  // namespace phonaut
