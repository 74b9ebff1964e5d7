#pragma once
// JSON for reports, logs and the settings inside checkpoints.
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace phonaut {

/// A JSON value: null, true/false, a whole number, a number, a string, an array or an object. Objects keep the order
/// in which their members were added.
class JsonValue {
 public:
  using Array = std::vector<JsonValue>;
  using Member = std::pair<std::string, JsonValue>;
  using Object = std::vector<Member>;

  JsonValue() = default;
  JsonValue(std::nullptr_t) {}
  JsonValue(bool value) : value_(value) {}
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool> && (sizeof(T) < 8 || std::is_signed_v<T>))
      JsonValue(T value)
      : value_(static_cast<std::int64_t>(value)) {}
  /// Numbers beyond the signed range become floating point.
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool> && sizeof(T) == 8 && std::is_unsigned_v<T>)
      JsonValue(T value) {
    if (value <= static_cast<T>(INT64_MAX)) value_ = static_cast<std::int64_t>(value);
    else value_ = static_cast<double>(value);
  }
  JsonValue(double value) : value_(value) {}
  JsonValue(float value);
  JsonValue(std::string value) : value_(std::move(value)) {}
  JsonValue(std::string_view value) : value_(std::string(value)) {}
  JsonValue(const char* value) : value_(std::string(value)) {}
  JsonValue(Array value) : value_(std::move(value)) {}
  template <class T>
  requires(!std::is_same_v<T, JsonValue> && std::is_constructible_v<JsonValue, const T&>)
      JsonValue(const std::vector<T>& values)
      : value_(Array(values.begin(), values.end())) {}

  /// `JsonValue::object({{"loss", 0.5}, {"step", 3}})`; with nothing, the empty object.
  static JsonValue object(Object members = {});
  /// `JsonValue::array({1, 2, "three"})`; with nothing, the empty array.
  static JsonValue array(Array values = {}) { return JsonValue(std::move(values)); }

  /// Reads JSON. Throws FormatError, starting with `name`, for anything else, for nesting beyond 64 and for an object
  /// that has a key twice.
  static JsonValue parse(std::string_view text, const std::string& name = "JSON");

  bool is_null() const noexcept { return std::holds_alternative<std::monostate>(value_); }
  bool is_number() const noexcept;
  bool is_string() const noexcept { return std::holds_alternative<std::string>(value_); }
  bool is_array() const noexcept { return std::holds_alternative<Array>(value_); }
  bool is_object() const noexcept { return std::holds_alternative<Object>(value_); }

  /// The value as that type; each throws FormatError if it is another one. A number that JSON wrote without fraction
  /// is whole, and `integer` also takes a fractional spelling of a whole number (`2.0`).
  bool boolean() const;
  std::int64_t integer() const;
  double number() const;  ///< NaN for null: that is how NaN was written
  const std::string& string() const;
  const Array& items() const;
  const Object& members() const;

  /// The member of that key, or null (the pointer) if there is none or this is no object.
  const JsonValue* find(std::string_view key) const noexcept;
  /// The member of that key. Throws FormatError with the nearest keys if there is none.
  const JsonValue& at(std::string_view key) const;
  /// The member of that key, added if there is none; null (the JSON value) turns into an object first.
  /// Throws FormatError if this is neither.
  JsonValue& operator[](std::string_view key);
  /// Appends to an array; null turns into an array first. Throws FormatError if this is neither.
  void push_back(JsonValue value);

  /// The text, on one line if `indent` is negative, else with that many blanks per level. Numbers are the shortest
  /// text that reads back as the same value; NaN and infinity become null; bytes that are not UTF-8 become U+FFFD.
  std::string dump(int indent = -1) const;

  bool operator==(const JsonValue&) const = default;

 private:
  void append_to(std::string& out, int indent, int level) const;

  std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> value_;
};

/// Appends `text` as a JSON string, quoted and escaped.
void append_json_string(std::string& out, std::string_view text);

}  // namespace phonaut
