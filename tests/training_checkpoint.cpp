// Checkpoints: bit for bit there and back, strict about differences, whole or not at all.
#include "phonaut/training/checkpoint.hpp"

#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <limits>

#include "catch.hpp"
#include "io_support.hpp"
#include "phonaut/training/adamw.hpp"
#include "training_support.hpp"

using namespace phonaut;
using namespace phonaut::testing;

namespace {

template <class B>
bool same_bits(const Mixture<B>& a, const Mixture<B>& b) {
  std::vector<std::string> bytes[2];
  int side = 0;
  for (const Mixture<B>* m : {&a, &b}) {
    for_each_weight(*m, [&](const std::string& name, const auto& w) {
      const auto& t = w.tensor();
      bytes[side].push_back(name + std::string(reinterpret_cast<const char*>(t.data()),
                                               static_cast<size_t>(t.size()) * sizeof *t.data()));
    });
    ++side;
  }
  return bytes[0] == bytes[1];
}

/// One of everything that a checkpoint can hold.
struct Numbers {
  std::uint64_t large = 0;
  long negative = 0;
  std::int8_t small = 0;
  bool flag = false;
  double tenth = 0, infinite = 0;
  float third = 0;
  std::string text;
  Random random;
  template <class Archive>
  static void checkpoint(auto& self, Archive& archive) {
    archive("large", self.large);
    archive("negative", self.negative);
    archive("small", self.small);
    archive("flag", self.flag);
    archive("tenth", self.tenth);
    archive("infinite", self.infinite);
    archive("third", self.third);
    archive("text", self.text);
    archive("random", self.random);
  }
};

struct Other {
  Param<Cpu, 1> something, else_;
  static void visit(auto& self, auto&& f) { f("something", self.something), f("else", self.else_); }
};

}  // namespace

TEMPLATE_TEST_CASE("load(save(m)) is m, bit for bit", "[training]", Reference, Reference64, Cpu) {
  using B = TestType;
  using S = typename B::Scalar;
  const TemporaryFolder folder;
  Context<B> ctx(B{}, 1), other_ctx(B{}, 2);
  Mixture<B> model(ctx), other(other_ctx);
  // Values that a conversion to text or to another type would not bring back.
  S* const x = model.kernel.tensor().data();
  x[0] = -S(0);
  x[1] = std::numeric_limits<S>::denorm_min();
  x[2] = std::numeric_limits<S>::infinity();
  x[3] = -std::numeric_limits<S>::quiet_NaN();
  x[4] = S(1) / S(3);
  REQUIRE_FALSE(same_bits(model, other));
  save(folder / "model.safetensors", model, {{"kind", "mixture"}});
  load(folder / "model.safetensors", other);
  CHECK(same_bits(model, other));
  CHECK(SafetensorsReader(folder / "model.safetensors").metadata().at("kind") == "mixture");
  save(folder / "again.safetensors", other, {{"kind", "mixture"}});
  CHECK((slurp(folder / "model.safetensors") == slurp(folder / "again.safetensors")));
}

TEST_CASE("numbers, texts and draws of a training state come back exactly", "[training]") {
  const TemporaryFolder folder;
  const std::string path = folder / "state.safetensors";
  Numbers in{18446744073709551615ull,
             std::numeric_limits<long>::min(),
             -128,
             true,
             0.1,
             -HUGE_VAL,
             1.0f / 3,
             "a\n\"b\" \u0995",
             {}};
  in.random.seed = 1ull << 63;
  in.random.take(1001);
  save_checkpoint(path, [&](auto& archive) { archive("training/n", in); });
  Numbers out;
  load_checkpoint(path, [&](auto& archive) { archive("training/n", out); });
  CHECK(out.large == in.large);
  CHECK(out.negative == in.negative);
  CHECK(out.small == in.small);
  CHECK(out.flag == in.flag);
  CHECK(out.tenth == in.tenth);
  CHECK(out.infinite == in.infinite);
  CHECK(out.third == in.third);
  CHECK(out.text == in.text);
  CHECK(out.random.seed == in.random.seed);
  CHECK(out.random.used == in.random.used);

  // A number that does not fit is named, and nothing is filled in.
  long step = 7;
  save_checkpoint(path, [&](auto& archive) { archive("training/large", in.large), archive("training/step", step); });
  std::int8_t narrow = 5;
  step = 1;
  const auto narrow_state = [&](auto& archive) { archive("training/step", step), archive("training/large", narrow); };
  CHECK(contains(message_of<LoadError>([&] { load_checkpoint(path, narrow_state); }),
                 "training/large is `18446744073709551615`, not a whole number from -128 to 127"));
  CHECK(step == 1);
  // Settings that must not have changed.
  save_checkpoint(path, [](auto& archive) { archive("training/settings", Same{"rate 16000"}); });
  CHECK(contains(message_of<LoadError>([&] {
                   load_checkpoint(path, [](auto& archive) { archive("training/settings", Same{"rate 8000"}); });
                 }),
                 "training/settings is `rate 16000` in the file, `rate 8000` now"));
  CHECK_THROWS_AS(save_checkpoint(path, [&](auto& archive) { archive("a", step), archive("a", step); }), ConfigError);
  CHECK_THROWS_AS(save_checkpoint(path, [&](auto& archive) { archive("a", step); }, {{"a", "taken"}}), ConfigError);
}

TEST_CASE("loading lists every difference at once, with near misses, and changes nothing", "[training]") {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  Context<Cpu> ctx(Cpu{}, 1);
  Mixture<Cpu> model(ctx);
  // The file has layers.1.bais for layers.1.bias, no gain, a kernel of another shape, float counts, and one more.
  std::vector<SafetensorsEntry> entries;
  const std::vector<float> values(64);
  for_each_weight(model, [&](const std::string& name, const auto& w) {
    std::string as = name;
    std::vector<long> shape(w.shape().begin(), w.shape().end());
    if (name == "gain") return;
    if (name == "layers.1.bias") as = "layers.1.bais";
    if (name == "kernel") shape = {2, 4, 4};
    long n = 1;
    for (const long extent : shape) n *= extent;
    entries.push_back(safetensors_entry<float>(as, shape, std::span(values).first(static_cast<size_t>(n))));
  });
  entries.push_back(safetensors_entry<float>("decoder.weight", {3}, std::span(values).first(3)));
  write_safetensors(path, entries);

  const Mixture<Cpu> before = deep_copy(model, Cpu{});
  const std::string message = message_of<LoadError>([&] { load(path, model); });
  INFO(message);
  CHECK(contains(message, path + ": 6 entries differ: "));
  CHECK(contains(message, "layers.1.bias is missing (perhaps `layers.1.bais`)"));
  CHECK(contains(message, "kernel is (2, 4, 4) in the file, (2, 3, 4) in the model"));
  CHECK(contains(message, "gain is missing"));
  CHECK(contains(message, "counts holds F32 in the file, I32 in the model"));
  CHECK(contains(message, "layers.1.bais is in the file only (perhaps `layers.1.bias`)"));
  CHECK(contains(message, "decoder.weight is in the file only"));
  CHECK(same_bits(model, before));
}

TEST_CASE("a checkpoint of another model is called that", "[training]") {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  Context<Cpu> ctx;
  Mixture<Cpu> model(ctx);
  save(path, model);
  Other other{make_param(ctx, Shape<1>{3}, Init::normal(1)), make_param(ctx, Shape<1>{3}, Init::normal(1))};
  const std::string message = message_of<LoadError>([&] { load(path, other); });
  INFO(message);
  CHECK(contains(message, "this is a checkpoint of another model, none of whose 8 entries fits one of our 2: "));
  CHECK(contains(message, "something is missing"));
  CHECK(contains(message, "codebook is in the file only"));
  // A model alone is not a run to be resumed.
  long step = 0;
  CHECK(contains(message_of<LoadError>([&] {
                   load_checkpoint(path, [&](auto& archive) { archive("", model), archive("training/step", step); });
                 }),
                 "this file holds weights but no training state"));
}

TEST_CASE("the state of a training run does not disturb who wants the model only", "[training]") {
  const TemporaryFolder folder;
  const std::string path = folder / "run.safetensors";
  Context<Cpu> ctx(Cpu{}, 1);
  Mixture<Cpu> model(ctx), average(ctx), fresh(ctx);
  AdamW<Cpu> adamw(ctx.backend(), model);
  adamw.step(ctx.backend(),
             chosen_gradients(ctx, model, [](auto&, long i) { return 0.1 * static_cast<double>(i) - 1; }), 0.1);
  const auto state = [&](auto& archive) {
    archive("", model);
    archive("training/average", average);
    archive("training/adamw", adamw);
  };
  save_checkpoint(path, state);
  load(path, fresh);
  CHECK(same_bits(fresh, model));
  load(path, fresh, {.part = "training/average/"});
  CHECK(same_bits(fresh, average));

  // All of it comes back into new objects.
  Context<Cpu> ctx2(Cpu{}, 77);
  Mixture<Cpu> model2(ctx2), average2(ctx2);
  AdamW<Cpu> adamw2(ctx2.backend(), model2);
  load_checkpoint(path, [&](auto& archive) {
    archive("", model2);
    archive("training/average", average2);
    archive("training/adamw", adamw2);
  });
  CHECK(same_bits(model2, model));
  CHECK(same_bits(average2, average));
  for (size_t i = 0; i < adamw.slots().size(); ++i) {
    CHECK(adamw2.slots()[i].steps == 1);
    for (size_t j = 0; j < 2; ++j)
      CHECK((to_vector(adamw2.slots()[i].state[j]) == to_vector(adamw.slots()[i].state[j])));
  }
  // Something of the state that nobody asks for is a difference, too.
  CHECK(contains(message_of<LoadError>([&] {
                   load_checkpoint(path,
                                   [&](auto& archive) { archive("", model2), archive("training/adamw", adamw2); });
                 }),
                 "training/average/kernel is in the file only"));
}

TEST_CASE("published checkpoints load through a map of names and axes", "[training]") {
  const TemporaryFolder folder;
  const std::string path = folder / "published.safetensors";
  Context<Cpu> ctx(Cpu{}, 1);
  Mixture<Cpu> model(ctx);
  const Mixture<Cpu> before = deep_copy(model, Cpu{});
  // Names with a prefix, in double precision; kernel with its last axis first; no codebook.
  std::vector<std::vector<double>> kept;
  std::vector<SafetensorsEntry> entries;
  kept.reserve(10);
  for_each_weight(model, [&](const std::string& name, const auto& w) {
    if (name == "codebook" || name == "counts") return;
    std::vector<long> shape(w.shape().begin(), w.shape().end());
    if (name == "kernel") shape = {4, 2, 3};
    kept.emplace_back();
    for (long i = 0; i < w.size(); ++i) kept.back().push_back(0.5 * static_cast<double>(i));
    entries.push_back(safetensors_entry<double>("net." + name, shape, std::span<const double>(kept.back())));
  });
  const std::vector<std::int64_t> counter = {1};
  entries.push_back(safetensors_entry<std::int64_t>("net.num_batches_tracked", {1}, std::span(counter)));
  write_safetensors(path, entries);

  const LoadOptions map{
      .file_name = [](const std::string& name) { return name.starts_with("co") ? "" : "net." + name; },
      .axes =
          [](const std::string& name) {
            return name == "kernel" ? std::vector{1, 2, 0} : std::vector<int>{};
          },
      .ignore = [](const std::string& name) { return name.ends_with("num_batches_tracked"); }};
  load(path, model, map);
  // kernel(i, j, k) of (2, 3, 4) is entry (k, i, j) of (4, 2, 3).
  for (long i = 0; i < 2; ++i)
    for (long j = 0; j < 3; ++j)
      for (long k = 0; k < 4; ++k) CHECK(model.kernel.in()(i, j, k) == 0.5f * static_cast<float>(k * 6 + i * 3 + j));
  CHECK(model.layers[1].bias.tensor().data()[4] == 2.0f);
  CHECK((to_vector(model.codebook.tensor()) == to_vector(before.codebook.tensor())));

  LoadOptions strict = map;
  strict.ignore = {};
  CHECK(contains(message_of<LoadError>([&] { load(path, model, strict); }),
                 "net.num_batches_tracked is in the file only"));
  LoadOptions turned = map;
  turned.axes = [](const std::string& name) { return name == "kernel" ? std::vector{2, 1, 0} : std::vector<int>{}; };
  CHECK(contains(message_of<LoadError>([&] { load(path, model, turned); }),
                 "kernel (`net.kernel` in the file) is (4, 2, 3) in the file, (2, 3, 4) in the model (after the axes"));
  LoadOptions wrong = map;
  wrong.axes = [](const std::string& name) { return name == "kernel" ? std::vector{0, 0, 1} : std::vector<int>{}; };
  CHECK_THROWS_AS(load(path, model, wrong), ConfigError);
}

TEST_CASE("a truncated or damaged checkpoint changes nothing", "[training]") {
  const TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  Context<Cpu> ctx(Cpu{}, 1);
  Mixture<Cpu> model(ctx);
  save(path, model);
  const std::string whole = slurp(path);
  Mixture<Cpu> other(ctx);
  const Mixture<Cpu> before = deep_copy(other, Cpu{});
  for (size_t length = 0; length < whole.size(); length += length < 64 ? 1 : 37) {
    spill(path, std::string_view(whole).substr(0, length));
    CHECK_THROWS_AS(load(path, other), FormatError);
  }
  spill(path, std::string_view(whole).substr(0, whole.size() - 1));
  CHECK(contains(message_of<FormatError>([&] { load(path, other); }), "was it cut short?"));
  spill(path, "RIFF this is something else altogether, and long enough to have a header");
  CHECK_THROWS_AS(load(path, other), FormatError);
  CHECK_THROWS_AS(load(folder / "nowhere.safetensors", other), FileError);
  // A value that does not fit is found before anything was assigned.
  const std::vector<std::int64_t> counts = {1, 2, 3, 1ll << 40};
  std::vector<SafetensorsEntry> entries;
  for_each_weight(model, [&](const std::string& name, const auto& w) {
    if (name == "counts") entries.push_back(safetensors_entry<std::int64_t>(name, {4}, std::span(counts)));
    else
      entries.push_back({name,
                         Dtype::f32,
                         {w.shape().begin(), w.shape().end()},
                         {reinterpret_cast<const std::byte*>(w.tensor().data()), static_cast<size_t>(w.size()) * 4}});
  });
  write_safetensors(path, entries);
  CHECK_THROWS_AS(load(path, other), FormatError);
  CHECK(same_bits(other, before));
}

TEST_CASE("a disk that is full leaves the older checkpoint whole", "[training]") {
  const TemporaryFolder folder;
  const std::string path = folder / "latest.safetensors";
  Context<Cpu> ctx(Cpu{}, 1);
  Mixture<Cpu> model(ctx), larger(ctx, 200);
  save(path, model);
  const std::string whole = slurp(path);

  SECTION("the system refuses to write more") {
    // A limit on the size of files stands in for the end of the disk.
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{70000, limit.rlim_max};
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    const std::string message = message_of<FileError>([&] { save(path, larger); });
    setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, handler);
    CHECK(contains(message, path + ": writing stopped after "));
    CHECK((slurp(path) == whole));
    CHECK(folder.files() == 1);  // no unfinished file stays behind
  }
  SECTION("a file system without room") {
    const std::string small_disk = folder / "small";
    std::filesystem::create_directory(small_disk);
    if (::mount("none", small_disk.c_str(), "tmpfs", 0, "size=64k") != 0) {
      WARN("no right to mount a file system; the limit above stands in for it");
      return;
    }
    struct Unmount {
      std::string at;
      ~Unmount() { ::umount2(at.c_str(), MNT_DETACH); }
    } unmount{small_disk};
    save(small_disk + "/latest.safetensors", model);
    CHECK(contains(message_of<FileError>([&] { save(small_disk + "/latest.safetensors", larger); }), "No space left"));
    CHECK((slurp(small_disk + "/latest.safetensors") == whole));
    Mixture<Cpu> again(ctx);
    load(small_disk + "/latest.safetensors", again);
    CHECK(same_bits(again, model));
  }
  SECTION("/dev/full") { CHECK_THROWS_AS(save("/dev/full", model), FileError); }
}

TEST_CASE("a folder of checkpoints removes what killed writers left behind", "[training]") {
  const TemporaryFolder root;
  const CheckpointFolder folder(root / "runs/first");
  CHECK_FALSE(folder.has_latest());
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  REQUIRE(::waitpid(child, nullptr, 0) == child);  // a process number that nobody has any more
  const std::string dead = concat(folder.folder(), "/.latest.safetensors.", child, "-0.tmp"),
                    alive = concat(folder.folder(), "/.latest.safetensors.", ::getpid(), "-0.tmp"),
                    foreign = folder.folder() + "/.notes.tmp";
  for (const std::string& path : {dead, alive, foreign}) spill(path, "half of it");
  const CheckpointFolder again(folder.folder());
  CHECK_FALSE(std::filesystem::exists(dead));
  CHECK(std::filesystem::exists(alive));
  CHECK(std::filesystem::exists(foreign));
  spill(root / "file", "");
  CHECK_THROWS_AS(CheckpointFolder(root / "file"), FileError);
}
