#include "safetensors_header.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "phonaut/core/error.hpp"
#include "text.hpp"

namespace phonaut::detail {
namespace {

/// Follows the parser through {"name": {"dtype": s, "shape": [n…], "data_offsets": [n, n]}, "__metadata__": {s: s}}
/// and stops it at the first thing that has no place there. Nothing is kept of what the form does not know, so
/// neither deep nesting nor long lists of anything cost more memory than the header itself.
class HeaderHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  SafetensorsHeader header;
  std::string problem;

  bool start_object(std::size_t) override {
    if (place_ == Place::start) return enter(Place::top);
    if (place_ == Place::top && !key_.empty()) {
      if (key_ == "__metadata__") return enter(Place::metadata);
      header.entries.emplace_back().name = key_;
      offsets_.clear();
      has_dtype_ = has_shape_ = has_offsets_ = false;
      return enter(Place::entry);
    }
    return misplaced("an object");
  }
  bool end_object() override {
    if (place_ == Place::entry) {
      if (!has_dtype_ || !has_shape_ || !has_offsets_)
        return stop(concat("entry ", ticked(header.entries.back().name), " has no ",
                           !has_dtype_   ? "dtype"
                           : !has_shape_ ? "shape"
                                         : "data_offsets"));
      if (!finish_entry()) return false;
    }
    return enter(place_ == Place::top ? Place::end : Place::top);
  }
  bool key(std::string& name) override {
    key_ = std::move(name);
    switch (place_) {
      case Place::top:
        if (key_.empty()) return stop("an entry has an empty name");
        if (!names_.insert(key_).second) return stop(concat("entry ", ticked(key_), " is there twice"));
        return true;
      case Place::metadata:
        if (header.metadata.contains(key_)) return stop(concat("metadata ", ticked(key_), " is there twice"));
        return true;
      case Place::entry: {
        bool* const seen = key_ == "dtype"          ? &has_dtype_
                           : key_ == "shape"        ? &has_shape_
                           : key_ == "data_offsets" ? &has_offsets_
                                                    : nullptr;
        if (!seen) return stop(concat("entry ", ticked(entry().name), " has an unknown field ", ticked(key_)));
        if (*seen) return stop(concat("entry ", ticked(entry().name), " has ", ticked(key_), " twice"));
        return *seen = true;
      }
      default:
        return misplaced("a key");
    }
  }
  bool start_array(std::size_t) override {
    if (place_ == Place::entry && key_ == "shape") return enter(Place::shape);
    if (place_ == Place::entry && key_ == "data_offsets") return enter(Place::offsets);
    return misplaced("an array");
  }
  bool end_array() override { return enter(Place::entry); }
  bool number_unsigned(std::uint64_t value) override {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<long>::max())) return misplaced("a number beyond 2^63");
    if (place_ == Place::shape) {
      if (entry().shape.size() == most_axes)
        return stop(concat("entry ", ticked(entry().name), " has more than ", most_axes, " axes"));
      entry().shape.push_back(static_cast<long>(value));
      return true;
    }
    if (place_ == Place::offsets && offsets_.size() < 2) {
      offsets_.push_back(static_cast<std::size_t>(value));
      return true;
    }
    return misplaced("a number");
  }
  bool string(std::string& value) override {
    if (place_ == Place::metadata) {
      header.metadata.emplace(key_, std::move(value));
      return true;
    }
    if (place_ == Place::entry && key_ == "dtype") {
      try {
        entry().dtype = dtype_named(value);
      } catch (const FormatError&) {
        return stop(concat("entry ", ticked(entry().name), " has the unknown dtype ", ticked(value)));
      }
      return true;
    }
    return misplaced("a string");
  }
  bool number_integer(std::int64_t value) override { return misplaced(concat("the negative number ", value).c_str()); }
  bool number_float(double, const std::string&) override { return misplaced("a fractional or oversized number"); }
  bool boolean(bool) override { return misplaced("true or false"); }
  bool null() override { return misplaced("null"); }
  bool binary(binary_t&) override { return misplaced("binary data"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return stop(concat("the header is not JSON at byte ", position));
  }

 private:
  enum class Place { start, top, metadata, entry, shape, offsets, end };
  static constexpr std::size_t most_axes = 32;

  SafetensorsInfo& entry() { return header.entries.back(); }
  bool enter(Place place) {
    place_ = place;
    // A value of an entry has been read; the next one needs a key of its own.
    if (place == Place::entry || place == Place::top) key_.clear();
    return true;
  }
  bool stop(std::string text) {
    problem = std::move(text);
    return false;
  }
  bool misplaced(const char* what) {
    const bool inside = place_ == Place::entry || place_ == Place::shape || place_ == Place::offsets;
    if (place_ == Place::start) return stop(concat("the header is ", what, " where an object belongs"));
    return stop(concat("the header has ", what, " where it does not belong",
                       inside         ? ", in entry " + ticked(entry().name)
                       : key_.empty() ? ""
                                      : ", at " + ticked(key_)));
  }
  bool finish_entry() {
    auto& e = entry();
    if (offsets_.size() != 2 || offsets_[0] > offsets_[1])
      return stop(concat("entry ", ticked(e.name), " has data_offsets that are not [begin, end]"));
    e.offset = offsets_[0];
    e.bytes = offsets_[1] - offsets_[0];
    std::size_t wanted = 0;
    if (!byte_count(e.shape, bytes_of(e.dtype), wanted))
      return stop(concat("entry ", ticked(e.name), " has shape ", shape_text(e.shape), ", more than can be counted"));
    if (wanted != e.bytes)
      return stop(concat("entry ", ticked(e.name), " has ", e.bytes, " bytes, but shape ", shape_text(e.shape), " of ",
                         name_of(e.dtype), " needs ", wanted));
    return true;
  }

  Place place_ = Place::start;
  std::string key_;
  std::unordered_set<std::string> names_;
  std::vector<std::size_t> offsets_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view json, std::size_t data_bytes, const std::string& path) {
  HeaderHandler handler;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &handler))
    throw FormatError(concat(path, ": ", handler.problem.empty() ? "the header is not JSON" : handler.problem));

  auto& entries = handler.header.entries;
  // By begin, then end: an entry without elements comes before the one that starts at the same place.
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  std::size_t end = 0;
  const std::string* last = nullptr;
  for (const auto& entry : entries) {
    if (entry.offset < end)
      throw FormatError(concat(path, ": entries ", ticked(*last), " and ", ticked(entry.name), " overlap: byte ",
                               entry.offset, " belongs to both"));
    if (entry.offset > end)
      throw FormatError(
          concat(path, ": bytes ", end, " to ", entry.offset, " belong to no entry, before ", ticked(entry.name)));
    end += entry.bytes;  // no overflow: offset + bytes was read as one number
    last = &entry.name;
    if (end > data_bytes)
      throw FormatError(concat(path, ": entry ", ticked(entry.name), " ends at byte ", end,
                               " of the data, but the file has ", data_bytes, "; was it cut short?"));
  }
  if (end != data_bytes)
    throw FormatError(
        concat(path, ": the entries fill ", end, " bytes, but the file has ", data_bytes, " after its header"));
  return std::move(handler.header);
}

}  // namespace phonaut::detail
