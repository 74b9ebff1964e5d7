#pragma once
// Batches of streams: sound that arrives in chunks. A layer that streams makes a state and then reads and writes it,
//
//   auto state = encoder.start(batch, {.frames = 32, .left = 128});
//   while (...) y = encoder(chunk, state);
//
// A state is a plain struct of State tensors, streams outermost, all of them zero at the start, and names them once in
// its `visit`; so it is saved, loaded, counted and copied (deep_copy) as the weights of a layer are.
#include "phonaut/core/sequence.hpp"
#include "phonaut/core/visit.hpp"
#include "phonaut/ops/shape.hpp"

namespace phonaut {

/// A new State of zeros, in memory that belongs to no context.
template <class B, class T = typename B::Scalar, size_t R>
State<B, R, T> zero_state(const Shape<R>& shape) {
  auto t = Tensor<B, R, T>::persistent(shape);
  if (t.size() > 0) kernel::fill(B{}, t.data(), t.size(), T(0));
  return State<B, R, T>(std::move(t));
}

namespace detail {

template <class B, size_t R, class T>
void clear_stream(State<B, R, T>& state, long n) {
  const auto& t = state.tensor();
  if (t.size() > 0) kernel::fill(B{}, t.data() + n * t.in().stride[0], t.in().stride[0], T(0));
}
template <class Member>
void clear_stream(Member& member, long n) {
  if constexpr (is_list<Member>::value)
    for (auto& entry : member) clear_stream(entry, n);
  else Member::visit(member, [n](const char*, auto& inner) { clear_stream(inner, n); });
}

}  // namespace detail

/// Puts stream n of a state back to its start: a new recording takes its place, whatever the others are doing.
/// Throws ConfigError if there is no such stream.
template <class S>
void restart_stream(S& state, long n) {
  state.streams.check_index(n);
  detail::clear_stream(state, n);
}

/// How far each stream of a batch has come. Streams end on their own: with the first chunk of which they do not fill
/// every frame.
struct Streams {
  State<Reference, 1, long> processed_lens;  ///< (N) frames that each stream has had
  State<Reference, 1, long> ended;           ///< (N) 1: no frames may follow

  /// All of them open. Throws ConfigError for a batch of none.
  Streams(const char* op, long batch) {
    if (batch < 1) throw ConfigError(concat(op, ": a batch of ", batch, " streams cannot be started"));
    processed_lens = zero_state<Reference, long>(Shape<1>{batch});
    ended = zero_state<Reference, long>(Shape<1>{batch});
  }
  long batch() const { return processed_lens.size(); }
  long processed(long n) const { return processed_lens.tensor().data()[n]; }
  bool open(long n) const { return ended.tensor().data()[n] == 0; }
  /// No frames for stream n until it is restarted: its place in the batch is not in use yet. Throws ConfigError if
  /// there is no such stream.
  void close(long n) {
    check_index(n);
    ended.tensor().data()[n] = 1;
  }
  void check_index(long n) const {
    if (n < 0 || n >= batch()) throw ConfigError(concat("stream ", n, " is none of the ", batch(), " of this state"));
  }
  /// Whether the state can go on with `chunk`. A stream with fewer than `whole` real frames ends in it, and must have
  /// had `least` by then. Throws ShapeError, or StateError for frames of a stream that has ended; nothing has changed
  /// then.
  template <class B>
  void check(const char* op, const Sequence<B>& chunk, long whole, long least) const {
    if (chunk.batch() != batch())
      throw ShapeError(concat(op, ": a chunk of shape ", text(chunk.frames.shape()), " has ", chunk.batch(),
                              " streams, but its state was started for ", batch()));
    check_lengths(op, chunk);
    for (long n = 0; n < batch(); ++n) {
      const long real = chunk.length(n), all = processed(n) + real;
      if (!open(n) && real > 0)
        throw StateError(concat(op, ": stream ", n, " has ended after ", processed(n), " frames but is given ", real,
                                " more; restart it for a new recording"));
      if (open(n) && real < whole && all < least)
        throw ShapeError(concat(op, ": stream ", n, " of ", batch(), " ends after ", all, " frames, fewer than the ",
                                least, " that it takes; close a stream that is not in use"));
    }
  }
  /// Counts the frames of a chunk.
  template <class B>
  void count(const Sequence<B>& chunk) {
    for (long n = 0; n < batch(); ++n) processed_lens.tensor().data()[n] += chunk.length(n);
  }
  /// Ends the streams that do not fill it.
  template <class B>
  void end_short(const Sequence<B>& chunk, long whole) {
    for (long n = 0; n < batch(); ++n)
      if (chunk.length(n) < whole) ended.tensor().data()[n] = 1;
  }
  static void visit(auto& self, auto&& f) {
    f("processed_lens", self.processed_lens);
    f("ended", self.ended);
  }
};

/// The frames before a chunk that a module looks at. Without any, the chunk is everything there is.
template <class B, size_t R = 3>
struct Past {
  Var<B, R> frames;  ///< (N, L, …), oldest first
  Var<B, R> all;     ///< (N, L + T, …): those and the chunk, once the module has met it

  /// `frames` and, behind them, the chunk.
  Var<B, R> join(const Var<B, R>& chunk) {
    if (!frames) return chunk;
    return all = concatenate(std::array{frames, chunk}, 1);
  }
};

/// The past that a state holds.
template <class B, size_t R>
Past<B, R> past_of(Context<B>& ctx, const State<B, R>& state) {
  return {ctx.constant(state.tensor()), {}};
}

/// Writes the past of the next chunk: those frames of `past` that end with the first `moved` frames of this one.
/// Streams without a real frame in the chunk (`lengths`; empty: none is) wait: what they remember stays.
template <class B, size_t R>
void remember(State<B, R>& state, const Past<B, R>& past, const Lengths& lengths, long moved) {
  const auto& backend = past.all.context().backend();
  View<const typename B::Scalar, R> from = past.all.in();
  from.data += moved * from.stride[1];
  from.shape[1] = state.shape()[1];
  const View<typename B::Scalar, R> to = state.tensor().out();
  const bool some_wait = lengths && std::count(lengths.data(), lengths.data() + lengths.size(), 0) > 0;
  if (!some_wait) kernel::copy_block(backend, from, to, false);
  else
    for (long n = 0; n < to.shape[0]; ++n)
      if (lengths.data()[n] > 0) kernel::copy_block(backend, from[n], to[n], false);
}

/// While it lives, nothing is recorded and nothing dropped out: states are written in place, so no gradient could
/// reach through them.
template <class B>
class Streaming {
 public:
  explicit Streaming(Context<B>& ctx) : ctx_(ctx), training_(ctx.training()), recording_(ctx.recording()) {
    ctx.infer();
  }
  Streaming(const Streaming&) = delete;
  Streaming& operator=(const Streaming&) = delete;
  ~Streaming() {
    ctx_.set_training(training_);
    ctx_.set_recording(recording_);
  }

 private:
  Context<B>& ctx_;
  bool training_, recording_;
};

}  // namespace phonaut
