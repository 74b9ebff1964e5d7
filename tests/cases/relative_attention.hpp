#include "case.hpp"
#include "phonaut/ops/relative_attention.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(relative_attention) {
  struct Sizes {
    long batch, time, heads, query, place, chunk, left;
    std::vector<long> lengths;
    Padding padding;
  };
  const auto masked = Padding::masked, reference = Padding::reference;
  for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1, 1, -1, -1, {}, masked},
                                           {2, 9, 4, 4, 2, -1, -1, {}, masked},
                                           {3, 7, 2, 3, 2, -1, -1, {7, 0, 4}, masked},
                                           {3, 7, 2, 3, 2, -1, -1, {7, 0, 4}, reference},
                                           {1, 21, 2, 8, 4, 4, 1, {}, masked},
                                           {2, 21, 2, 8, 4, 4, 2, {21, 6}, masked},
                                           {2, 21, 2, 8, 4, 4, 2, {21, 6}, reference},
                                           {1, 19, 3, 32, 4, 6, -1, {}, masked},
                                           {2, 40, 1, 32, 5, -1, -1, {33, 40}, masked},
                                           {1, 70, 1, 17, 4, 16, 1, {}, masked},         // several tiles and blocks
                                           {2, 67, 1, 5, 1, 9, 0, {67, 23}, reference},  // spans that hardly overlap
                                           {1, 260, 1, 2, 3, -1, -1, {259}, masked},     // more than a group of queries
                                           {8, 50, 4, 32, 4, -1, -1, {}, masked},
                                           {8, 100, 4, 32, 4, -1, -1, {}, masked},
                                           {1, 500, 4, 32, 4, -1, -1, {}, masked},
                                           {1, 1000, 4, 32, 4, -1, -1, {}, masked},
                                           {1, 1000, 4, 32, 4, 64, -1, {}, masked},
                                           {8, 250, 4, 32, 4, -1, -1, {}, masked}}) {
    const long width = s.heads * (2 * s.query + s.place), batch = s.batch, time = s.time;
    const double all = double(batch * s.heads * time * time);
    const bool small = batch * time <= 260;
    add(concat(batch, "x", time, " heads ", s.heads, " chunk ", s.chunk, s.padding == reference ? " reference" : "",
               s.lengths.empty() ? "" : " padded"),
        inputs(normal(Shape<3>{batch, time, width}, 1, 0.5), normal(Shape<2>{2 * time - 1, s.heads * s.place}, 2)),
        [s](const auto& x, const auto& r) {
          using B = typename std::remove_cvref_t<decltype(x)>::Backend;
          Sequence<B> frames{x, {}, 0};
          if (!s.lengths.empty()) frames.lengths = lengths_of(x.context(), s.lengths);
          return relative_attention_weights(frames, r,
                                            {.heads = s.heads,
                                             .query_width = s.query,
                                             .position_width = s.place,
                                             .chunk = s.chunk,
                                             .left_chunks = s.left,
                                             .padding = s.padding});
        },
        // Scores of the order of 8 carry a rounding error of some 1e-6, which the exponential turns into a relative
        // one.
        {.tolerance = 64 * eps,
         .gradient = 256 * eps,
         .bytes = 4.0 * all,
         .flops = all * (2.0 * double(s.query + s.place) + 10),
         .check = small,
         .time = !small || time <= 40});
  }
  // Chunks of streams: keys of the past in front of their own, of which late starters have fewer.
  struct Chunk {
    long batch, time, past, heads, query, place;
    std::vector<long> lengths, first;
    Padding padding;
  };
  for (const Chunk& s : std::vector<Chunk>{{1, 1, 3, 1, 1, 1, {}, {}, masked},
                                           {2, 4, 6, 4, 4, 2, {}, {0, 4}, masked},
                                           {3, 5, 19, 2, 8, 4, {5, 2, 0}, {0, 19, 19}, masked},
                                           {3, 5, 19, 2, 8, 4, {5, 2, 0}, {0, 19, 19}, reference},
                                           {1, 40, 30, 2, 32, 5, {}, {7}, masked},
                                           {8, 32, 128, 4, 32, 4, {}, {}, masked}}) {
    const long keys = s.past + s.time, width = s.heads * (2 * s.query + s.place);
    const double all = double(s.batch * s.heads * s.time * keys);
    add(concat(s.batch, "x", s.time, " after ", s.past, " heads ", s.heads, s.padding == reference ? " reference" : "",
               s.lengths.empty() ? "" : " padded"),
        inputs(normal(Shape<3>{s.batch, s.time, width}, 1, 0.5),
               normal(Shape<3>{s.batch, keys, s.heads * s.query}, 2, 0.5),
               normal(Shape<2>{s.time + keys - 1, s.heads * s.place}, 3)),
        [s](const auto& x, const auto& k, const auto& r) {
          using B = typename std::remove_cvref_t<decltype(x)>::Backend;
          const auto list = [&](const std::vector<long>& values) {
            return values.empty() ? Lengths() : lengths_of(x.context(), values);
          };
          return relative_attention_weights(
              Sequence<B>{x, list(s.lengths), 0}, StreamedKeys<B>{k, list(s.first)}, r,
              {.heads = s.heads, .query_width = s.query, .position_width = s.place, .padding = s.padding});
        },
        {.tolerance = 64 * eps,  // as above
         .gradient = 256 * eps,
         .bytes = 4.0 * all,
         .flops = all * (2.0 * double(s.query + s.place) + 10),
         .check = s.batch < 8});
  }
}

}  // namespace
