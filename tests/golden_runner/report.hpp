#pragma once
// What comparing one file's tensors with ours has shown so far.
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "golden_file.hpp"

namespace phonaut::golden {

/// Which elements of a tensor count (row-major index in the file's order); empty means all.
using Counts = std::function<bool(long)>;

class Report {
 public:
  explicit Report(const GoldenFile& file) : file_(file) {}

  /// Compares `got`, in the order of the file, with the tensor under `key` by its rule. `wanted = false`: there is no
  /// need for the key to exist (inner values, that a file may or may not hold).
  void compare(const std::string& key, const std::vector<double>& got, const Counts& counts = {}, bool wanted = true);
  void compare_exactly(const std::string& key, const std::vector<long>& got);
  /// Excuses a key from being compared; `why` is for the reader of the handler.
  void excuse(const std::string& key, const char* why);
  void fail(const std::string& key, const std::string& why);
  /// Whether a key was compared or excused.
  bool settled(const std::string& key) const { return settled_.count(key) > 0; }
  /// Fails every `output.*` and `grad.*` of the file that nothing was compared with.
  void finish();

  bool passed() const { return failures_.empty(); }
  const std::vector<std::string>& failures() const { return failures_; }
  struct Entry {
    std::string key;
    double absolute = 0, relative = 0;
  };
  /// Every comparison, in order.
  const std::vector<Entry>& entries() const { return entries_; }
  /// Largest |got - want|, and largest |got - want| / max|want| with the key that has it.
  double worst_absolute() const { return absolute_; }
  double worst_relative() const { return relative_; }
  const std::string& worst_key() const { return worst_key_; }

 private:
  const GoldenFile& file_;
  std::set<std::string> settled_;
  std::vector<std::string> failures_;
  std::vector<Entry> entries_;
  double absolute_ = 0, relative_ = 0;
  std::string worst_key_ = "-";
};

}  // namespace phonaut::golden
