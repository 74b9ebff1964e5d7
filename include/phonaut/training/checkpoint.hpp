#pragma once
// Models and training runs in safetensors files.
//
// What belongs into a file is named once, by a function that is called with a writer or with a reader:
//
//   const auto state = [&](auto& archive) {
//     archive("", model);                         // weights under their own names: the file is also a plain model
//     archive("training/average", average);       // another model
//     archive("training/trainer", trainer);       // optimiser, step, random numbers
//     archive("training/data", loader);           // where the data loader stands
//     archive("training/settings", Same{text});   // must not have changed
//   };
//   save_checkpoint(path, state);                 // whole or not at all
//   load_checkpoint(path, state);                 // complete and fitting, or one error that lists every difference
//
// `archive(name, member)` takes whole numbers, floating-point numbers, strings, Random, models (anything with `visit`),
// and objects with a `template <class Archive> static void checkpoint(auto& self, Archive& archive)` of their own,
// whose names go behind `name/`. Numbers and texts become metadata of the file, exactly.
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "phonaut/core/random.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/io/safetensors.hpp"

namespace phonaut {

/// A text that must be the same when a checkpoint is read as when it was written.
struct Same {
  std::string text;
};

/// How the entries of a file are matched with a model.
struct LoadOptions {
  /// Read the weights whose names begin so: "training/average/" for the averaged weights of a training run.
  std::string part = {};
  /// The file's name for a weight of the model; empty: the file does not have it, keep its value. For published
  /// checkpoints whose names differ. Default: the same name.
  std::function<std::string(const std::string& name)> file_name = {};
  /// The order of the file's axes: axis i of the weight is axis axes(name)[i] of the entry. Empty: the same order.
  std::function<std::vector<int>(const std::string& name)> axes = {};
  /// Entries of the file that nobody needs to ask for.
  std::function<bool(const std::string& file_name)> ignore = {};
};

namespace detail {

template <class T, class Archive>
concept HasCheckpoint = requires(T& t, Archive& archive) {
  std::remove_cvref_t<T>::checkpoint(t, archive);
};
template <class T>
concept HasVisit = requires(T& t) {
  std::remove_cvref_t<T>::visit(t, [](const char*, auto&) {});
};
template <class T>
concept ModelLike =
    HasVisit<T> || WeightLike<T> || is_list<std::remove_cvref_t<T>>::value || is_maybe<std::remove_cvref_t<T>>::value;

std::string number_text(double value);

/// Walks names, for the writer and the reader alike. Derived has number, text, same and weight.
template <class Derived>
class Archive {
 public:
  template <class T>
  void operator()(const std::string& name, T&& member) {
    using Plain = std::remove_cvref_t<T>;
    const std::string full = prefix_ + name;
    if constexpr (std::is_same_v<Plain, Same>) self().same(full, member.text);
    else if constexpr (std::is_same_v<Plain, Random>) {
      self().number(full + "/seed", member.seed);
      self().number(full + "/used", member.used);
    } else if constexpr (HasCheckpoint<T, Derived>) {
      const std::string outer = std::exchange(prefix_, full.empty() ? full : full + "/");
      Plain::checkpoint(member, self());
      prefix_ = outer;
    } else if constexpr (ModelLike<T>) {
      for_each_weight(member, [&](const std::string& weight_name, auto& w) {
        self().weight(full.empty() ? weight_name : full + "/" + weight_name,
                      std::vector<long>(w.shape().begin(), w.shape().end()), w.tensor());
      });
    } else if constexpr (std::is_convertible_v<Plain, std::string_view>) {
      self().text(full, member);
    } else {
      static_assert(std::is_arithmetic_v<Plain>,
                    "a checkpoint holds numbers, texts, models and what has a checkpoint()");
      self().number(full, member);
    }
  }
  /// A tensor of the training state whose elements belong to a parameter of shape `extents`.
  template <class T>
  void tensor(const std::string& name, const std::vector<long>& extents, T& t) {
    self().weight(prefix_ + name, extents, t);
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
  std::string prefix_;
};

/// Bytes of a tensor, which must be whole. Throws ShapeError for a strided slice.
void check_whole(const std::string& name, bool contiguous);

}  // namespace detail

/// Collects what goes into a file. Refers to the tensors on the host until `write`; copies those of a GPU.
class CheckpointWriter : public detail::Archive<CheckpointWriter> {
 public:
  static constexpr bool writing = true;

  /// Writes the file, whole or not at all. Throws FileError if the disk refuses, ConfigError for a name that is used
  /// twice or metadata whose key is taken by the state.
  void write(const std::string& path, const std::map<std::string, std::string>& metadata = {});
  /// Runs `action` once everything was read: nothing to do here.
  template <class Action>
  void after(const Action&) {}

 private:
  friend class detail::Archive<CheckpointWriter>;
  template <class T>
  void number(const std::string& name, const T& value) {
    if constexpr (std::is_floating_point_v<T>) put(name, detail::number_text(static_cast<double>(value)));
    else put(name, std::to_string(value));
  }
  void text(const std::string& name, std::string_view value) { put(name, std::string(value)); }
  void same(const std::string& name, const std::string& value) { put(name, value); }
  void put(const std::string& name, std::string value);

  template <class B, size_t R, class T>
  void weight(const std::string& name, const std::vector<long>& extents, const Tensor<B, R, T>& t) {
    detail::check_whole(name, t.contiguous());
    const size_t bytes = static_cast<size_t>(t.size()) * sizeof(T);
    const std::byte* data = reinterpret_cast<const std::byte*>(t.data());
    if constexpr (!std::is_same_v<typename B::Memory, HostMemory>) {
      copies_.emplace_back(bytes);
      kernel::download(B{}, copies_.back().data(), t.data(), bytes);
      data = copies_.back().data();
    }
    entries_.push_back({name, dtype_of<T>(), extents, {data, bytes}});
  }

  std::vector<SafetensorsEntry> entries_;
  std::list<std::vector<std::byte>> copies_;
  std::map<std::string, std::string> metadata_;
};

/// Collects what is wanted of a file; `finish` compares, then reads.
class CheckpointReader : public detail::Archive<CheckpointReader> {
 public:
  static constexpr bool writing = false;

  /// Throws FileError if the file cannot be read, FormatError if it is damaged.
  explicit CheckpointReader(const std::string& path, LoadOptions options = {});

  const std::map<std::string, std::string>& metadata() const { return file_.metadata(); }
  /// Runs `action` after everything was read.
  void after(std::function<void()> action) { actions_.push_back(std::move(action)); }
  /// Throws LoadError, listing every difference, unless the file has exactly what was asked for; nothing has been
  /// changed then. Otherwise fills it all in. (Only a disk that fails in the middle leaves weights partly read.)
  void finish();

 private:
  friend class detail::Archive<CheckpointReader>;
  enum class Kind { floating, integer };
  struct Want {
    std::string name;  // of the model
    std::string entry;
    std::vector<long> extents;
    std::vector<int> axes;
    Dtype dtype = Dtype::f32;
    std::function<std::function<void()>(const SafetensorsReader&, const Want&)> read;
  };

  template <class T>
  void number(const std::string& name, T& value) {
    if constexpr (std::is_floating_point_v<T>) want_double(name, [&value](double v) { value = static_cast<T>(v); });
    else if constexpr (std::is_unsigned_v<T>)
      want_unsigned(name, static_cast<std::uint64_t>(static_cast<T>(-1)),
                    [&value](std::uint64_t v) { value = static_cast<T>(v); });
    else
      want_signed(name, std::numeric_limits<T>::min(), std::numeric_limits<T>::max(),
                  [&value](std::int64_t v) { value = static_cast<T>(v); });
  }
  void text(const std::string& name, std::string& value);
  void same(const std::string& name, const std::string& value);
  void want_double(const std::string& name, std::function<void(double)> set);
  void want_signed(const std::string& name, std::int64_t least, std::int64_t most,
                   std::function<void(std::int64_t)> set);
  void want_unsigned(const std::string& name, std::uint64_t most, std::function<void(std::uint64_t)> set);
  const std::string* find_text(const std::string& name);

  template <class B, size_t R, class T>
  void weight(const std::string& name, const std::vector<long>& extents, Tensor<B, R, T>& t) {
    detail::check_whole(name, t.contiguous());
    want(name, extents, dtype_of<T>(), [t](const SafetensorsReader& file, const Want& w) -> std::function<void()> {
      std::vector<T> values = file.read<T>(w.entry);
      if (!w.axes.empty()) values = permuted(values, w.extents, w.axes);
      const auto upload = [t](const std::vector<T>& v) {
        kernel::upload(B{}, t.data(), v.data(), v.size() * sizeof(T));
      };
      if (file.info(w.entry).dtype != dtype_of<T>()) return [upload, values] { upload(values); };
      upload(values);
      return {};
    });
  }
  void want(const std::string& name, const std::vector<long>& extents, Dtype dtype,
            std::function<std::function<void()>(const SafetensorsReader&, const Want&)> read);
  /// `values` are those of an entry; `extents` the shape wanted, whose axis i is axis axes[i] of the entry.
  template <class T>
  static std::vector<T> permuted(const std::vector<T>& values, const std::vector<long>& extents,
                                 const std::vector<int>& axes);
  void compare();

  SafetensorsReader file_;
  LoadOptions options_;
  std::vector<Want> wants_;
  std::vector<std::function<void()>> setters_, actions_;
  std::vector<std::string> problems_;
  std::vector<std::string> asked_texts_;
};

template <class T>
std::vector<T> CheckpointReader::permuted(const std::vector<T>& values, const std::vector<long>& extents,
                                          const std::vector<int>& axes) {
  const size_t rank = extents.size();
  std::vector<long> in_file(rank), stride(rank), at(rank);
  for (size_t i = 0; i < rank; ++i) in_file[static_cast<size_t>(axes[i])] = extents[i];
  long step = 1;
  for (size_t i = rank; i-- > 0; step *= in_file[i]) stride[i] = step;
  std::vector<T> out(values.size());
  long from = 0;
  for (T& value : out) {
    value = values[static_cast<size_t>(from)];
    for (size_t i = rank; i-- > 0;) {
      const long along = stride[static_cast<size_t>(axes[i])];
      from += along;
      if (++at[i] < extents[i]) break;
      from -= along * extents[i];
      at[i] = 0;
    }
  }
  return out;
}

/// Writes everything that `state(archive)` names. Throws FileError if the disk refuses: then a file that was there
/// before is as it was. Work on a GPU must have ended (kernel::synchronise).
template <class State>
void save_checkpoint(const std::string& path, const State& state,
                     const std::map<std::string, std::string>& metadata = {}) {
  CheckpointWriter writer;
  state(writer);
  writer.write(path, metadata);
}

/// Reads everything that `state(archive)` names. Throws FileError, FormatError, or LoadError with every difference; in
/// all cases nothing has been changed.
template <class State>
void load_checkpoint(const std::string& path, const State& state, LoadOptions options = {}) {
  CheckpointReader reader(path, std::move(options));
  state(reader);
  reader.finish();
}

/// Writes the weights of a model. `metadata` is for people and programs that read the file later.
template <class Model>
void save(const std::string& path, const Model& model, const std::map<std::string, std::string>& metadata = {}) {
  save_checkpoint(
      path, [&](auto& archive) { archive("", model); }, metadata);
}

/// Reads the weights of a model: load(save(m)) is m, bit for bit. The state of a training run in the same file is
/// passed over. Throws as load_checkpoint.
template <class Model>
void load(const std::string& path, Model& model, LoadOptions options = {}) {
  load_checkpoint(
      path, [&](auto& archive) { archive("", model); }, std::move(options));
}

/// The two files that a training run keeps in its folder, each replaced as a whole.
class CheckpointFolder {
 public:
  /// Makes the folder, and removes unfinished files that a killed process left in it. Throws FileError.
  explicit CheckpointFolder(std::string folder);

  const std::string& folder() const { return folder_; }
  std::string latest() const { return folder_ + "/latest.safetensors"; }
  std::string best() const { return folder_ + "/best.safetensors"; }
  bool has_latest() const;
  bool has_best() const;

 private:
  std::string folder_;
};

}  // namespace phonaut
