#pragma once
// Generation of codes by filling in what is hidden: which codes a training step hides, what a guess of them costs, and
// in which order a decoder reveals them. J. Austin et al., "Structured Denoising Diffusion Models in Discrete
// State-Spaces" (D3PM), 2021; H. Chang et al., "MaskGIT: Masked Generative Image Transformer", 2022; Z. Borsos et al.,
// "SoundStorm: Efficient Parallel Audio Generation", 2023; S. S. Sahoo et al., "Simple and Effective Masked Diffusion
// Language Models" (MDLM), 2024.
#include <algorithm>
#include <cmath>
#include <vector>

#include "phonaut/losses/masked_cross_entropy.hpp"
#include "phonaut/quantizers/codes.hpp"

namespace phonaut {

/// Which share of the codes is still hidden when a part r of the way from noise to data is done: 1 at r = 0, 0 at 1.
enum class MaskSchedule {
  cosine,  ///< cos(πr / 2): MaskGIT, SoundStorm
  linear,  ///< 1 - r: D3PM with an absorbing state, MDLM's log-linear noise
  square,  ///< 1 - r²
  cube,    ///< 1 - r³
  root     ///< 1 - √r
};

/// The share that is hidden. Throws ConfigError for r outside of [0, 1].
inline double hidden_share(MaskSchedule schedule, double r) {
  if (!(r >= 0 && r <= 1)) throw ConfigError(concat("hidden_share: ", r, " is no part of a way; need 0 … 1"));
  switch (schedule) {
    case MaskSchedule::cosine:
      return std::cos(1.57079632679489661923 * r);
    case MaskSchedule::square:
      return 1 - r * r;
    case MaskSchedule::cube:
      return 1 - r * r * r;
    case MaskSchedule::root:
      return 1 - std::sqrt(r);
    case MaskSchedule::linear:
      break;
  }
  return 1 - r;
}
/// What the cross-entropies of hidden codes weigh in the bound on -log p (D3PM's, in continuous time): with γ the
/// hidden share, -γ' / γ. 1 / (1 - r) for the linear schedule, 1 / t for noise at time t = 1 - r. Throws ConfigError
/// for r outside of (0, 1).
inline double bound_weight(MaskSchedule schedule, double r) {
  if (!(r > 0 && r < 1)) throw ConfigError(concat("bound_weight: at ", r, " of the way the bound has no weight"));
  constexpr double quarter = 1.57079632679489661923;
  switch (schedule) {
    case MaskSchedule::cosine:
      return quarter * std::tan(quarter * r);
    case MaskSchedule::square:
      return 2 * r / (1 - r * r);
    case MaskSchedule::cube:
      return 3 * r * r / (1 - r * r * r);
    case MaskSchedule::root:
      return 0.5 / (std::sqrt(r) - r);
    case MaskSchedule::linear:
      break;
  }
  return 1 / (1 - r);
}

/// How many of `codes` codes are still hidden after step 1 … `steps` of a decoder: ⌊γ(step / steps) codes⌋, so that the
/// last step leaves none. Throws ConfigError for a step that is none of them.
inline long hidden_after(MaskSchedule schedule, long step, long steps, long codes) {
  if (step < 1 || step > steps || codes < 0)
    throw ConfigError(concat("hidden_after: step ", step, " of ", steps, " with ", codes, " codes"));
  if (step == steps) return 0;
  return static_cast<long>(hidden_share(schedule, static_cast<double>(step) / static_cast<double>(steps)) *
                           static_cast<double>(codes));
}

/// Which frames stay hidden when `count` of those in `marks` may: those guessed with the least confidence (a number for
/// each frame, such as the log-probability of the guess, with as much noise as wanted); the earlier of two that are
/// equal. Throws ShapeError for another number of confidences or more frames than are hidden.
inline std::vector<char> least_confident(const std::vector<double>& confidence, const std::vector<char>& marks,
                                         long count) {
  std::vector<size_t> hidden;
  for (size_t i = 0; i < marks.size(); ++i)
    if (marks[i]) hidden.push_back(i);
  if (confidence.size() != marks.size() || count < 0 || count > static_cast<long>(hidden.size()))
    throw ShapeError(concat("least_confident: ", count, " of ", hidden.size(), " hidden frames, with ", marks.size(),
                            " marks and ", confidence.size(), " confidences"));
  std::stable_sort(hidden.begin(), hidden.end(), [&](size_t a, size_t b) { return confidence[a] < confidence[b]; });
  std::vector<char> kept(marks.size(), 0);
  for (long k = 0; k < count; ++k) kept[hidden[static_cast<size_t>(k)]] = 1;
  return kept;
}

struct MaskDraw {
  MaskSchedule schedule = MaskSchedule::cosine;
  bool exact = true;  ///< ⌈γ T⌉ frames of each utterance, as MaskGIT; else each frame for itself, as diffusion has it
  bool spread = false;   ///< the r of a batch at equal distances from one draw on, so that they cover [0, 1) (MDLM)
  double margin = 1e-3;  ///< r is in [margin, 1 - margin], so that weights are finite
};

/// What a training step hides.
struct MaskedFrames {
  std::vector<char> marks;      ///< (N · T), 1: hidden; for replace_frames and the losses
  std::vector<double> way;      ///< (N), r of each utterance, uniform
  std::vector<double> weights;  ///< (N), its bound_weight
};

/// Draws from the context which frames of (N, T) are hidden, with an r for each utterance; padding never is. Throws
/// ConfigError for a margin outside of (0, 1/2), ShapeError for lengths that do not fit.
template <class B>
MaskedFrames draw_masked_frames(Context<B>& ctx, long batch, long time, const Lengths& lengths,
                                const MaskDraw& o = {}) {
  check_lengths("draw_masked_frames", Shape<2>{batch, time}, lengths);
  if (!(o.margin > 0 && o.margin < 0.5))
    throw ConfigError(concat("draw_masked_frames: the margin must be in (0, 1/2), got ", o.margin));
  MaskedFrames out{std::vector<char>(static_cast<size_t>(batch * time), 0), {}, {}};
  const Draws ways = ctx.random().take(std::max(1L, batch)), each = ctx.random().take(batch * time);
  std::vector<long> order;
  for (long n = 0; n < batch; ++n) {
    double u = static_cast<double>(ways.uniform(o.spread ? 0 : n));
    if (o.spread) u = std::fmod(u + static_cast<double>(n) / static_cast<double>(batch), 1.0);
    const double r = o.margin + (1 - 2 * o.margin) * u, share = hidden_share(o.schedule, r);
    out.way.push_back(r);
    out.weights.push_back(bound_weight(o.schedule, r));
    const long length = lengths ? lengths.data()[n] : time;
    char* const marks = out.marks.data() + n * time;
    if (!o.exact) {
      for (long t = 0; t < length; ++t) marks[t] = static_cast<double>(each.uniform(n * time + t)) < share;
      continue;
    }
    // The first places of a shuffle.
    order.resize(static_cast<size_t>(length));
    for (long t = 0; t < length; ++t) order[static_cast<size_t>(t)] = t;
    const long hidden = std::min(length, static_cast<long>(std::ceil(share * static_cast<double>(length))));
    for (long k = 0; k < hidden; ++k) {
      std::swap(order[static_cast<size_t>(k)], order[static_cast<size_t>(k + each.below(length - k, n * time + k))]);
      marks[order[static_cast<size_t>(k)]] = 1;
    }
  }
  return out;
}

/// What a step of SoundStorm's training hides of codes (N, T, Q), and what of that is to be guessed.
struct MaskedCodes {
  std::vector<char> hidden;  ///< (N · T · Q)
  std::vector<char> guess;   ///< (N · T), 1: hidden in the utterance's own level, which is the one to be guessed
  std::vector<long> level;   ///< (N), 0 … Q - 1
  std::vector<long> prompt;  ///< (N), frames at the start of which nothing is hidden
};

/// Draws from the context, for each utterance: a prompt of 0 … length - 1 frames (0 with `prompts` off) and a level.
/// Behind the prompt all finer levels are hidden, and of that level each frame with the probability cos u, u uniform in
/// [0, π / 2); coarser levels are shown. Padding is hidden nowhere. Throws ConfigError for no levels, ShapeError for
/// lengths that do not fit.
template <class B>
MaskedCodes draw_masked_codes(Context<B>& ctx, long batch, long time, long levels, const Lengths& lengths,
                              bool prompts = true) {
  check_lengths("draw_masked_codes", Shape<2>{batch, time}, lengths);
  if (levels < 1) throw ConfigError(concat("draw_masked_codes: codes of ", levels, " levels cannot be hidden"));
  MaskedCodes out{std::vector<char>(static_cast<size_t>(batch * time * levels), 0),
                  std::vector<char>(static_cast<size_t>(batch * time), 0),
                  {},
                  {}};
  const Draws own = ctx.random().take(4 * batch), each = ctx.random().take(batch * time);
  for (long n = 0; n < batch; ++n) {
    const long length = lengths ? lengths.data()[n] : time;
    out.prompt.push_back(prompts && length > 0 ? own.below(length, 4 * n) : 0);
    out.level.push_back(own.below(levels, 4 * n + 1));
    const double share = hidden_share(MaskSchedule::cosine, static_cast<double>(own.uniform(4 * n + 2)));
    for (long t = out.prompt.back(); t < length; ++t) {
      const long at = n * time + t;
      out.guess[static_cast<size_t>(at)] = static_cast<double>(each.uniform(at)) < share;
      for (long q = out.level.back(); q < levels; ++q)
        out.hidden[static_cast<size_t>(at * levels + q)] = q > out.level.back() || out.guess[static_cast<size_t>(at)];
    }
  }
  return out;
}

/// Codes with another id, such as a mask's own, where they are hidden. Throws ShapeError for another number of marks.
template <class B>
Codes<B> hide_codes(Context<B>& ctx, const Codes<B>& codes, const std::vector<char>& hidden, std::int32_t mask) {
  if (static_cast<long>(hidden.size()) != codes.size() || !codes.contiguous())
    throw ShapeError(concat("hide_codes: codes ", text(codes.shape()), " are ", codes.size(), ", but there are ",
                            hidden.size(), " marks"));
  auto out = ctx.template empty_of<std::int32_t>(codes.shape());
  detail::read_on_host(ctx, codes, [&](const std::int32_t* from) {
    detail::fill_from_host(ctx, out, [&](std::int32_t* to) {
      for (long i = 0; i < codes.size(); ++i) to[i] = hidden[static_cast<size_t>(i)] ? mask : from[i];
    });
  });
  return out;
}

/// Σ over utterances of weights[n] Σ over their hidden frames of the cross-entropy, by the number of all real frames:
/// with the weights of `draw_masked_frames` (and `exact` off), its expectation is the bound on -log p of a frame, in
/// nats; with weights of 1 it is the loss of MaskGIT, and of discrete flow matching. Logits (N, T, V), a label and a
/// mark for each frame. Throws as `masked_cross_entropy`, and ShapeError unless there are N weights.
template <class B, class Values>
Var<B, 0> masked_diffusion_loss(const Sequence<B>& logits, const Values& labels, const std::vector<char>& marks,
                                const std::vector<double>& weights) {
  using S = typename B::Scalar;
  detail::check_labels_and_marks("masked_diffusion_loss", logits, labels, marks);
  if (static_cast<long>(weights.size()) != logits.batch())
    throw ShapeError(
        concat("masked_diffusion_loss: there are ", weights.size(), " weights for ", logits.batch(), " utterances"));
  auto& ctx = logits.context();
  long frames = 0;
  for (long n = 0; n < logits.batch(); ++n) frames += logits.length(n);
  Var<B, 0> total = ctx.constant(ctx.zeros(Shape<0>{}));
  for (long n = 0; n < logits.batch(); ++n) {
    std::vector<long> chosen;
    for (long t = 0; t < logits.length(n); ++t) {
      const size_t at = static_cast<size_t>(n * logits.time() + t);
      chosen.push_back(marks[at] ? static_cast<long>(std::data(labels)[at]) : -1);
    }
    if (chosen.empty()) continue;
    const auto own = slice(slice(logits.frames, 0, n, n + 1), 1, 0, logits.length(n));
    const double weight = weights[static_cast<size_t>(n)] / static_cast<double>(frames);
    total = total + S(weight) * cross_entropy(own, labels_of(ctx, chosen), {.reduction = Reduction::sum});
  }
  return total;
}

}  // namespace phonaut
