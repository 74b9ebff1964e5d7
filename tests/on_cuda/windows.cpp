// What reads tensors of the device on the host: it copies them first.
#include <vector>

#include "no_gpu.hpp"
#include "phonaut/losses/rnnt_simple.hpp"
#include "phonaut/testing/gradient_check.hpp"

using namespace phonaut;
using namespace phonaut::testing;

TEST_CASE("windows of nodes pruned from occupancies on Cuda are those of the host", "[windows]") {
  if (no_gpu()) return;
  const auto am = normal(Shape<3>{2, 7, 5}, 1, 2).data, lm = normal(Shape<3>{2, 5, 5}, 2, 2).data;
  const auto windows = [&](auto backend) {
    using B = decltype(backend);
    Context<B> ctx(backend);
    const auto transcripts = transcripts_of(ctx, std::vector<std::vector<long>>{{1, 2, 3, 1}, {2}});
    const Lengths lengths = lengths_of(ctx, std::vector<long>{7, 3});
    const auto arcs =
        simple_joiner_arcs(input(ctx, Shape<3>{2, 7, 5}, am), input(ctx, Shape<3>{2, 5, 5}, lm), transcripts);
    const auto taken = transducer_occupancies(arcs.symbols, arcs.blanks, transcripts, lengths);
    const NodeWindows<B> found = prune_windows(ctx, taken, transcripts, 2, lengths);
    std::vector<std::int32_t> first(static_cast<size_t>(found.first.size()));
    kernel::download(ctx.backend(), first.data(), found.first.data(), first.size() * sizeof(std::int32_t));
    return first;
  };
  const auto on_host = windows(Reference{});
  CHECK(on_host.front() == 0);
  CHECK(on_host[6] == 3);  // the last of 4 labels' nodes are 3 and 4
  CHECK(windows(Cuda{}) == on_host);
}
