#pragma once
// Connectionist temporal classification: the likelihood of a sequence of labels whatever the moments at which they are
// heard. A. Graves et al., "Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent
// Neural Networks", 2006.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <vector>

#include "phonaut/core/math.hpp"
#include "phonaut/core/param.hpp"
#include "phonaut/losses/ctc_states.hpp"
#include "phonaut/losses/reduction.hpp"
#include "phonaut/ops/arithmetic.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/log_add.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

/// What was said in each utterance of a batch: classes, without blanks. See transcripts_of.
template <class B>
struct Transcripts {
  Tensor<B, 2, std::int32_t> labels;  ///< (N, U), padded with anything
  Lengths lengths;                    ///< (N), labels of each utterance, 0 … U
  Lengths needed;                     ///< (N), frames that they need: one each, one more between equal neighbours

  long batch() const { return lengths.size(); }
};

namespace detail {

template <class List>
long equal_neighbours(const List& list) {
  long count = 0;
  for (auto v = std::begin(list), end = std::end(list); v != end; ++v)
    if (v != std::begin(list)) count += *v == *std::prev(v);
  return count;
}

}  // namespace detail

/// Transcripts from a list of lists of whole numbers on the host, one list for each utterance.
template <class B, class Lists>
Transcripts<B> transcripts_of(Context<B>& ctx, const Lists& lists) {
  const long n = static_cast<long>(std::size(lists));
  Transcripts<B> out{{}, ctx.empty_lengths(n), ctx.empty_lengths(n)};
  long longest = 0, at = 0;
  for (const auto& list : lists) {
    const long length = static_cast<long>(std::size(list));
    out.lengths.data()[at] = length;
    out.needed.data()[at++] = length + detail::equal_neighbours(list);
    longest = std::max(longest, length);
  }
  out.labels = ctx.template empty_of<std::int32_t, 2>({n, longest});
  detail::fill_from_host(ctx, out.labels, [&](std::int32_t* to) {
    std::fill_n(to, n * longest, 0);
    for (const auto& list : lists) {
      std::transform(std::begin(list), std::end(list), to, [](auto v) { return static_cast<std::int32_t>(v); });
      to += longest;
    }
  });
  return out;
}

/// What to do with utterances that have fewer frames than their labels need.
enum class Impossible {
  refuse,   ///< throw ShapeError, naming the first of them
  zero,     ///< loss 0 and gradient 0 ("zero_infinity"); also where -inf among the logits leaves no path
  infinite  ///< loss infinity and gradient NaN in the frames of that utterance
};

struct CtcOptions {
  long blank = 0;  ///< the class that stands for "no label"
  Impossible impossible = Impossible::refuse;
};

namespace kernel {

/// With lp = log softmax(x) and l the states of an utterance, in log space:
///   α_0(s) = lp_0(l_s) for s < 2,   α_t(s) = lp_t(l_s) + log(e^α_{t-1}(s) + e^α_{t-1}(s-1) + [jump] e^α_{t-1}(s-2)),
///   log p = log(e^α_{T-1}(S-1) + e^α_{T-1}(S-2)),   loss = -log p.
/// `normaliser` (N, T) gets log Σ exp x, `alpha` (N, rows, S) row t % rows: all of them for the backward pass, or two
/// of them. `zero`: the loss of an utterance without any path is 0.
template <class S>
void ctc_forward(const Reference&, long blank, bool zero, View<const S, 3> x, const long* lengths,
                 View<const std::int32_t, 2> labels, const long* label_lengths, View<Wide<S>, 2> normaliser,
                 View<Wide<S>, 3> alpha, Wide<S>* log_likelihood, S* loss) {
  using detail::log_add;
  using math::exp;
  using math::log;
  using W = Wide<S>;
  const W none = W(-std::numeric_limits<double>::infinity());
  for (long n = 0; n < x.shape[0]; ++n) {
    const CtcStates states(labels, label_lengths, blank, n);
    const long time = lengths ? lengths[n] : x.shape[1], rows = alpha.shape[1];
    const auto row = [&](long t) { return alpha.data + n * alpha.stride[0] + t % rows * alpha.stride[1]; };
    for (long t = 0; t < time; ++t) {
      const S* from = x.data + n * x.stride[0] + t * x.stride[1];
      W largest = W(from[0]), total = 0;
      for (long c = 1; c < x.shape[2]; ++c)
        if (largest < W(from[c])) largest = W(from[c]);
      for (long c = 0; c < x.shape[2]; ++c) total += exp(W(from[c]) - largest);
      const W norm = normaliser(n, t) = largest + log(total);
      const W* before = t > 0 ? row(t - 1) : nullptr;
      W* now = row(t);
      for (long s = 0; s < states.count; ++s) {
        W reached = before ? before[s] : s < 2 ? W(0) : none;
        if (before && s > 0) reached = log_add(reached, before[s - 1]);
        if (before && states.jumps_to(s)) reached = log_add(reached, before[s - 2]);
        now[s] = reached == none ? none : reached + (W(from[states[s]]) - norm);
      }
    }
    W total = states.count == 1 ? W(0) : none;  // without a frame only silence is possible
    if (time > 0) {
      const W* last = row(time - 1) + states.count - 1;
      total = states.count > 1 ? log_add(last[0], last[-1]) : last[0];
    }
    log_likelihood[n] = total;
    loss[n] = zero && total == none ? S(0) : S(-total);
  }
}

/// β_t(s), without the frame t itself: β_{T-1}(s) = 0 for the last two states, and
///   β_t(s) = log Σ e^(lp_{t+1}(l_s') + β_{t+1}(s')) over the states s' that s leads to.
/// A path is in state s at time t with probability γ_t(s) = e^(α_t(s) + β_t(s) - log p), so that
///   dx_t(v) = dloss (softmax_t(v) - Σ_{s: l_s = v} γ_t(s)).
/// 0 behind the end. Without any path: 0 if `zero`, else NaN. `scratch` (N, 2 · S) is for two rows of β.
template <class S>
void ctc_backward(const Reference&, long blank, bool zero, const S* dloss, View<const S, 3> x, const long* lengths,
                  View<const std::int32_t, 2> labels, const long* label_lengths, View<const Wide<S>, 2> normaliser,
                  View<const Wide<S>, 3> alpha, const Wide<S>* log_likelihood, View<Wide<S>, 2> scratch,
                  Sink<S, 3> dx) {
  using detail::log_add;
  using math::exp;
  using W = Wide<S>;
  const W none = W(-std::numeric_limits<double>::infinity());
  const long classes = x.shape[2];
  for (long n = 0; n < x.shape[0]; ++n) {
    const CtcStates states(labels, label_lengths, blank, n);
    const long time = lengths ? lengths[n] : x.shape[1], last = states.count - 1;
    const bool impossible = log_likelihood[n] == none;
    const auto frame = [&](long t) { return x.data + n * x.stride[0] + t * x.stride[1]; };
    const auto beta = [&](long t) { return scratch.row(n) + t % 2 * alpha.shape[2]; };
    for (long t = x.shape[1]; t-- > 0;) {
      const long first = (n * x.shape[1] + t) * classes;
      if (t >= time || impossible) {
        const S g = t < time && !zero ? S(std::numeric_limits<double>::quiet_NaN()) : S(0);
        for (long c = 0; c < classes; ++c) dx.put(first + c, g);
        continue;
      }
      for (long c = 0; c < classes; ++c) dx.put(first + c, S(W(dloss[n]) * exp(W(frame(t)[c]) - normaliser(n, t))));
      for (long s = 0; s <= last; ++s) {
        W after = t == time - 1 && s + 2 > last ? W(0) : none;
        for (long next = s; t < time - 1 && next <= last && next <= s + 2; ++next) {
          if (next == s + 2 && !states.jumps_to(next)) continue;
          const W ahead = beta(t + 1)[next];
          if (ahead != none) after = log_add(after, ahead + (W(frame(t + 1)[states[next]]) - normaliser(n, t + 1)));
        }
        beta(t)[s] = after;
        dx.data[first + states[s]] -= S(W(dloss[n]) * exp(alpha(n, t, s) + after - log_likelihood[n]));
      }
    }
  }
}

void ctc_forward(const Cpu& cpu, long blank, bool zero, View<const float, 3> x, const long* lengths,
                 View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 2> normaliser,
                 View<double, 3> alpha, double* log_likelihood, float* loss);
void ctc_backward(const Cpu& cpu, long blank, bool zero, const float* dloss, View<const float, 3> x,
                  const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                  View<const double, 2> normaliser, View<const double, 3> alpha, const double* log_likelihood,
                  View<double, 2> scratch, Sink<float, 3> dx);
void ctc_forward(const Cuda& cuda, long blank, bool zero, View<const float, 3> x, const long* lengths,
                 View<const std::int32_t, 2> labels, const long* label_lengths, View<double, 2> normaliser,
                 View<double, 3> alpha, double* log_likelihood, float* loss);
void ctc_backward(const Cuda& cuda, long blank, bool zero, const float* dloss, View<const float, 3> x,
                  const long* lengths, View<const std::int32_t, 2> labels, const long* label_lengths,
                  View<const double, 2> normaliser, View<const double, 3> alpha, const double* log_likelihood,
                  View<double, 2> scratch, Sink<float, 3> dx);

}  // namespace kernel

namespace detail {

/// Throws ShapeError for a label that is the blank or no class, ConfigError for a blank that is no class.
template <class B>
void check_labels(const char* op, const Transcripts<B>& transcripts, long blank, long classes) {
  if (blank < 0 || blank >= classes)
    throw ConfigError(concat(op, ": the blank ", blank, " is none of the ", classes, " classes"));
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>)
    for (long n = 0; n < transcripts.batch(); ++n)
      for (long u = 0; u < transcripts.lengths.data()[n]; ++u)
        if (const long label = transcripts.labels.in()(n, u); label < 0 || label >= classes || label == blank)
          throw ShapeError(concat(op, ": label ", u, " of utterance ", n, " is ", label, ", but must be one of the ",
                                  classes, " classes other than the blank ", blank));
}

template <class B>
void check_ctc(const Sequence<B>& logits, const Transcripts<B>& transcripts, const CtcOptions& options) {
  const long classes = logits.channels();
  check_lengths("ctc", logits);
  if (transcripts.batch() != logits.batch())
    throw ShapeError(concat("ctc: there are ", transcripts.batch(), " transcripts for logits of shape ",
                            text(logits.frames.shape())));
  check_labels("ctc", transcripts, options.blank, classes);
  for (long n = 0; n < logits.batch(); ++n)
    if (options.impossible == Impossible::refuse && transcripts.needed.data()[n] > logits.length(n))
      throw ShapeError(concat("ctc: utterance ", n, " has ", logits.length(n), " frames, but its ",
                              transcripts.lengths.data()[n], " labels need ", transcripts.needed.data()[n]));
}

}  // namespace detail

/// -log p(labels | logits) in nats for each utterance of logits (N, T, classes), over the frames of its length -> (N).
/// Log-probabilities are logits too. Utterances without labels are all blank; memory is O(T · U).
/// Throws ShapeError if there are not as many transcripts as utterances, for a label that is the blank or no class, and
/// (unless `options.impossible` says otherwise) for an utterance with fewer frames than its labels need; ConfigError
/// for a blank that is no class.
template <class B>
Var<B, 1> ctc(const Sequence<B>& logits, const Transcripts<B>& transcripts, const CtcOptions& options = {}) {
  using W = kernel::Wide<typename B::Scalar>;
  detail::check_ctc(logits, transcripts, options);
  const Var<B, 3> x = logits.frames;
  auto& ctx = x.context();
  const long n = x.extent(0), time = x.extent(1), states = 2 * transcripts.labels.extent(1) + 1;
  const bool zero = options.impossible == Impossible::zero;
  const long rows = ctx.wants_gradient(x) ? time : std::min(time, 2L);
  const auto normaliser = ctx.template empty_of<W, 2>({n, time});
  const auto alpha = ctx.template empty_of<W, 3>({n, rows, states});
  const auto log_likelihood = ctx.template empty_of<W, 1>({n});
  auto loss = ctx.empty(Shape<1>{n});
  kernel::ctc_forward(ctx.backend(), options.blank, zero, x.in(), logits.length_data(), transcripts.labels.in(),
                      transcripts.lengths.data(), normaliser.out(), alpha.out(), log_likelihood.data(), loss.data());
  return record(
      std::move(loss),
      [=, lengths = logits.lengths, blank = options.blank](Context<B>& c, const Tensor<B, 1>& dloss) {
        auto dx = c.sink(x);
        if (!dx) return;
        const auto scratch = c.template empty_of<W, 2>({n, 2 * states});
        kernel::ctc_backward(c.backend(), blank, zero, static_cast<const typename B::Scalar*>(dloss.data()), x.in(),
                             lengths ? lengths.data() : nullptr, transcripts.labels.in(), transcripts.lengths.data(),
                             normaliser.in(), alpha.in(), static_cast<const W*>(log_likelihood.data()), scratch.out(),
                             dx);
      },
      x);
}

/// `ctc` of the whole batch: the sum over utterances, or the mean over them of the loss per label (that of an utterance
/// without labels as it is). Throws as `ctc`.
template <class B>
Var<B, 0> ctc_loss(const Sequence<B>& logits, const Transcripts<B>& transcripts, Reduction reduction = Reduction::mean,
                   const CtcOptions& options = {}) {
  const Var<B, 1> losses = ctc(logits, transcripts, options);
  if (reduction == Reduction::sum) return sum(losses);
  std::vector<double> share;
  for (long n = 0; n < transcripts.batch(); ++n)
    share.push_back(1.0 / static_cast<double>(transcripts.batch() * std::max(1L, transcripts.lengths.data()[n])));
  return sum(input(losses.context(), losses.shape(), share) * losses);
}

}  // namespace phonaut
