#pragma once
// What a handler of a golden op works with. A handler says which tensors go in, runs the op, says what comes out:
//
//   static const Register bias_norm("zipformer.bias_norm", [](auto& g) {
//     const auto x = g.input("x", "TNC");                         // (N, T, C), whatever the order in the file
//     g.output("y", bias_norm(x, g.weight("bias", rank<1>), g.weight("log_scale", rank<0>)), "TNC");
//   });
//
// Everything else is done around it: the tolerances, the loss Σ output · cotangent, its backward pass, the comparison
// of every `grad.*` of the file, and the complaint about outputs and gradients that were not computed. Files that hold
// the gradients of several outputs apart (`grad.mu_of_z`, `grad.mu_of_loss`) are run once for each of them.
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "layout.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/core/sequence.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "report.hpp"

namespace phonaut::golden {

/// Thrown by handlers for files of their op that ask for something phonaut does not have (yet).
struct Unsupported : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class B>
class Golden {
 public:
  using Backend = B;
  using Scalar = typename B::Scalar;

  /// One pass over a file: gradients are those of the output `of`, or of all outputs together if it is empty.
  Golden(const GoldenFile& file, Report& report, Context<B>& context, std::string of, bool first_pass)
      : config(file.config()),
        file_(file),
        report_(report),
        context_(context),
        of_(std::move(of)),
        first_pass_(first_pass) {}

  const Config& config;
  Context<B>& context() { return context_; }
  const GoldenFile& file() const { return file_; }
  /// Whether the file has a tensor of that full key, such as "input.key_padding_mask".
  bool has(const std::string& key) const { return file_.has(key); }

  // ---- what goes in ----
  /// `input.<name>` as a variable. `axes` are the letters of the file's axes (see Layout); the result has our order.
  template <size_t L>
  Var<B, L - 1> input(const std::string& name, const char (&axes)[L]) {
    return variable(input_key(name), Layout<L - 1>(std::string_view(axes, L - 1)));
  }
  template <size_t R>
  Var<B, R> input(const std::string& name, std::integral_constant<size_t, R>) {
    return variable(input_key(name), Layout<R>());
  }
  /// Frames with their lengths (empty lengths: nothing is padded).
  Sequence<B> sequence(const std::string& name, const char (&axes)[4], const std::vector<long>& lengths = {}) {
    Sequence<B> x{input(name, axes), {}, 0};
    if (!lengths.empty()) x.lengths = lengths_of(context_, lengths);
    return x;
  }
  /// An input that the file does not hold but describes (a piece of a wave, say); its gradients are those of `name`.
  template <size_t R>
  Var<B, R> own_input(const std::string& name, const Shape<R>& shape, const std::vector<double>& numbers) {
    const Var<B, R> x = context_.variable(phonaut::input(context_, shape, numbers).tensor());
    watch(input_key(name), x, Layout<R>());
    return x;
  }
  /// `weight.<name>` or `param.<name>` as a variable.
  template <size_t R>
  Var<B, R> weight(const std::string& name, std::integral_constant<size_t, R>) {
    return variable(weight_key(name), Layout<R>());
  }
  /// Fills every weight of a layer from the file, by the names of its `visit` behind `prefix`. Shapes must agree.
  template <class Model>
  void load(Model& model, const std::string& prefix = {}) {
    load_in(model, prefix, [](const auto& w) { return Layout<std::remove_cvref_t<decltype(w)>::rank>(); });
  }
  /// The same for the weights of convolutions that the file keeps as PyTorch does: (out, in, time, frequency).
  template <class Model>
  void load_transposed(Model& model, const std::string& prefix = {}) {
    load_in(model, prefix, [](const auto& w) {
      constexpr size_t R = std::remove_cvref_t<decltype(w)>::rank;
      constexpr std::string_view letters = "NCTF";
      if constexpr (R == 3 || R == 4) return Layout<R>(letters.substr(0, R));
      else return Layout<R>();
    });
  }
  /// Plain numbers of any tensor, by full key, in the file's order.
  std::vector<double> values(const std::string& key) const {
    used_.insert(key);
    return file_.values(key);
  }
  std::vector<long> integers(const std::string& key) const {
    used_.insert(key);
    return file_.integers(key);
  }
  const std::vector<long>& shape(const std::string& key) const { return file_.shape(key); }

  // ---- what comes out ----
  /// Compares `y` with `output.<name>` and lets it take part in the loss, weighted by its cotangent. `counts(i)` says
  /// which elements (row-major in the file) are to be compared; their cotangents apply in any case.
  template <size_t L>
  void output(const std::string& name, const Var<B, L - 1>& y, const char (&axes)[L], const Counts& counts = {}) {
    output_in(name, y, Layout<L - 1>(std::string_view(axes, L - 1)), counts);
  }
  template <size_t R>
  void output(const std::string& name, const Var<B, R>& y, const Counts& counts = {}) {
    output_in(name, y, Layout<R>(), counts);
  }
  /// Frames behind an utterance's length are not compared.
  void output(const std::string& name, const Sequence<B>& y, const char (&axes)[4]) {
    output(name, y.frames, axes, within(y, axes));
  }
  /// Host numbers that no gradient is taken of.
  void output(const std::string& name, const std::vector<double>& got) {
    if (first_pass_) report_.compare("output." + name, got);
  }
  void output(const std::string& name, const std::vector<long>& got) {
    if (first_pass_) report_.compare_exactly("output." + name, got);
  }
  void output(const std::string& name, const Lengths& got) { output(name, to_vector(got)); }
  /// A scalar that the file has gradients of (`grad.<input>_of_<name>`), but no value.
  void loss_of(const std::string& name, const Var<B, 0>& value) {
    if (of_ == name) losses_.push_back(value);
  }
  /// Inner values: compared if the file holds them.
  template <size_t L>
  void mid(const std::string& name, const Var<B, L - 1>& y, const char (&axes)[L], const Counts& counts = {}) {
    if (first_pass_) compare("mid." + name, y, Layout<L - 1>(std::string_view(axes, L - 1)), counts, false);
  }
  void mid(const std::string& name, const Sequence<B>& y, const char (&axes)[4]) {
    mid(name, y.frames, axes, within(y, axes));
  }
  void mid(const std::string& name, const std::vector<double>& got) {
    if (first_pass_) report_.compare("mid." + name, got, {}, false);
  }
  /// Called with the gradients after each backward pass: for comparisons that the file keeps under other names.
  void after_backward(std::function<void(const Gradients<B>&, Report&)> check) { checks_.push_back(std::move(check)); }
  /// Excuses a key of the file from being compared.
  void excuse(const std::string& key, const char* why) { report_.excuse(key, why); }
  /// Fails if a watched weight without a `grad.*` entry in the file gets a gradient all the same.
  void no_other_gradients() { strict_ = true; }

  /// Counts the frames of each utterance only.
  Counts within(const Sequence<B>& y, const char (&axes)[4]) const {
    if (!y.padded()) return {};
    const Layout<3> layout(std::string_view(axes, 3));
    const Shape<3> ours = y.frames.shape();
    std::vector<char> real(static_cast<size_t>(element_count(ours)));
    const auto at = layout.positions(ours);
    for (size_t i = 0; i < at.size(); ++i) {
      const long row = static_cast<long>(i) / ours[2];
      real[at[i]] = row % ours[1] < y.length(row / ours[1]);
    }
    return [real](long i) { return real[static_cast<size_t>(i)] != 0; };
  }

  // ---- the runner's side ----
  /// Backward pass and comparison of the gradients that belong to this pass.
  void finish() {
    if (first_pass_)
      for (const SafetensorsInfo& entry : file_.entries())
        if ((entry.name.starts_with("weight.") || entry.name.starts_with("param.")) && !used_.count(entry.name))
          report_.fail(entry.name, "was not asked for by the op");
    std::vector<std::string> wanted;
    for (const SafetensorsInfo& entry : file_.entries())
      if (entry.name.starts_with("grad.") && of_named(entry.name) == of_) wanted.push_back(entry.name);
    if (losses_.empty() || (wanted.empty() && checks_.empty())) return;
    Var<B, 0> loss = losses_.front();
    for (size_t i = 1; i < losses_.size(); ++i) loss = loss + losses_[i];
    if (!context_.wants_gradient(loss)) return;
    const Gradients<B> gradients = context_.backward(loss);
    for (const auto& leaf : leaves_) leaf(gradients);
    for (const auto& check : checks_) check(gradients, report_);
  }
  /// The output whose gradient a key `grad.x_of_<output>` holds; empty for other keys.
  static std::string of_named(const std::string& key) {
    const size_t at = key.rfind("_of_");
    return at == std::string::npos ? std::string() : key.substr(at + 4);
  }

 private:
  template <class Model, class LayoutOf>
  void load_in(Model& model, const std::string& prefix, const LayoutOf& layout_of) {
    for_each_weight(
        model,
        [&](const std::string& name, auto& w) {
          const auto layout = layout_of(w);
          const std::string key = weight_key(name);
          check_shape(key, layout.to_file(w.shape()));
          const std::vector<double> ours = layout.values_to_ours(file_.values(key), w.shape());
          using Element = std::remove_cvref_t<decltype(*w.tensor().data())>;
          assign(context_.backend(), w.tensor(), std::vector<Element>(ours.begin(), ours.end()));
          used_.insert(key);
          if constexpr (std::remove_cvref_t<decltype(w)>::trained) watch(key, w, layout);
        },
        prefix);
  }
  std::string input_key(const std::string& name) const { return "input." + name; }
  std::string weight_key(const std::string& name) const {
    return file_.has("param." + name) ? "param." + name : "weight." + name;
  }
  /// Extents of one are not compared: files write scalars as (1), biases as (1, 1, C).
  template <size_t R>
  void check_shape(const std::string& key, const Shape<R>& want) const {
    std::vector<long> in_file = file_.shape(key), ours(want.begin(), want.end());
    std::erase(in_file, 1);
    std::erase(ours, 1);
    if (in_file == ours) return;
    std::string got;
    for (long extent : file_.shape(key)) got += (got.empty() ? "" : ", ") + std::to_string(extent);
    throw ShapeError(concat(key, " is (", got, ") in the file, but the op has ", text(want)));
  }
  template <size_t R>
  Var<B, R> variable(const std::string& key, const Layout<R>& layout) {
    const std::vector<long>& in_file = file_.shape(key);
    Shape<R> file_shape{};
    if (in_file.size() != R && (R != 0 || file_.values(key).size() != 1))
      throw ShapeError(concat(key, " has rank ", in_file.size(), " in the file, but the op takes rank ", R));
    if constexpr (R > 0) std::copy(in_file.begin(), in_file.end(), file_shape.begin());
    const Shape<R> shape = layout.to_ours(file_shape);
    const auto constant = phonaut::input(context_, shape, layout.values_to_ours(file_.values(key), shape));
    const Var<B, R> x = context_.variable(constant.tensor());
    watch(key, x, layout);
    return x;
  }
  /// Later compares the gradient of x with the key that the file keeps it under.
  template <class Value, size_t R>
  void watch(const std::string& key, const Value& x, const Layout<R>& layout) {
    used_.insert(key);
    leaves_.push_back([this, key, x, layout](const Gradients<B>& gradients) {
      const std::string at = gradient_key(key);
      if (at.empty()) {
        if (strict_ && gradients.has(x)) report_.fail(key, "gets a gradient, but the file has none for it");
      } else if (report_.settled(at)) {
        return;  // the same tensor was asked for twice
      } else if (x.size() == 0) {
        report_.compare(at, {});
      } else if (!gradients.has(x)) {
        report_.fail(at, "no gradient arrived");
      } else {
        report_.compare(at, layout.values_to_file(values_of(context_, gradients[x]), x.shape()));
      }
    });
  }
  /// Where the file keeps the gradient of a tensor in this pass; empty if nowhere.
  std::string gradient_key(const std::string& key) const {
    const std::string suffix = of_.empty() ? "" : "_of_" + of_, name = key.substr(key.find('.') + 1);
    for (const std::string& candidate :
         {"grad." + key + suffix, "grad." + name + suffix, "grad.weight." + name + suffix})
      if (file_.has(candidate)) return candidate;
    return {};
  }
  template <size_t R>
  void compare(const std::string& key, const Var<B, R>& y, const Layout<R>& layout, const Counts& counts, bool wanted) {
    if (!file_.has(key) && !wanted) return;
    if (file_.has(key)) {
      const Shape<R> ours = layout.to_file(y.shape());
      check_shape(key, ours);
    }
    report_.compare(key, layout.values_to_file(values_of(y), y.shape()), counts, wanted);
  }
  template <size_t R>
  void output_in(const std::string& name, const Var<B, R>& y, const Layout<R>& layout, const Counts& counts) {
    if (first_pass_) compare("output." + name, y, layout, counts, true);
    if (!of_.empty() && of_ != name) return;
    for (const std::string& key : {"cotangent." + name, "input.dy." + name})
      if (file_.has(key)) {
        check_shape(key, layout.to_file(y.shape()));
        const auto weights = phonaut::input(context_, y.shape(), layout.values_to_ours(file_.values(key), y.shape()));
        losses_.push_back(sum(weights * y));
        return;
      }
    // Without a cotangent, a scalar is a loss: always when its gradient is asked for by name, else if it is "loss".
    if constexpr (R == 0)
      if (!of_.empty() || name == "loss") losses_.push_back(y);
  }

  const GoldenFile& file_;
  Report& report_;
  Context<B>& context_;
  std::string of_;
  bool first_pass_ = true, strict_ = false;
  std::vector<Var<B, 0>> losses_;
  std::vector<std::function<void(const Gradients<B>&)>> leaves_;
  mutable std::set<std::string> used_;
  std::vector<std::function<void(const Gradients<B>&, Report&)>> checks_;
};

}  // namespace phonaut::golden

#include "registry.hpp"
