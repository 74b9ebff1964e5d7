#include "recogniser.hpp"

#include <algorithm>
#include <set>
#include <sstream>

using namespace phonaut;

namespace {

std::vector<std::string> pieces_of(const std::string& text, const std::string& units) {
  std::vector<std::string> pieces;
  if (units == "characters") {
    for (const char c : text) {
      const bool goes_on = (static_cast<unsigned char>(c) & 0xC0) == 0x80;  // inside a code point of UTF-8
      if (goes_on && !pieces.empty()) pieces.back() += c;
      else pieces.emplace_back(1, c);
    }
  } else {
    std::istringstream words(text);
    for (std::string word; words >> word;) pieces.push_back(word);
  }
  return pieces;
}

ZipformerEncoder<B>::Config encoder_config(const ModelConfig& c, const ZipformerTraining& training) {
  const size_t stacks = c.dims.size();
  if (c.layers.size() != stacks || c.factors.size() != stacks || c.feedforward.size() != stacks || c.stem.size() != 3)
    throw ConfigError(
        "digits: every stack needs a width, layers, a factor and a feed-forward width, and the stem 3 widths");
  ZipformerEncoder<B>::Config out{.encoder = {}, .features = c.bands, .channels = {c.stem[0], c.stem[1], c.stem[2]}};
  out.encoder.training = training;
  for (size_t i = 0; i < stacks; ++i)
    out.encoder.stacks.push_back({.dim = c.dims[i],
                                  .layers = c.layers[i],
                                  .heads = c.heads,
                                  .feedforward = c.feedforward[i],
                                  .kernel = c.kernel,
                                  .downsample = c.factors[i],
                                  .causal = true});
  return out;
}

KaldiConfig features_config(const ModelConfig& c) {
  return {.sample_rate = static_cast<double>(c.rate), .bands = c.bands, .high = 0};
}

}  // namespace

std::vector<std::string> Vocabulary::names_in(const std::vector<Utterance>& utterances, const std::string& units) {
  std::set<std::string> names;
  if (units == "characters") names.insert(" ");
  for (const auto& u : utterances)
    for (const auto& piece : pieces_of(u.transcript, units)) names.insert(piece);
  if (names.size() < 2)
    throw ConfigError("digits: the transcripts of the recordings have fewer than two " + units + " to tell apart");
  return {names.begin(), names.end()};
}

std::vector<long> Vocabulary::labels_of(const std::string& text) const {
  std::vector<long> labels;
  for (const auto& piece : pieces_of(text, units_)) {
    const auto found = std::find(names_.begin(), names_.end(), piece);
    if (found == names_.end()) throw FormatError("digits: '" + piece + "' in '" + text + "' is not in the vocabulary");
    labels.push_back(1 + (found - names_.begin()));
  }
  return labels;
}

std::string Vocabulary::piece_of(long label, bool at_start) const {
  const std::string& name = names_[static_cast<size_t>(label - 1)];
  if (at_start) return name == " " ? "" : name;
  return (units_ == "words" ? " " : "") + name;
}

std::string Vocabulary::text_of(const std::vector<long>& labels) const {
  std::string text;
  for (const long label : labels) text += piece_of(label, text.empty());
  return text;
}

Recogniser::Recogniser(Context<B>& ctx, const ModelConfig& c, const ZipformerTraining& training)
    : config(c),
      vocabulary(c.units, c.names),
      fbank(ctx, features_config(c)),
      encoder(ctx, encoder_config(c, training)),
      head(ctx, {.in = encoder.encoder.config.width(), .out = vocabulary.classes()}) {}

Sequence<B> Recogniser::sized(const Sequence<B>& bands) {
  // Speech at usual levels has a mean of about -8 and a deviation of 4, in nats.
  auto& ctx = bands.context();
  return bands.with(0.25f * bands.frames + ctx.constant(ctx.full(bands.frames.shape(), 2)));
}

std::vector<std::string> Recogniser::texts(const Waveform<B>& x) const {
  std::vector<std::string> texts;
  for (const auto& said : CtcGreedy{}(logits(features(x)))) {
    std::vector<long> labels;
    labels.reserve(said.size());
    for (const CtcLabel& label : said) labels.push_back(label.label);
    texts.push_back(vocabulary.text_of(labels));
  }
  return texts;
}

Listener::Listener(Context<B>& ctx, const Recogniser& model)
    : ctx_(ctx),
      model_(model),
      sound_(model.fbank.start(1)),
      state_(model.encoder.start(1, model.chunking())),
      said_(greedy_.start(1)) {}

std::string Listener::hear(const std::vector<float>& samples) {
  const Var<B, 2> wave = input(ctx_, Shape<2>{1, static_cast<long>(samples.size())}, samples);
  return understood(model_.fbank({wave, {}, static_cast<double>(model_.config.rate)}, sound_));
}

std::string Listener::finish() {
  const std::string text = understood(model_.fbank.finish(ctx_, sound_));
  return text + decoded(model_.encoder.finish(ctx_, state_));
}

std::string Listener::understood(const Sequence<B>& bands) {
  return bands.time() > 0 ? decoded(model_.encoder(Recogniser::sized(bands), state_)) : std::string();
}

std::string Listener::decoded(const Sequence<B>& frames) {
  std::string text;
  if (frames.time() == 0) return text;
  const auto labels = greedy_(model_.head(frames), said_);
  for (const CtcLabel& said : labels[0]) {
    text += model_.vocabulary.piece_of(said.label, silent_);
    silent_ = silent_ && text.empty();
  }
  return text;
}
