// The limits of a GPU as one line of JSON: what its library's products compute in each precision, and what a copy
// moves.
//
//   phonaut-bench-limits-cuda [--seconds S] [smoke]    S seconds for each number, 0.2 by default
#include "program.hpp"
#include "yardstick.hpp"

using namespace phonaut;

namespace {

void print_limits(double seconds) {
  std::string products;
  for (const Precision precision : {Precision::fp32, Precision::tf32, Precision::bf16}) {
    Cuda cuda;
    cuda.precision = precision;
    products += concat(products.empty() ? "" : ", ", "\"", name_of(precision),
                       "\": ", 1e-9 * bench::Yardstick<Cuda>(cuda).peak(seconds));
  }
  bench::Yardstick<Cuda> yardstick(Cuda{});
  const auto level = [&](const char* name, long bytes) {
    return concat("\"", name, "\": {\"bytes\": ", bytes, ", \"copy\": ", 1e-9 * yardstick.copies(bytes, seconds), "}");
  };
  std::printf("{\"isa\": \"cuda\", \"products\": {%s}, \"gbytes\": {%s, %s}}\n", products.c_str(),
              level("L2", yardstick.cached).c_str(), level("memory", yardstick.large).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 0.2;
  std::string command;
  CLI::App app("What a GPU can do at most", "phonaut-bench-limits-cuda");
  bench::add_command(app, command, {"smoke"});
  app.add_option("--seconds", seconds, "for each number")->capture_default_str()->check(CLI::PositiveNumber);
  return bench::run_program(app, argc, argv, [&] {
    print_limits(command == "smoke" ? 1e-4 : seconds);
    return 0;
  });
}
