#pragma once
// Programs that time single works beside peers: each work says what it does, what it starts from and what comes of it,
// and this header makes a program of them.
//
//   PROGRAM serve [--threads N]    answers requests: served.hpp
//   PROGRAM smoke                  each work once, small
//   PROGRAM export FILE            inputs and results of all works, as safetensors: a peer starts from the former and
//                                  is held against the latter (peers/works_peers.py)
#include <phonaut/io/safetensors.hpp>
#include <phonaut/phonaut.hpp>

#include <cstring>
#include <deque>

#include "program.hpp"
#include "served.hpp"

namespace phonaut::works {

using B = Backend;

/// Named tensors, copied to be written to a file.
class Proof {
 public:
  template <size_t R, class T>
  void add(const std::string& name, const Tensor<B, R, T>& t) {
    keep<T>(name, {t.shape().begin(), t.shape().end()}, t.data(), t.size());
  }
  template <size_t R>
  void add(const std::string& name, const Var<B, R>& x) {
    add(name, x.tensor());
  }
  /// The first rows (of all axes but the last): enough to compare a result by.
  template <size_t R>
  void add_rows(const std::string& name, const Tensor<B, R>& t) {
    const long width = t.extent(R - 1), rows = width > 0 ? std::min(512L, t.size() / width) : 0;
    keep<float>(name, {rows, width}, t.data(), rows * width);
  }
  void add(const std::string& name, const std::vector<double>& values) {
    const auto n = static_cast<long>(values.size());
    std::memcpy(room<double>(name, {n}, n).data(), values.data(), values.size() * sizeof(double));
  }
  void write(const std::string& file) const { write_safetensors(file, entries_); }

 private:
  /// Of n elements.
  template <class T>
  std::vector<std::byte>& room(const std::string& name, std::vector<long> shape, long n) {
    std::vector<std::byte>& bytes = bytes_.emplace_back(static_cast<size_t>(n) * sizeof(T));
    SafetensorsEntry entry = safetensors_entry(name, std::move(shape), std::span<const T>());
    entry.bytes = bytes;
    entries_.push_back(std::move(entry));
    return bytes;
  }
  /// Copies them from the device.
  template <class T>
  void keep(const std::string& name, std::vector<long> shape, const T* from, long n) {
    std::vector<std::byte>& bytes = room<T>(name, std::move(shape), n);
    kernel::download(B{}, bytes.data(), from, bytes.size());
  }
  std::deque<std::vector<std::byte>> bytes_;
  std::vector<SafetensorsEntry> entries_;
};

/// One thing to time.
struct Work {
  std::string name;
  std::string title;                  ///< its row in the table
  std::function<void()> call;         ///< what is timed
  std::function<void(Proof&)> prove;  ///< adds the inputs as it likes, the results as NAME/RESULT
  double flops = 0;                   ///< that any implementation must compute …
  double bytes = 0;                   ///< … or must read and write; the row tells the share of the machine's limit
  long ops = 0;                       ///< how many ops a call makes, where the row is to tell what one costs
};

/// Inputs of all kinds from fixed draws.
struct Inputs {
  Context<B>& ctx;
  std::uint64_t seed = 1;

  /// N(0, deviation²).
  template <size_t R>
  Tensor<B, R> normal(const Shape<R>& shape, float deviation = 1, float mean = 0) {
    std::vector<float> values = values_of(ctx, random_normal(ctx, shape, Random{seed++, 0}.take(element_count(shape))));
    for (float& v : values) v = mean + deviation * v;
    return input(ctx, shape, values).tensor();
  }
};

/// y without its rows' numbers: a loss whose gradient with respect to y is dy, as it is and without a copy.
template <size_t R>
Var<B, 0> seeded(const Var<B, R>& y, const Tensor<B, R>& dy) {
  return record(
      y.context().zeros(Shape<0>{}), [y, dy](Context<B>& c, const Tensor<B, 0>&) { c.pass(dy, y); }, y);
}

/// Runs forward() and backward from its loss, and returns both; variables of the loss are those that forward uses.
struct Step {
  Context<B>& ctx;
  Gradients<B> gradients;

  template <class Forward>
  Var<B, 0> operator()(const Forward& forward) {
    gradients.clear();
    ctx.train();
    const Var<B, 0> loss = forward();
    ctx.backward(loss, gradients);
    ctx.infer();
    return loss;
  }
};

inline std::string json_of(const std::vector<Work>& works, const std::function<std::string(const Work&)>& value) {
  std::string text;
  for (const Work& w : works) text += concat(text.empty() ? "" : ", ", "\"", w.name, "\": ", value(w));
  return "{" + text + "}";
}

/// `make(ctx, small)` returns the works; small ones for a smoke test.
inline int run(int argc, char** argv, const char* program,
               const std::function<std::vector<Work>(Context<B>&, bool small)>& make) {
  CLI::App app("Works that a comparison times", program);
  std::string command, file;
  int threads = 1;
  bench::add_command(app, command, {"serve", "smoke", "export"})->required();
  auto* const given = app.add_option("file", file, "that `export` writes");
  add_threads_option(app, threads);
  return bench::run_program(app, argc, argv, [&] {
    Context<B> ctx;
    use_threads(ctx, threads);
    if (command == "serve") {
      const std::vector<Work> works = make(ctx, false);
      served::Work calls;
      for (const Work& w : works) calls[w.name] = {w.call};
      const auto number = [](double v) { return concat(static_cast<long>(v)); };
      served::serve(calls,
                    concat("\"peer\": \"phonaut\", \"isa\": \"", bench::name_of(ctx.backend()),
                           "\", \"titles\": ", json_of(works, [](const Work& w) { return "\"" + w.title + "\""; }),
                           ", \"flops\": ", json_of(works, [&](const Work& w) { return number(w.flops); }),
                           ", \"bytes\": ", json_of(works, [&](const Work& w) { return number(w.bytes); }),
                           ", \"ops\": ", json_of(works, [](const Work& w) { return concat(w.ops); })),
                    ctx.backend());
    } else if (command == "smoke") {
      Proof proof;
      for (const Work& w : make(ctx, true)) {
        w.call();
        w.prove(proof);
        std::printf("%s: %s\n", w.name.c_str(), w.title.c_str());
      }
    } else {
      if (given->count() == 0) throw CLI::RequiredError("file");
      Proof proof;
      for (const Work& w : make(ctx, false)) w.prove(proof);
      proof.write(file);
    }
    return 0;
  });
}

}  // namespace phonaut::works
