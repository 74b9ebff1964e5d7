#pragma once
// Cross-entropy of logits against labels, with label smoothing. C. Szegedy et al., "Rethinking the Inception
// Architecture for Computer Vision", 2016.
#include <cstdint>

#include "phonaut/core/math.hpp"
#include "phonaut/losses/reduction.hpp"
#include "phonaut/ops/frames.hpp"
#include "phonaut/ops/wide.hpp"

namespace phonaut {

/// Labels, one for each row of logits. A negative one means "ignore this row".
template <class B>
using Labels = Tensor<B, 1, std::int32_t>;

struct CrossEntropyOptions {
  double smoothing = 0;                   ///< share of the target that is uniform over all classes
  Reduction reduction = Reduction::mean;  ///< over the rows that are not ignored
};

namespace kernel {

/// Row by row, with p = softmax(x): loss = -(1 - s) log p_label - s mean_v log p_v. `normaliser` (rows) gets
/// log Σ exp x, `row_loss` (rows) the losses, 0 where the label is negative; *scale becomes 1, or 1 / counted rows for
/// the mean (0 if there is none), and *loss = *scale Σ row_loss.
template <class S>
void cross_entropy_forward(const Reference&, double smoothing, bool mean, View<const S, 2> x,
                           View<const std::int32_t, 1> label, S* normaliser, S* row_loss, S* scale, S* loss) {
  using math::exp;
  using math::log;
  using W = Wide<S>;
  const long classes = x.shape[1];
  W total = 0;
  long counted = 0;
  for (long r = 0; r < x.shape[0]; ++r) {
    normaliser[r] = row_loss[r] = S(0);
    if (label.data[r] < 0) continue;
    const S* from = x.row(r);
    W largest = W(from[0]), sum = 0, plain = 0;
    for (long c = 1; c < classes; ++c)
      if (largest < W(from[c])) largest = W(from[c]);
    for (long c = 0; c < classes; ++c) sum += exp(W(from[c]) - largest);
    const W norm = largest + log(sum);
    W row = W(1 - smoothing) * (norm - W(from[label.data[r]]));
    if (smoothing != 0) {
      for (long c = 0; c < classes; ++c) plain += W(from[c]);
      row += W(smoothing) * (norm - plain / W(double(classes)));
    }
    normaliser[r] = S(norm);
    row_loss[r] = S(row);
    total += row;
    ++counted;
  }
  const double factor = !mean ? 1.0 : counted > 0 ? 1.0 / static_cast<double>(counted) : 0.0;
  *scale = S(factor);
  *loss = S(W(factor) * total);
}
/// dx = gain · scale · (p - (1 - s) onehot(label) - s / classes); 0 in ignored rows.
template <class S>
void cross_entropy_backward(const Reference&, double smoothing, const S* gain, const S* scale, View<const S, 2> x,
                            View<const std::int32_t, 1> label, const S* normaliser, Sink<S, 2> dx) {
  using math::exp;
  const long classes = x.shape[1];
  const S factor = *gain * *scale, uniform = S(smoothing / static_cast<double>(classes));
  for (long r = 0; r < x.shape[0]; ++r)
    for (long c = 0; c < classes; ++c) {
      const S target = (c == label.data[r] ? S(1 - smoothing) : S(0)) + uniform;
      dx.put(r * classes + c, label.data[r] < 0 ? S(0) : factor * (exp(x.row(r)[c] - normaliser[r]) - target));
    }
}

void cross_entropy_forward(const Cpu& cpu, double smoothing, bool mean, View<const float, 2> x,
                           View<const std::int32_t, 1> label, float* normaliser, float* row_loss, float* scale,
                           float* loss);
void cross_entropy_backward(const Cpu& cpu, double smoothing, const float* gain, const float* scale,
                            View<const float, 2> x, View<const std::int32_t, 1> label, const float* normaliser,
                            Sink<float, 2> dx);
void cross_entropy_forward(const Cuda& cuda, double smoothing, bool mean, View<const float, 2> x,
                           View<const std::int32_t, 1> label, float* normaliser, float* row_loss, float* scale,
                           float* loss);
void cross_entropy_backward(const Cuda& cuda, double smoothing, const float* gain, const float* scale,
                            View<const float, 2> x, View<const std::int32_t, 1> label, const float* normaliser,
                            Sink<float, 2> dx);

}  // namespace kernel

/// Labels from any list of whole numbers on the host.
template <class B, class Values>
Labels<B> labels_of(Context<B>& ctx, const Values& values) {
  Labels<B> labels = ctx.template empty_of<std::int32_t, 1>({static_cast<long>(std::size(values))});
  detail::fill_from_host(ctx, labels, [&](std::int32_t* to) {
    for (auto v : values) *to++ = static_cast<std::int32_t>(v);
  });
  return labels;
}

/// Cross-entropy of logits (…, classes) against one label for each row, mean (or sum) over the rows that are not
/// ignored; 0 if all are. With smoothing s the target is (1 - s) onehot + s / classes: the uniform part includes the
/// label's own class. Logits of minus infinity take no part (without smoothing).
/// Throws ShapeError for a label beyond the classes or another number of labels than rows, ConfigError for smoothing
/// outside of [0, 1].
template <class B, size_t R>
Var<B, 0> cross_entropy(const Var<B, R>& any, const Labels<B>& labels, const CrossEntropyOptions& options = {}) {
  static_assert(R >= 1, "cross_entropy: logits are (…, classes)");
  const Var<B, R> x = rowwise(any);
  auto& ctx = x.context();
  const auto rows = as_rows(x.in());
  if (labels.size() != rows.shape[0])
    throw ShapeError(
        concat("cross_entropy: there are ", labels.size(), " labels for logits of shape ", text(x.shape())));
  if (!(options.smoothing >= 0 && options.smoothing <= 1))
    throw ConfigError(concat("cross_entropy: smoothing must be in [0, 1], got ", options.smoothing));
  if constexpr (std::is_same_v<typename B::Memory, HostMemory>)
    for (long r = 0; r < labels.size(); ++r)
      if (labels.data()[r] >= rows.shape[1])
        throw ShapeError(concat("cross_entropy: label ", labels.data()[r], " of row ", r, " is beyond the ",
                                rows.shape[1], " classes"));
  const Tensor<B, 1> normaliser = ctx.empty(Shape<1>{rows.shape[0]}), row_loss = ctx.empty(Shape<1>{rows.shape[0]});
  const Tensor<B, 0> scale = ctx.empty(Shape<0>{});
  auto loss = ctx.empty(Shape<0>{});
  kernel::cross_entropy_forward(ctx.backend(), options.smoothing, options.reduction == Reduction::mean, rows,
                                labels.in(), normaliser.data(), row_loss.data(), scale.data(), loss.data());
  return record(
      std::move(loss),
      [x, labels, normaliser, scale, smoothing = options.smoothing](Context<B>& c, const Tensor<B, 0>& dloss) {
        using S = typename B::Scalar;
        if (auto dx = c.sink(x))
          kernel::cross_entropy_backward(c.backend(), smoothing, static_cast<const S*>(dloss.data()),
                                         static_cast<const S*>(scale.data()), as_rows(x.in()), labels.in(),
                                         static_cast<const S*>(normaliser.data()), as_rows(dx));
      },
      x);
}

}  // namespace phonaut
