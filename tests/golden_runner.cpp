// phonaut-golden must notice what is wrong: a changed number, a missing gradient, a broken file.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "catch.hpp"
#include "phonaut/io/safetensors.hpp"

using namespace phonaut;
namespace fs = std::filesystem;

namespace {

const std::string kGolden = std::string(PHONAUT_SOURCE_DIR) + "/tests/golden/zipformer/";

struct Outcome {
  int status = -1;
  std::string output;
};

Outcome run(const std::string& arguments) {
  const std::string command = std::string(PHONAUT_BINARY_DIR) + "/phonaut-golden " + arguments + " 2>&1";
  Outcome outcome;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe);
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof buffer, pipe)) outcome.output.append(buffer, n);
  const int status = pclose(pipe);
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

bool says(const Outcome& outcome, const std::string& text) { return outcome.output.find(text) != std::string::npos; }

/// A folder that goes away with the test.
struct Folder {
  fs::path path;
  explicit Folder(const std::string& name) : path(fs::temp_directory_path() / ("phonaut_golden_" + name)) {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
};

/// A copy of a golden file in which `edit` may change tensors, kept as bytes under their names.
template <class Edit>
void write_changed(const std::string& from, const fs::path& to, const Edit& edit) {
  const SafetensorsReader reader(from);
  std::map<std::string, std::vector<std::byte>> tensors;
  std::map<std::string, SafetensorsInfo> infos;
  for (const SafetensorsInfo& info : reader.entries()) {
    tensors[info.name] = reader.bytes(info.name);
    infos[info.name] = info;
  }
  edit(tensors, infos);
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, bytes] : tensors) entries.push_back({name, infos[name].dtype, infos[name].shape, bytes});
  write_safetensors(to.string(), entries, reader.metadata());
}

/// Adds `by` to element `at` of a float tensor.
auto shift(const std::string& name, size_t at, float by) {
  return [=](auto& tensors, auto&) {
    float value;
    std::byte* place = tensors.at(name).data() + at * sizeof value;
    std::memcpy(&value, place, sizeof value);
    value += by;
    std::memcpy(place, &value, sizeof value);
  };
}

}  // namespace

TEST_CASE("the golden runner passes a good file on every backend", "[golden]") {
  for (const std::string backend : {"cpu", "reference", "reference64", "cpu --isa baseline"}) {
    const Outcome got = run("--backend " + backend + " " + kGolden + "bias_norm.safetensors");
    INFO(got.output);
    CHECK(got.status == 0);
    CHECK(says(got, "zipformer.bias_norm"));
    CHECK(says(got, "golden: 1 passed, 0 failed, 0 unsupported\n"));
  }
}

TEST_CASE("the golden runner notices one changed number", "[golden]") {
  const Folder folder("changed");
  // 2e-5 is ten times the tolerance of these files, whose largest numbers are of the order of 1.
  for (const std::string key : {"output.y", "grad.input.x", "grad.weight.bias", "grad.weight.log_scale"}) {
    const fs::path file = folder.path / (key + ".safetensors");
    write_changed(kGolden + "bias_norm.safetensors", file, shift(key, 0, key == "output.y" ? 1e-4f : 1e-2f));
    const Outcome got = run(file.string());
    INFO(got.output);
    CHECK(got.status == 1);
    CHECK(says(got, "FAIL"));
    CHECK(says(got, key + ": element 0 is"));
    CHECK(says(got, "golden: 0 passed, 1 failed, 0 unsupported\n"));
  }
}

TEST_CASE("the golden runner notices what it did not compute", "[golden]") {
  const Folder folder("extra");
  const fs::path file = folder.path / "extra.safetensors";
  write_changed(kGolden + "bias_norm.safetensors", file, [](auto& tensors, auto& infos) {
    for (const std::string name : {"output.z", "grad.input.z", "weight.gain"}) {
      tensors[name] = tensors["weight.log_scale"];
      infos[name] = infos["weight.log_scale"];
    }
  });
  const Outcome got = run(file.string());
  INFO(got.output);
  CHECK(got.status == 1);
  CHECK(says(got, "output.z: was not computed"));
  CHECK(says(got, "grad.input.z: was not computed"));
  CHECK(says(got, "weight.gain: was not asked for"));
}

TEST_CASE("a broken file fails with its sentence, and the run goes on", "[golden]") {
  const Folder folder("broken");
  fs::copy(kGolden + "bias_norm.safetensors", folder.path / "whole.safetensors");
  fs::copy(kGolden + "bias_norm.safetensors", folder.path / "cut.safetensors");
  fs::resize_file(folder.path / "cut.safetensors", 1000);
  std::ofstream(folder.path / "text.safetensors") << "not a tensor at all";
  const Outcome got = run(folder.path.string());
  INFO(got.output);
  CHECK(got.status == 1);
  CHECK(says(got, "cut.safetensors"));
  CHECK(says(got, "golden: 1 passed, 2 failed, 0 unsupported\n"));
}

TEST_CASE("an op that is not known is unsupported, not failed", "[golden]") {
  const Folder folder("unknown");
  const SafetensorsReader reader(kGolden + "bias_norm.safetensors");
  auto metadata = reader.metadata();
  metadata["op"] = "group.never_heard_of";
  const std::vector<float> y{1};
  const std::vector<SafetensorsEntry> entries{safetensors_entry("output.y", {1}, std::span<const float>(y))};
  write_safetensors((folder.path / "unknown.safetensors").string(), entries, metadata);
  CHECK(run(folder.path.string()).status == 3);
  fs::copy(kGolden + "bias_norm.safetensors", folder.path / "known.safetensors");
  const Outcome both = run(folder.path.string());
  CHECK(both.status == 3);
  CHECK(says(both, "golden: 1 passed, 0 failed, 1 unsupported\n"));
}

TEST_CASE("wrong usage has a status of its own", "[golden]") {
  const Folder folder("empty");
  CHECK(run(folder.path.string()).status == 2);
  CHECK(run("/nowhere/at/all").status == 2);
  CHECK(run("").status == 2);
  CHECK(run("--backend abacus " + kGolden).status == 2);
  CHECK(run("--help").status == 0);
}
