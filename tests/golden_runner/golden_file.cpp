#include "golden_file.hpp"

#include <algorithm>
#include <cmath>

#include "phonaut/core/error.hpp"

namespace phonaut::golden {

namespace {

std::string metadata_of(const SafetensorsReader& reader, const std::string& key) {
  const auto at = reader.metadata().find(key);
  if (at == reader.metadata().end())
    throw FormatError(concat(reader.path(), ": has no `", key, "` in its metadata, so it is no golden file"));
  return at->second;
}

JsonValue json_of(const SafetensorsReader& reader, const std::string& key) {
  const auto at = reader.metadata().find(key);
  return at == reader.metadata().end() ? JsonValue::object()
                                       : JsonValue::parse(at->second, concat(reader.path(), ": ", key));
}

Rule rule_of(const JsonValue& json, bool gradient) {
  Rule rule;
  const std::string& kind = json.at("rule").string();
  if (kind == "scaled") {
    rule.tolerance = json.at("tol").number();
  } else if (kind == "allclose") {
    rule.kind = Rule::Kind::allclose;
    rule.rtol = json.at("rtol").number();
    rule.atol = json.at("atol").number();
    if (const JsonValue* l2 = json.find("grad_rel_l2"); l2 && gradient) {
      rule.kind = Rule::Kind::norm;
      rule.tolerance = l2->number();
    }
  } else {
    throw FormatError(concat("the tolerance rule `", kind, "` is neither scaled nor allclose"));
  }
  return rule;
}

}  // namespace

std::vector<long> Config::integers(const std::string& key) const {
  std::vector<long> out;
  for (const JsonValue& v : value_.at(key).items()) out.push_back(static_cast<long>(v.integer()));
  return out;
}

std::vector<double> Config::numbers(const std::string& key) const {
  std::vector<double> out;
  for (const JsonValue& v : value_.at(key).items()) out.push_back(v.number());
  return out;
}

std::vector<std::string> Config::texts(const std::string& key) const {
  std::vector<std::string> out;
  for (const JsonValue& v : value_.at(key).items()) out.push_back(v.string());
  return out;
}

GoldenFile::GoldenFile(const std::string& path) : reader_(path) {
  const std::string format = metadata_of(reader_, "format");
  if (format != "phonaut-golden/1")
    throw FormatError(concat(path, ": has the format `", format, "`, but this program reads phonaut-golden/1"));
  op_ = metadata_of(reader_, "op");
  const auto named = reader_.metadata().find("case");
  if (named != reader_.metadata().end()) case_ = named->second;
  config_ = Config(json_of(reader_, "config"));
  tolerance_ = json_of(reader_, "tolerance");
  exceptions_ = json_of(reader_, "tolerance_exceptions");
}

std::vector<long> GoldenFile::integers(const std::string& key) const {
  const auto values = reader_.read<std::int64_t>(key);
  return {values.begin(), values.end()};
}

bool GoldenFile::holds_integers(const std::string& key) const {
  switch (reader_.info(key).dtype) {
    case Dtype::f16:
    case Dtype::bf16:
    case Dtype::f32:
    case Dtype::f64:
      return false;
    default:
      return true;
  }
}

Rule GoldenFile::rule(const std::string& key) const {
  const std::string group = key.substr(0, key.find('.'));
  const bool gradient = group == "grad";
  for (const JsonValue* table : {&exceptions_, &tolerance_})
    if (const JsonValue* own = table->find(key)) {
      // An exception may be just a number: another tolerance under the rule of its group.
      if (!own->is_number()) return rule_of(*own, gradient);
      Rule rule = rule_of(tolerance_.at(group), gradient);
      rule.tolerance = own->number();
      return rule;
    }
  if (const JsonValue* general = tolerance_.find(group)) return rule_of(*general, gradient);
  if (const JsonValue* output = tolerance_.find("output"); output && group == "mid") return rule_of(*output, false);
  throw FormatError(concat(path(), ": gives no tolerance for ", key));
}

double GoldenFile::largest_gradient() const {
  if (!largest_gradient_) {
    double largest = 0;
    for (const SafetensorsInfo& entry : entries())
      if (entry.name.starts_with("grad.") && !holds_integers(entry.name))
        for (double v : values(entry.name))
          if (std::isfinite(v)) largest = std::max(largest, std::fabs(v));
    largest_gradient_ = largest;
  }
  return *largest_gradient_;
}

}  // namespace phonaut::golden
