// Handlers of metrics over sequences of symbols.
#include "phonaut/metrics/wer.hpp"
#include "registry.hpp"

namespace phonaut::golden {
namespace {

const Register wer_op("loss.metric_wer", [](auto& g) {
  const auto symbols = [&](const std::string& key) {
    auto list = g.integers(key);
    if (list == std::vector<long>{-1}) list.clear();  // how the files write an empty sequence
    return list;
  };
  EditCounts all;
  std::vector<long> errors, split;
  for (long i = 0; g.has("input.ref" + std::to_string(i)); ++i) {
    const EditCounts edits =
        count_edits(symbols("input.ref" + std::to_string(i)), symbols("input.hyp" + std::to_string(i)));
    errors.push_back(edits.errors());
    split.insert(split.end(), {edits.substitutions, edits.deletions, edits.insertions});
    all += edits;
  }
  g.output("edits", errors);
  g.output("sub_del_ins_jiwer", split);
  g.output("wer", std::vector<double>{all.rate()});
});

}  // namespace
}  // namespace phonaut::golden
