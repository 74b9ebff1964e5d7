#pragma once
// What the library holds compiled for the Cpu. Programs that include phonaut.hpp link these instead of compiling them
// again, which halves the time that a small encoder takes to compile. The list is a choice, not a duty: whatever is not
// here is compiled where it is used. src/cpu/compiled.cpp turns the same list into definitions.
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/frontends/log_mel.hpp"
#include "phonaut/layers/conv1d.hpp"
#include "phonaut/layers/norms.hpp"
#include "phonaut/layers/transformer.hpp"
#include "phonaut/quantizers/fsq.hpp"
#include "phonaut/quantizers/rvq.hpp"
#include "phonaut/training/adamw.hpp"
#include "phonaut/training/scaled_adam.hpp"

#ifndef PHONAUT_COMPILED
#define PHONAUT_COMPILED extern template
#endif

namespace phonaut {

PHONAUT_COMPILED class Context<Cpu>;

PHONAUT_COMPILED Var<Cpu, 2> linear(const Var<Cpu, 2>&, Weight<Cpu, 2>, Weight<Cpu, 1>);
PHONAUT_COMPILED Var<Cpu, 3> linear(const Var<Cpu, 3>&, Weight<Cpu, 2>, Weight<Cpu, 1>);
PHONAUT_COMPILED Var<Cpu, 3> bias_norm(const Var<Cpu, 3>&, Weight<Cpu, 1>, Weight<Cpu, 0>);
PHONAUT_COMPILED Var<Cpu, 3> layer_norm(const Var<Cpu, 3>&, Weight<Cpu, 1>, Weight<Cpu, 1>, double);
PHONAUT_COMPILED Sequence<Cpu> conv1d(const Sequence<Cpu>&, Weight<Cpu, 3>, Weight<Cpu, 1>, const ConvGrid&, long);
PHONAUT_COMPILED Sequence<Cpu> detail::convolve(const Sequence<Cpu>&, const Weight<Cpu, 3>&, const Weight<Cpu, 1>&,
                                                const ConvGrid&, long, kernel::Activation);
PHONAUT_COMPILED Var<Cpu, 3> depthwise_conv1d(const Var<Cpu, 3>&, Weight<Cpu, 3>, Weight<Cpu, 1>, long);
PHONAUT_COMPILED Sequence<Cpu> chunk_causal_conv1d(const Sequence<Cpu>&, const ChunkCausalWeights<Cpu>&, long, Padding);
PHONAUT_COMPILED Var<Cpu, 4> relative_attention_weights(const Sequence<Cpu>&, const Var<Cpu, 2>&,
                                                        const RelativeAttentionOptions&);
PHONAUT_COMPILED Var<Cpu, 3> attend(const Var<Cpu, 4>&, const Var<Cpu, 3>&, long, const Lengths&);
PHONAUT_COMPILED Sequence<Cpu> weighted_downsample(const Sequence<Cpu>&, Weight<Cpu, 1>, Padding);
PHONAUT_COMPILED Var<Cpu, 3> activation_linear(const Var<Cpu, 3>&, Weight<Cpu, 2>, Weight<Cpu, 1>, formula::SwooshL,
                                               const Tensor<Cpu, 2>&);
PHONAUT_COMPILED Var<Cpu, 3> activation_linear(const Var<Cpu, 3>&, Weight<Cpu, 2>, Weight<Cpu, 1>, formula::SwooshR,
                                               const Tensor<Cpu, 2>&);
PHONAUT_COMPILED Var<Cpu, 3> bypass(const Var<Cpu, 3>&, const Var<Cpu, 3>&, Weight<Cpu, 1>, long);
PHONAUT_COMPILED Var<Cpu, 3> balance(const Var<Cpu, 3>&, const BalanceOptions&, const Lengths&);
PHONAUT_COMPILED Var<Cpu, 3> whiten(const Var<Cpu, 3>&, const WhitenOptions&, const Lengths&);
PHONAUT_COMPILED Sequence<Cpu> penalize_scores(const Sequence<Cpu>&, const Var<Cpu, 2>&,
                                               const RelativeAttentionOptions&, double, double);
PHONAUT_COMPILED Var<Cpu, 3> scale_utterances(const Var<Cpu, 3>&, const Tensor<Cpu, 2>&);
PHONAUT_COMPILED Var<Cpu, 3> keep_utterances(const Var<Cpu, 3>&, const UtteranceFlags&);
PHONAUT_COMPILED Var<Cpu, 3> choose_utterances(const UtteranceFlags&, const Var<Cpu, 3>&, const Var<Cpu, 3>&);
PHONAUT_COMPILED Var<Cpu, 0> limit_value(const Var<Cpu, 0>&, double, double);
PHONAUT_COMPILED Var<Cpu, 1> limit_value(const Var<Cpu, 1>&, double, double);
PHONAUT_COMPILED Var<Cpu, 2> dropout(const Var<Cpu, 2>&, double);
PHONAUT_COMPILED Var<Cpu, 4> even_weights(const Var<Cpu, 4>&);

PHONAUT_COMPILED struct Linear<Cpu>;
PHONAUT_COMPILED struct Conv1d<Cpu>;
PHONAUT_COMPILED struct ConvTranspose1d<Cpu>;
PHONAUT_COMPILED struct Transformer<Cpu>;
PHONAUT_COMPILED struct zipformer::AttentionWeights<Cpu>;
PHONAUT_COMPILED struct zipformer::SelfAttention<Cpu>;
PHONAUT_COMPILED struct zipformer::NonlinAttention<Cpu>;
PHONAUT_COMPILED struct zipformer::FeedForward<Cpu>;
PHONAUT_COMPILED struct zipformer::Convolution<Cpu>;
PHONAUT_COMPILED struct ZipformerLayer<Cpu>;
PHONAUT_COMPILED struct ZipformerStack<Cpu>;
PHONAUT_COMPILED struct Zipformer<Cpu>;
PHONAUT_COMPILED struct ZipformerEncoder<Cpu>;
PHONAUT_COMPILED struct LogMel<Cpu>;
PHONAUT_COMPILED struct FiniteScalarQuantizer<Cpu>;
PHONAUT_COMPILED struct ResidualQuantizer<Cpu>;
PHONAUT_COMPILED struct VectorQuantizer<Cpu>;
PHONAUT_COMPILED class AdamW<Cpu>;
PHONAUT_COMPILED class ScaledAdam<Cpu>;

}  // namespace phonaut

#undef PHONAUT_COMPILED
