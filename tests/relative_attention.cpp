// The kernels of relative attention against their formula in double, in sizes that dual numbers would take too long
// for (tests/cases has the small ones), with more keys than queries, and on any number of threads.
#include "phonaut/ops/relative_attention.hpp"

#include <limits>
#include <random>

#include "catch.hpp"

using namespace phonaut;

namespace {

constexpr double eps = std::numeric_limits<float>::epsilon();

struct Sizes {
  long batch, heads, queries, keys, query, place, chunk = 0, left_chunks = -1;
  bool uniform_if_empty = false;
  std::vector<long> lengths = {}, first = {};
};

/// Everything that the kernels read and write, in one number type.
template <class S>
struct Numbers {
  Sizes z;
  std::vector<S> frames_q, frames_k, r, dweights, weights, dframes_q, dframes_k, dr;

  kernel::RelativeAttention<S> operands() const {
    const auto [q, k, p] = parts(frames_q.data(), frames_k.data());
    return {z.heads, {z.lengths.empty() ? nullptr : z.lengths.data(), z.chunk, z.left_chunks, z.uniform_if_empty},
            q,       k,
            p,       View<const S, 2>(r.data(), {z.queries + z.keys - 1, z.heads * z.place})};
  }
  Shape<4> shape() const { return {z.batch, z.heads, z.queries, z.keys}; }
  long channels() const { return z.heads * (2 * z.query + z.place); }

  /// Queries and positional queries inside of one array of frames, keys inside of another.
  template <class T>
  std::array<View<T, 3>, 3> parts(T* from_q, T* from_k) const {
    const long width = z.heads * z.query;
    const auto part = [&](T* data, long frames, long n) {
      return View<T, 3>(data, {z.batch, frames, n}, {frames * channels(), channels(), 1});
    };
    return {part(from_q, z.queries, width), part(from_k + width, z.keys, width),
            part(from_q + 2 * width, z.queries, z.heads * z.place)};
  }

  template <class B>
  void run(const B& backend, bool add) {
    const auto a = operands();
    long forward = 0, backward = 0;
    kernel::relative_attention_forward_scratch(backend, a, forward);
    kernel::relative_attention_backward_scratch(backend, a, backward);
    std::vector<S> scratch(static_cast<size_t>(std::max(forward, backward)), S(NAN));
    kernel::relative_attention_forward(backend, a, scratch.data(), View<S, 4>(weights.data(), shape()));
    scratch.assign(scratch.size(), S(NAN));
    const auto [dq, dk, dp] = parts(dframes_q.data(), dframes_k.data());
    kernel::relative_attention_backward(backend, a, View<const S, 4>(dweights.data(), shape()),
                                        View<const S, 4>(weights.data(), shape()), scratch.data(),
                                        kernel::HeadFrames<S>{dq, add}, kernel::HeadFrames<S>{dk, add},
                                        kernel::HeadFrames<S>{dp, add}, Sink<S, 2>(dr.data(), a.r.shape, add));
  }
};

template <class S>
Numbers<S> numbers(const Sizes& z) {
  Numbers<S> x{z, {}, {}, {}, {}, {}, {}, {}, {}};
  std::mt19937 generator(7);
  std::normal_distribution<float> draw(0, 0.6f);
  const auto fill = [&](std::vector<S>& v, long n) {
    v.resize(static_cast<size_t>(n));
    for (S& e : v) e = static_cast<S>(draw(generator));
  };
  fill(x.frames_q, z.batch * z.queries * x.channels());
  fill(x.frames_k, z.batch * z.keys * x.channels());
  fill(x.r, (z.queries + z.keys - 1) * z.heads * z.place);
  fill(x.dweights, element_count(x.shape()));
  fill(x.weights, element_count(x.shape()));
  fill(x.dframes_q, z.batch * z.queries * x.channels());
  fill(x.dframes_k, z.batch * z.keys * x.channels());
  fill(x.dr, (z.queries + z.keys - 1) * z.heads * z.place);
  return x;
}

double difference(const std::vector<float>& got, const std::vector<double>& want) {
  double worst = 0, scale = 1;
  for (double w : want) scale = std::max(scale, std::fabs(w));
  for (size_t i = 0; i < want.size(); ++i) {
    const double e = std::fabs(static_cast<double>(got[i]) - want[i]);
    worst = std::isnan(e) ? INFINITY : std::max(worst, e);
  }
  return worst / scale;
}

void compare(const Sizes& z, bool add) {
  auto want = numbers<double>(z);
  want.run(Reference{}, add);
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (!can_run(isa)) continue;
    INFO(z.batch << "x" << z.queries << "x" << z.keys << " heads " << z.heads << " of " << z.query << " and " << z.place
                 << ", chunk " << z.chunk << ", left " << z.left_chunks << ", uniform " << z.uniform_if_empty
                 << ", padded " << !z.lengths.empty() << ", late " << !z.first.empty() << ", add " << add << " on "
                 << name_of(isa));
    auto one = numbers<float>(z);
    one.run(Cpu{{}, 1, isa}, add);
    // Scores reach 10, so they carry a rounding error of some 1e-6, which the exponential hands on to the weights,
    // large ones excepted: those are nearer to 1 than that. Gradients are sums of products with weights.
    CHECK(difference(one.weights, want.weights) < 16 * eps);
    CHECK(difference(one.dframes_q, want.dframes_q) < 16 * eps);
    CHECK(difference(one.dframes_k, want.dframes_k) < 16 * eps);
    CHECK(difference(one.dr, want.dr) < 16 * eps);
    for (int threads : {2, 3, 7}) {
      auto many = numbers<float>(z);
      many.run(Cpu{{}, threads, isa}, add);
      CHECK((many.weights == one.weights && many.dframes_q == one.dframes_q && many.dframes_k == one.dframes_k &&
             many.dr == one.dr));
    }
  }
}

}  // namespace

TEST_CASE("relative attention of random sizes agrees with its formula", "[relative_attention]") {
  std::mt19937 generator(11);
  const auto draw = [&](long low, long high) { return std::uniform_int_distribution<long>(low, high)(generator); };
  for (int i = 0; i < 60; ++i) {
    Sizes z{draw(1, 3), draw(1, 3), draw(1, 70), 0, draw(1, 40), draw(1, 6)};
    z.keys = z.queries + (i % 3 == 0 ? draw(1, 40) : 0);
    if (i % 2) z.chunk = draw(1, 20), z.left_chunks = draw(-1, 3);
    z.uniform_if_empty = draw(0, 1) == 1;
    if (i % 4 > 1)
      for (long n = 0; n < z.batch; ++n) z.lengths.push_back(draw(0, z.keys));
    if (z.keys > z.queries && i % 2)
      for (long n = 0; n < z.batch; ++n) z.first.push_back(draw(0, z.keys - z.queries));
    compare(z, i % 5 == 0);
  }
}

TEST_CASE("relative attention over thousands of frames agrees with its formula", "[relative_attention]") {
  compare({1, 1, 1, 2100, 8, 4}, false);                          // one query
  compare({1, 1, 1100, 1100, 8, 4}, true);                        // several groups of queries
  compare({1, 2, 700, 900, 16, 4, 64, 2, false, {880}}, false);   // of which each sees a few keys
  compare({2, 1, 520, 520, 4, 4, 0, -1, true, {0, 300}}, false);  // and some see none
}
