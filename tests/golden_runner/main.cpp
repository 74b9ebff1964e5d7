// phonaut-golden DIR…: runs every golden file it is given or finds, and says how close phonaut comes.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "golden.hpp"

namespace {

using namespace phonaut;
using namespace phonaut::golden;

constexpr const char* kUsage =
    "usage: phonaut-golden [options] DIR|FILE...\n"
    "\n"
    "Runs every .safetensors file below the folders, compares outputs and gradients with the numbers in it, and "
    "prints\n"
    "per file: verdict, op, worst absolute error, worst relative error (to the largest number of the tensor) and the\n"
    "tensor that has it. Exit status: 0 all passed; 1 a file failed; 2 wrong usage; 3 nothing failed, but some ops "
    "are\n"
    "not supported.\n"
    "\n"
    "  --backend cpu|reference|reference64|cuda   what computes (cpu)\n"
    "  --isa baseline|avx2|avx512                 instruction set of the cpu backend (the best there is)\n"
    "  --threads N                                threads of the cpu backend (2)\n"
    "  --op NAME                                  run files of this op only\n"
    "  --ops                                      list the ops that are supported, and stop\n"
    "  --keys                                     print the errors of every tensor\n"
    "  --quiet                                    print only what did not pass, and the last line\n";

struct Options {
  std::string backend = "cpu", op;
  Cpu cpu;
  bool quiet = false, keys = false, list = false;
  std::vector<std::string> paths;
};

/// Wrong usage: a sentence for the user.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

Options parse(int argc, char** argv) {
  Options o;
  o.cpu.threads = 2;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto value = [&] {
      if (++i == argc) throw UsageError(arg + " needs a value");
      return std::string(argv[i]);
    };
    if (arg == "--help" || arg == "-h") {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else if (arg == "--backend") {
      o.backend = value();
    } else if (arg == "--isa") {
      const std::string isa = value();
      bool known = false;
      for (Isa set : {Isa::baseline, Isa::avx2, Isa::avx512})
        if (isa == name_of(set)) o.cpu.isa = set, known = true;
      if (!known) throw UsageError("--isa " + isa + " is none of baseline, avx2, avx512");
    } else if (arg == "--threads") {
      const std::string n = value();
      o.cpu.threads = std::atoi(n.c_str());
      if (o.cpu.threads < 1) throw UsageError("--threads needs a positive number, got " + n);
    } else if (arg == "--op") {
      o.op = value();
    } else if (arg == "--ops") {
      o.list = true;
    } else if (arg == "--keys") {
      o.keys = true;
    } else if (arg == "--quiet") {
      o.quiet = true;
    } else if (arg.starts_with("-")) {
      throw UsageError("unknown option " + arg);
    } else {
      o.paths.push_back(arg);
    }
  }
  std::vector<std::string> known{"cpu", "reference", "reference64"};
#ifdef PHONAUT_GOLDEN_CUDA
  known.push_back("cuda");
#endif
  if (std::find(known.begin(), known.end(), o.backend) == known.end())
    throw UsageError("--backend " + o.backend + " is not in this build");
  if (o.paths.empty() && !o.list) throw UsageError("no folder and no file was given");
  return o;
}

std::vector<std::string> find_files(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  std::set<std::string> found;
  for (const std::string& path : paths) {
    if (fs::is_directory(path)) {
      for (const auto& entry : fs::recursive_directory_iterator(path))
        if (entry.path().extension() == ".safetensors" && entry.is_regular_file()) found.insert(entry.path().string());
    } else if (fs::exists(path)) {
      found.insert(path);
    } else {
      throw UsageError(path + " does not exist");
    }
  }
  return {found.begin(), found.end()};
}

/// One handler over one file: a pass for the outputs and the gradients of their sum, and one for each output that the
/// file has gradients of by name.
template <class B>
void run(const GoldenFile& file, Report& report, B backend, void (*handler)(Golden<B>&)) {
  std::set<std::string> passes{""};
  for (const SafetensorsInfo& entry : file.entries())
    if (entry.name.starts_with("grad.")) passes.insert(Golden<B>::of_named(entry.name));
  for (const std::string& of : passes) {
    Context<B> context(backend);
    context.poison(true);
    context.set_recording(true);
    Golden<B> g(file, report, context, of, of.empty());
    handler(g);
    g.finish();
  }
  report.finish();
}

enum class Verdict { pass, fail, unsupported };

Verdict run_file(const std::string& path, const Options& options) {
  std::string op = "?";
  const std::string shown = path;
  const auto failed = [&](const std::string& why) {
    std::printf("FAIL         %-34s %s\n             %s\n", op.c_str(), shown.c_str(), why.c_str());
    return Verdict::fail;
  };
  try {
    const GoldenFile file(path);
    op = file.op();
    const auto unsupported = [&](const std::string& why) {
      std::printf("unsupported  %-34s %s%s\n", op.c_str(), shown.c_str(), why.empty() ? "" : (": " + why).c_str());
      return Verdict::unsupported;
    };
    const auto found = handlers().find(op);
    if (found == handlers().end()) return unsupported("");
    Report report(file);
    try {
      const Handler& h = found->second;
      if (options.backend == "reference") run(file, report, Reference{}, h.reference);
      else if (options.backend == "reference64") run(file, report, Reference64{}, h.reference64);
#ifdef PHONAUT_GOLDEN_CUDA
      else if (options.backend == "cuda") {
        if (!h.cuda) return unsupported("not on this backend");
        run(file, report, Cuda{}, h.cuda);
      }
#endif
      else
        run(file, report, options.cpu, h.cpu);
    } catch (const Unsupported& e) {
      return unsupported(e.what());
    }
    const bool ok = report.passed();
    if (!ok || !options.quiet)
      std::printf("%s         %-34s %s: abs %.1e, rel %.1e (%s)\n", ok ? "pass" : "FAIL", op.c_str(), shown.c_str(),
                  report.worst_absolute(), report.worst_relative(), report.worst_key().c_str());
    for (const Report::Entry& entry : report.entries())
      if (options.keys)
        std::printf("             abs %.1e, rel %.1e  %s\n", entry.absolute, entry.relative, entry.key.c_str());
    for (const std::string& why : report.failures()) std::printf("             %s\n", why.c_str());
    return ok ? Verdict::pass : Verdict::fail;
  } catch (const std::exception& e) {
    return failed(e.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse(argc, argv);
    if (options.list) {
      for (const auto& [op, handler] : handlers()) std::printf("%s\n", op.c_str());
      return 0;
    }
    long passed = 0, failed = 0, unsupported = 0;
    for (const std::string& path : find_files(options.paths)) {
      if (!options.op.empty()) {
        try {
          if (GoldenFile(path).op() != options.op) continue;
        } catch (const std::exception&) {
          continue;  // a broken file belongs to no op
        }
      }
      switch (run_file(path, options)) {
        case Verdict::pass:
          ++passed;
          break;
        case Verdict::fail:
          ++failed;
          break;
        case Verdict::unsupported:
          ++unsupported;
          break;
      }
      std::fflush(stdout);
    }
    if (passed + failed + unsupported == 0) throw UsageError("there is no golden file to run");
    std::printf("golden: %ld passed, %ld failed, %ld unsupported\n", passed, failed, unsupported);
    return failed ? 1 : unsupported ? 3 : 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "phonaut-golden: %s\n", e.what());
    return 2;
  }
}
