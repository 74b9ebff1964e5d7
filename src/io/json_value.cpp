#include "phonaut/io/json_value.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "phonaut/core/error.hpp"
#include "phonaut/io/near_miss.hpp"
#include "text.hpp"

namespace phonaut {
namespace {

constexpr std::size_t deepest = 64;

template <class T>
void append_number(std::string& out, T value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  out.append(digits, end);
}

/// Builds the value while the parser, which does not recurse, walks the text.
class ValueBuilder : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonValue root;
  std::string problem;

  bool null() override { return add(JsonValue()); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string&) override { return add(value); }
  bool string(std::string& value) override { return add(JsonValue(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(true); }
  bool start_array(std::size_t) override { return open(false); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    if (!open_.back().keys.insert(name).second) {
      problem = "has the key " + detail::ticked(name) + " twice in one object";
      return false;
    }
    open_.back().key = std::move(name);
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    problem = concat("is not JSON at byte ", position);
    return false;
  }

 private:
  struct Level {
    bool is_object = false;
    JsonValue::Array items;
    JsonValue::Object members;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  bool open(bool is_object) {
    if (open_.size() == deepest) {
      problem = concat("is nested more than ", deepest, " deep");
      return false;
    }
    open_.emplace_back().is_object = is_object;
    return true;
  }
  bool close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    return add(level.is_object ? JsonValue::object(std::move(level.members)) : JsonValue(std::move(level.items)));
  }
  bool add(JsonValue value) {
    if (open_.empty()) root = std::move(value);
    else if (open_.back().is_object) open_.back().members.emplace_back(std::move(open_.back().key), std::move(value));
    else open_.back().items.push_back(std::move(value));
    return true;
  }

  std::vector<Level> open_;
};

[[noreturn]] void wrong_kind(const JsonValue& value, const char* wanted) {
  std::string text = value.dump();
  throw FormatError(concat("JSON: ", wanted, " is wanted, but the value is ", detail::ticked(text)));
}

}  // namespace

JsonValue::JsonValue(float value) {
  // By way of the shortest decimal text, so that 0.1F is written as 0.1 and not as 0.10000000149011612.
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  double wide = value;
  if (std::isfinite(value)) std::from_chars(digits, end, wide);
  value_ = wide;
}

JsonValue JsonValue::object(Object members) {
  JsonValue value;
  value.value_ = std::move(members);
  return value;
}

JsonValue JsonValue::parse(std::string_view text, const std::string& name) {
  ValueBuilder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    throw FormatError(concat(name, ": ", builder.problem.empty() ? "is not JSON" : builder.problem));
  return std::move(builder.root);
}

bool JsonValue::is_number() const noexcept {
  return std::holds_alternative<std::int64_t>(value_) || std::holds_alternative<double>(value_);
}

bool JsonValue::boolean() const {
  if (const auto* value = std::get_if<bool>(&value_)) return *value;
  wrong_kind(*this, "true or false");
}

std::int64_t JsonValue::integer() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  if (const auto* value = std::get_if<double>(&value_))
    if (*value >= -0x1p63 && *value < 0x1p63 && *value == std::floor(*value)) return static_cast<std::int64_t>(*value);
  wrong_kind(*this, "a whole number");
}

double JsonValue::number() const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (is_null()) return std::numeric_limits<double>::quiet_NaN();
  wrong_kind(*this, "a number");
}

const std::string& JsonValue::string() const {
  if (const auto* value = std::get_if<std::string>(&value_)) return *value;
  wrong_kind(*this, "a string");
}

const JsonValue::Array& JsonValue::items() const {
  if (const auto* value = std::get_if<Array>(&value_)) return *value;
  wrong_kind(*this, "an array");
}

const JsonValue::Object& JsonValue::members() const {
  if (const auto* value = std::get_if<Object>(&value_)) return *value;
  wrong_kind(*this, "an object");
}

const JsonValue* JsonValue::find(std::string_view key) const noexcept {
  if (const auto* members = std::get_if<Object>(&value_))
    for (const auto& [name, value] : *members)
      if (name == key) return &value;
  return nullptr;
}

const JsonValue& JsonValue::at(std::string_view key) const {
  if (const auto* value = find(key)) return *value;
  std::vector<std::string> keys;
  for (const auto& member : members()) keys.push_back(member.first);
  throw FormatError(concat("JSON: no member ", detail::ticked(key), " among ", keys.size(), did_you_mean(key, keys)));
}

JsonValue& JsonValue::operator[](std::string_view key) {
  if (is_null()) value_ = Object{};
  auto* members = std::get_if<Object>(&value_);
  if (!members) wrong_kind(*this, "an object");
  for (auto& [name, value] : *members)
    if (name == key) return value;
  return members->emplace_back(std::string(key), JsonValue()).second;
}

void JsonValue::push_back(JsonValue value) {
  if (is_null()) value_ = Array{};
  auto* items = std::get_if<Array>(&value_);
  if (!items) wrong_kind(*this, "an array");
  items->push_back(std::move(value));
}

std::string JsonValue::dump(int indent) const {
  std::string out;
  append_to(out, indent, 0);
  return out;
}

void JsonValue::append_to(std::string& out, int indent, int level) const {
  const auto new_line = [&](int blanks) {
    if (indent < 0) return;
    out += '\n';
    out.append(static_cast<std::size_t>(blanks) * static_cast<std::size_t>(indent), ' ');
  };
  const auto list = [&](char open, char close, const auto& elements, auto&& append) {
    out += open;
    for (std::size_t i = 0; i < elements.size(); ++i) {
      if (i) out += ',';
      new_line(level + 1);
      append(elements[i]);
    }
    if (!elements.empty()) new_line(level);
    out += close;
  };
  if (const auto* flag = std::get_if<bool>(&value_)) {
    out += *flag ? "true" : "false";
  } else if (const auto* whole = std::get_if<std::int64_t>(&value_)) {
    append_number(out, *whole);
  } else if (const auto* number = std::get_if<double>(&value_)) {
    if (!std::isfinite(*number)) out += "null";
    else if (*number == 0 && std::signbit(*number)) out += "-0.0";  // "-0" would be read as a whole number: 0
    else append_number(out, *number);
  } else if (const auto* text = std::get_if<std::string>(&value_)) {
    append_json_string(out, *text);
  } else if (const auto* items = std::get_if<Array>(&value_)) {
    list('[', ']', *items, [&](const JsonValue& item) { item.append_to(out, indent, level + 1); });
  } else if (const auto* members = std::get_if<Object>(&value_)) {
    list('{', '}', *members, [&](const Member& member) {
      append_json_string(out, member.first);
      out += indent < 0 ? ":" : ": ";
      member.second.append_to(out, indent, level + 1);
    });
  } else {
    out += "null";
  }
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr char hex[] = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const std::size_t valid = std::min(detail::find_invalid_utf8(text), text.size());
    for (const char c : text.substr(0, valid)) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') (out += '\\') += c;
      else if (c == '\n') out += "\\n";
      else if (c == '\t') out += "\\t";
      else if (c == '\r') out += "\\r";
      else if (byte < 0x20 || byte == 0x7F) (out += "\\u00") += {hex[byte >> 4], hex[byte & 15]};
      else out += c;
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    out += "\xEF\xBF\xBD";
    text.remove_prefix(1);
  }
  out += '"';
}

}  // namespace phonaut
