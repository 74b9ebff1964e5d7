#include "case.hpp"
#include "phonaut/losses/ctc.hpp"

namespace {
using namespace phonaut;
using namespace phonaut::testing;

CASES(ctc) {
  using Labels = std::vector<std::vector<long>>;
  /// `length` labels other than the blank, every third one like its neighbour.
  const auto some_labels = [](long length, long classes, long blank, long seed) {
    std::vector<long> labels;
    for (long u = 0; u < length; ++u) {
      const long v = (seed + u / 3 * 5 + u % 3 / 2) % (classes - 1);
      labels.push_back(v + (v >= blank));
    }
    return labels;
  };
  const auto add_case = [&](const std::string& name, const Shape<3>& shape, const Labels& labels,
                            const std::vector<long>& lengths, CtcOptions options, double spread = 2,
                            bool time = false) {
    // The loss is summed up in double and rounded once. Gradients are differences of probabilities, which have the
    // error of their exponents: a few ulp of numbers as large as the logits.
    add(name, inputs(normal(shape, 1, spread)),
        [=](const auto& x) { return ctc(sequence_of(x, lengths), transcripts_of(x.context(), labels), options); },
        {.tolerance = eps,
         .gradient = (8 + spread) * eps,
         .bytes = 4.0 * static_cast<double>(element_count(shape)) +
                  8.0 * static_cast<double>(shape[0] * shape[1] * (2 * static_cast<long>(labels.front().size()) + 1)),
         .check = !time,
         .time = time});
  };
  for (const long blank : {0L, 2L, 4L}) {
    const auto some = [&](long length, long seed) { return some_labels(length, 5, blank, seed); };
    const std::string name = "blank " + std::to_string(blank);
    add_case(name, {3, 9, 5}, {some(3, 0), some(1, 1), some(2, 2)}, {9, 7, 5}, {.blank = blank});
    add_case(name + ", no labels", {2, 4, 5}, {{}, some(1, 3)}, {4, 4}, {.blank = blank});
    add_case(name + ", not a frame to spare", {2, 8, 5}, {some(5, 0), some(2, 1)}, {8, 3}, {.blank = blank});
    // More states than a register has lanes, and a remainder.
    add_case(name + ", long", {2, 70, 5}, {some(20, 0), some(33, 1)}, {61, 70}, {.blank = blank});
  }
  add_case("one class", {2, 3, 1}, {{}, {}}, {3, 1}, {});
  add_case("many classes", {1, 12, 37}, {some_labels(5, 37, 0, 3)}, {12}, {});
  // Confident logits: the forward probabilities spread over hundreds of nats.
  add_case("confident", {1, 60, 7}, {some_labels(25, 7, 0, 1)}, {60}, {}, 20);
  add_case("impossible, left out", {3, 4, 5}, {{1, 1, 1}, {1, 2}, {3}}, {4, 4, 0}, {.impossible = Impossible::zero});
  // Four utterances of 20 s at 25 Hz, 500 word pieces, 80 of them spoken.
  const auto said = some_labels(80, 500, 0, 1);
  add_case("4x500x500, 80 labels", {4, 500, 500}, {said, said, said, said}, {500, 500, 450, 400}, {}, 2, true);
}

}  // namespace
