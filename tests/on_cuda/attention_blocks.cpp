// Attention in blocks of some utterances and queries, as long batches have them, against whole utterances in double
// precision.
#include <algorithm>
#include <limits>

#include "catch.hpp"
#include "no_gpu.hpp"
#include "numbers.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/ops/attention.hpp"

using namespace phonaut;
using testing::no_gpu;
using testing::numbers;
using testing::relative_error;

namespace {

constexpr long utterances = 5, queries = 7, heads = 2, width = 3, value_width = 4;

struct Problem {
  long keys = queries;
  bool causal = false;
  std::vector<long> lengths;
};

/// Results and gradients, one after the other. `most` utterances and queries make a block; 0: as many as by default.
template <class B>
std::vector<float> run(const B& backend, const Problem& p, long most_utterances = 0, long most_queries = 0) {
  using S = typename B::Scalar;
  Context<B> ctx(backend);
  const S nan = std::numeric_limits<float>::quiet_NaN();
  // Frames of keys beyond an utterance's length are NaN, for nobody may look at them.
  const auto frames = [&](long time, long each, unsigned seed, bool of_keys) {
    const Shape<3> shape{utterances, time, heads * each};
    const auto x = numbers(element_count(shape), seed);
    std::vector<S> values(x.begin(), x.end());
    for (long i = 0; of_keys && !p.lengths.empty() && i < utterances * time; ++i)
      if (i % time >= p.lengths[static_cast<size_t>(i / time)])
        std::fill_n(values.begin() + i * shape[2], shape[2], nan);
    return input(ctx, shape, values).tensor();
  };
  const auto q = frames(queries, width, 1, false), k = frames(p.keys, width, 2, true),
             v = frames(p.keys, value_width, 3, true), dy = frames(queries, value_width, 4, false);
  const kernel::Attention<S> a{
      q.in(), k.in(), v.in(), {.heads = heads, .causal = p.causal}, p.lengths.empty() ? nullptr : p.lengths.data()};
  kernel::AttentionBlocks<B> blocks(q.shape(), p.keys, heads);
  if (most_utterances > 0) blocks.utterances = most_utterances;
  if (most_queries > 0) blocks.queries = most_queries;
  // What is set begins as NaN, what is added to as zeros.
  const auto y = ctx.full(dy.shape(), nan), dq = ctx.full(q.shape(), nan);
  const auto dk = ctx.zeros(k.shape()), dv = ctx.zeros(v.shape());
  {
    const detail::AttentionScratch<B> scratch(ctx, blocks, a.options, p.keys), more(ctx, blocks, a.options, p.keys);
    kernel::attention_forward(backend, a, blocks, scratch.seen_keys(), scratch.weights.data(), y.out());
    kernel::attention_backward(backend, dy.in(), a, blocks, scratch.seen_keys(), scratch.weights.data(),
                               more.weights.data(), dq.out(), dk.out(), dv.out());
  }
  std::vector<float> all;
  const auto add = [&](const auto& t) {
    for (const S x : values_of(ctx, t)) all.push_back(static_cast<float>(x));
  };
  add(y), add(dq), add(dk), add(dv);
  return all;
}

const Problem problems[] = {
    {},
    {queries, true, {}},
    {4, false, {}},
    {queries, false, {7, 0, 4, 2, 6}},
    {queries, true, {7, 0, 4, 2, 6}},
    {queries, true, {1, 2, 3, 7, 7}},
    {9, false, {9, 9, 1, 0, 0}},
};

// Sums of up to 9 products, a softmax and its gradient, in float.
constexpr double limit = 2e-6;

template <class B>
void check_blocks(const B& backend) {
  for (const Problem& p : problems) {
    const auto want = run(ReferenceOf<double>{}, p);
    for (const long most_utterances : {0, 1, 2, 3})
      for (const long most_queries : {0, 1, 3}) {
        INFO(p.keys << " keys, " << (p.causal ? "causal, " : "") << p.lengths.size() << " lengths, blocks of "
                    << most_utterances << " utterances and " << most_queries << " queries");
        CHECK(relative_error(run(backend, p, most_utterances, most_queries), want) < limit);
      }
  }
}

}  // namespace

TEST_CASE("attention does not depend on its blocks, on the host", "[attention]") {
  check_blocks(Reference{});
  check_blocks(Cpu{});
}

TEST_CASE("attention does not depend on its blocks, on Cuda", "[cuda][attention]") {
  if (no_gpu()) return;
  check_blocks(Cuda{});
}
