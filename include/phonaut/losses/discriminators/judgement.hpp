#pragma once
// What discriminators return, and several of them as one.
#include <utility>
#include <vector>

#include "phonaut/core/waveform.hpp"

namespace phonaut {

/// What a discriminator says of a batch of waveforms: how real each place sounds, and what its layers saw, for feature
/// matching (losses/adversarial.hpp). The ranks are those of the discriminator's images.
template <class B, size_t R>
struct Judgement {
  Var<B, R> score;
  std::vector<Var<B, R>> maps;
};

/// Several discriminators of one kind that hear the same: a list of scores, and a list of all maps.
template <class B, class Discriminator>
struct Discriminators {
  std::vector<Discriminator> all;

  /// One for each configuration.
  template <class Configs>
  Discriminators(Context<B>& ctx, const Configs& configs) {
    for (const auto& config : configs) all.emplace_back(ctx, config);
  }

  auto operator()(const Waveform<B>& x) const {
    constexpr size_t R = Discriminator::rank;
    std::pair<std::vector<Var<B, R>>, std::vector<Var<B, R>>> out;
    for (const auto& one : all) {
      Judgement<B, R> said = one(x);
      out.first.push_back(std::move(said.score));
      for (auto& map : said.maps) out.second.push_back(std::move(map));
    }
    return out;
  }

  static void visit(auto& self, auto&& f) { f("discriminators", self.all); }
};

namespace detail {

/// Discriminators take batches of equal length: cut them, as training does. Throws ShapeError for padded waveforms.
template <class B>
void check_unpadded(const char* op, const Waveform<B>& x) {
  check_lengths(op, x);
  for (long n = 0; n < x.batch(); ++n)
    if (x.length(n) != x.time())
      throw ShapeError(concat(op, ": utterance ", n, " has ", x.length(n), " of ", x.time(),
                              " samples; a discriminator needs waveforms of one length"));
}

}  // namespace detail
}  // namespace phonaut
