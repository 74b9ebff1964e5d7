// Products of heads of utterances with lengths: on hosts, and on Cuda in each way, against double precision.
#include <algorithm>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "floats.hpp"
#include "no_gpu.hpp"
#include "numbers.hpp"
#include "phonaut/ops/utterance_products.hpp"
#include "product_way.hpp"
#include "sums.hpp"
#include "way.hpp"
#ifdef PHONAUT_EMULATE_GPU
#include "emulator.hpp"
#endif

using namespace phonaut;
using cuda::ProductWay;
using kernel::UtteranceProducts;
using testing::Floats;
using testing::no_gpu;
using testing::numbers;
using testing::Sums;

namespace {

struct Problem {
  long utterances, heads, m, n, k;
  std::vector<long> lengths;
  bool limit_m = false, limit_n = false, limit_k = false;
  bool a_turned = false, b_turned = false, add = false;
};

std::vector<Problem> problems() {
  std::vector<Problem> all;
  for (const long n : {1L, 12L, 17L, 40L, 70L})
    for (const bool add : {false, true}) {
      all.push_back({3, 2, 9, n, 9, {9, 0, 4}, true, false, true, false, false, add});  // values, by their weights
      all.push_back({3, 2, 9, n, 9, {9, 0, 4}, true, false, true, true, false, add});   // their gradient
      all.push_back({2, 4, 65, n, 5, {1, 64}, true, false, false, false, true, add});   // a row of tiles is beyond one
      all.push_back({4, 1, 3, n, 20, {20, 25, 1, 0}, false, false, true, true, true, add});  // a length beyond the size
      all.push_back({2, 3, 7, n, 7, {5, 6}, true, true, false, false, true, add});           // scores
      all.push_back({2, 3, 7, n, 7, {}, true, true, true, false, false, add});               // no lengths
      all.push_back({3, 2, 4, n, 6, {9, 70, 80}, true, n < 9, true, false, true, add});  // lengths that limit nothing
    }
  all.push_back({1, 1, 1, 1, 1, {1}, true, true, true});
  all.push_back({0, 2, 3, 3, 3, {}});
  all.push_back({2, 0, 3, 3, 3, {2, 2}, true});
  all.push_back({2, 2, 0, 3, 3, {0, 0}, true});
  all.push_back({2, 2, 3, 4, 0, {2, 3}, true});  // sums of nothing
  all.push_back({2, 3, 130, 130, 3, {100, 130}, true, true});
  all.push_back({2, 20, 200, 140, 70, {200, 33}, true, false});
  return all;
}

std::string text(const Problem& p) {
  std::string lengths;
  for (const long length : p.lengths) lengths += concat(lengths.empty() ? "" : ", ", length);
  return concat(p.utterances, " x ", p.heads, " products (", p.m, ", ", p.k, ") (", p.k, ", ", p.n, "), lengths ",
                lengths, " of ", p.limit_m ? "m" : "", p.limit_n ? "n" : "", p.limit_k ? "k" : "",
                p.a_turned ? ", a turned" : "", p.b_turned ? ", b turned" : "", p.add ? ", added" : "");
}

/// Operands lie as attention's do: of `a` and `c` the heads are outermost, of `b` they lie side by side in its rows.
/// All three have gaps. What the limits leave out of `a` and `b` is NaN, and so is what is to be set.
class Operands {
 public:
  explicit Operands(const Problem& problem) : p(problem) {
    auto& g = all.first;
    g.m = p.m, g.n = p.n, g.k = p.k, g.batch = p.heads, g.add = p.add;
    const long a_rows = p.a_turned ? p.k : p.m, a_columns = p.a_turned ? p.m : p.k;
    const long b_rows = p.b_turned ? p.n : p.k, b_columns = p.b_turned ? p.k : p.n;
    (p.a_turned ? g.a_col : g.a_row) = a_columns + 1;
    (p.a_turned ? g.a_row : g.a_col) = 1;
    g.a_batch = a_rows * (a_columns + 1) + 2;
    (p.b_turned ? g.b_col : g.b_row) = p.heads * b_columns + 3;
    (p.b_turned ? g.b_row : g.b_col) = 1;
    g.b_batch = b_columns;
    g.c_row = p.n + 2;
    g.c_batch = p.m * g.c_row + 1;
    all.utterances = p.utterances;
    all.a_step = p.heads * g.a_batch + 5;
    all.b_step = b_rows * (p.heads * b_columns + 3) + 1;
    all.c_step = p.heads * g.c_batch;
    all.lengths = p.lengths.empty() ? nullptr : p.lengths.data();
    all.limits = {p.limit_m, p.limit_n, p.limit_k};
    a = numbers(p.utterances * all.a_step + 1, 1);
    b = numbers(p.utterances * all.b_step + 1, 2);
    c = numbers(p.utterances * all.c_step + 1, 3);
    want = Sums(c);
    hide_and_compute();
  }

  const Problem& p;
  UtteranceProducts<float> all;  ///< without the operands' addresses
  std::vector<float> a, b, c;
  Sums want{std::vector<float>()};

 private:
  void hide_and_compute() {
    const auto& g = all.first;
    const auto limit = [&](bool limited, long u, long full) {
      return limited && all.lengths ? std::min(full, p.lengths[static_cast<size_t>(u)]) : full;
    };
    const auto at = [](long i) { return static_cast<size_t>(i); };
    for (long u = 0; u < p.utterances; ++u)
      for (long h = 0; h < p.heads; ++h) {
        const long m = limit(p.limit_m, u, p.m), n = limit(p.limit_n, u, p.n), k = limit(p.limit_k, u, p.k);
        const long a0 = u * all.a_step + h * g.a_batch, b0 = u * all.b_step + h * g.b_batch;
        const auto nan = std::numeric_limits<float>::quiet_NaN();
        for (long i = 0; i < p.m; ++i)
          for (long q = 0; q < p.k; ++q)
            if (i >= m || q >= k) a[at(a0 + i * g.a_row + q * g.a_col)] = nan;
        for (long q = 0; q < p.k; ++q)
          for (long j = 0; j < p.n; ++j)
            if (q >= k || j >= n) b[at(b0 + q * g.b_row + j * g.b_col)] = nan;
        for (long i = 0; i < p.m; ++i)
          for (long j = 0; j < p.n; ++j) {
            const size_t place = at(u * all.c_step + h * g.c_batch + i * g.c_row + j);
            if (!p.add) {
              c[place] = nan;
              want.value[place] = 0;
              want.size[place] = 1e-30;
            }
            for (long q = 0; i < m && j < n && q < k; ++q)
              want.add(place, static_cast<double>(a[at(a0 + i * g.a_row + q * g.a_col)]),
                       static_cast<double>(b[at(b0 + q * g.b_row + j * g.b_col)]));
          }
      }
  }
};

// A rounding for each of up to 70 terms, of 6e-8 of what has been added up.
constexpr double limit = 4e-6;

template <class B>
double error_on_host(const B& backend, const Problem& problem) {
  const Operands o(problem);
  auto c = o.c;
  auto products = o.all;
  products.first.a = o.a.data();
  products.first.b = o.b.data();
  products.first.c = c.data();
  utterance_products(backend, products);
  return o.want.error(c);
}

double error_on_cuda(ProductWay way, const Problem& problem) {
  const cuda::Using used(way);
  const Operands o(problem);
  const Floats a(o.a), b(o.b), c(o.c);
  auto products = o.all;
  products.first.a = a.memory.data();
  products.first.b = b.memory.data();
  products.first.c = c.memory.data();
  utterance_products(Cuda{}, products);
  return o.want.error(c.values());
}

}  // namespace

TEST_CASE("products of utterances see what their lengths say, on the host", "[products]") {
  for (const Problem& p : problems()) {
    INFO(text(p));
    CHECK(error_on_host(Reference{}, p) < limit);
    for (const int threads : {1, 2}) CHECK(error_on_host(Cpu{{}, threads, best_isa()}, p) < limit);
  }
}

TEST_CASE("products of utterances see what their lengths say, in each way on Cuda", "[cuda][products]") {
  if (no_gpu()) return;
  for (const Problem& p : problems()) {
    INFO(text(p));
    for (const ProductWay way : {ProductWay::by_size, ProductWay::library, ProductWay::tiles}) {
      INFO("way " << static_cast<int>(way));
      CHECK(error_on_cuda(way, p) < limit);
    }
  }
}

#ifdef PHONAUT_EMULATE_GPU
TEST_CASE("products of utterances take few launches", "[cuda][products]") {
  const auto launches = [](ProductWay way, const Problem& p) {
    const long before = emulator::launches();
    CHECK(error_on_cuda(way, p) < limit);
    return emulator::launches() - before;
  };
  // Lengths are brought by a launch of their own.
  const Problem even{5, 3, 9, 12, 9, {}}, ragged{5, 3, 9, 12, 9, {9, 1, 0, 4, 5}, true, false, true};
  CHECK(launches(ProductWay::tiles, even) == 1);
  CHECK(launches(ProductWay::by_size, even) == 1);
  CHECK(launches(ProductWay::tiles, ragged) == 2);
  CHECK(launches(ProductWay::by_size, ragged) == 2);
  // 480 tiles of 70 terms would keep 130 multiprocessors busy for 11 us, two calls of the library for 10.
  const Problem large{2, 20, 200, 140, 70, {70, 33}, false, false, true};
  CHECK(launches(ProductWay::by_size, large) == 0);  // those of the library do not count
  CHECK(launches(ProductWay::library, large) == 0);
}
#endif
