#pragma once
// Everything a computation needs besides its numbers: backend, buffer pool, tape, random draws, mode and step.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "phonaut/core/communicator.hpp"
#include "phonaut/core/gradients.hpp"
#include "phonaut/core/primitives.hpp"
#include "phonaut/core/random.hpp"
#include "phonaut/core/var.hpp"

namespace phonaut {

class CudaGraph;  // core/cuda_graph.hpp

namespace detail {

/// Whether none of `n` elements, wherever they lie, is infinite or NaN. Copies them to the host: for finding faults.
template <class B>
bool all_finite(const B& backend, const typename B::Scalar* data, long n) {
  using S = typename B::Scalar;
  std::vector<S> values(static_cast<size_t>(n));
  kernel::download(backend, values.data(), data, values.size() * sizeof(S));
  // 0 x is zero for numbers, dual ones included, and NaN for what is none.
  return std::all_of(values.begin(), values.end(), [](const S& x) { return S(0) * x == S(0); });
}

/// fp32 for backends that know nothing else.
template <class B>
Precision precision_of(const B& backend) {
  if constexpr (requires { backend.precision; }) return backend.precision;
  else return Precision::fp32;
}
template <class B>
void set_precision([[maybe_unused]] B& backend, [[maybe_unused]] Precision precision) {
  if constexpr (requires { backend.precision; }) backend.precision = precision;
}

}  // namespace detail

/// One computation at a time, on one thread. Any number of contexts may run the same read-only model in parallel.
///
/// A new context is in inference mode: ops compute and forget. After `train()` they also record, until `backward`
/// walks the tape in reverse and ends it. Values of an ended tape keep their numbers but have no gradient any more;
/// recording an op on one throws StateError (use `detach`).
template <class B>
class Context {
 public:
  using Backend = B;
  using Scalar = typename B::Scalar;
  using Memory = typename B::Memory;

  explicit Context(B backend = {}, std::uint64_t seed = 0)
      : backend_(backend), pool_(Pool<Memory>::create()), host_pool_(Pool<HostMemory>::create()) {
    random_.seed = seed;
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() {
    clear();
    pool_->retire();
    host_pool_->retire();
  }

  const B& backend() const { return backend_; }
  /// Number of threads that kernels may use; results do not depend on it. Throws ConfigError below 1.
  void threads(int n) requires requires(B b) { b.threads; }
  {
    if (n < 1) throw ConfigError(concat("context: threads must be at least 1, got ", n));
    backend_.threads = n;
  }

  /// What matrix products compute with, from now on; the way back of an op computes as its forward did.
  void precision(Precision p) requires requires(B b) { b.precision; }
  { backend_.precision = p; }
  /// Products in bf16 or int8 take weights from `p` where it has them (core/packed_weights.hpp); from nobody if null.
  void packed(const PackedWeights* p) requires requires(B b) { b.packed; }
  { backend_.packed = p; }

  // ---- mode ----
  /// Record for backward; dropout and the like are on.
  void train() { training_ = recording_ = true; }
  /// Compute and forget; dropout and the like are off.
  void infer() {
    training_ = false;
    recording_ = false;
  }
  bool training() const { return training_; }
  bool recording() const { return recording_; }
  void set_training(bool on) { training_ = on; }
  void set_recording(bool on) { recording_ = on; }
  /// Whether weights are constants for now (core/frozen_weights.hpp).
  bool frozen() const { return frozen_; }
  void set_frozen(bool on) { frozen_ = on; }

  // ---- data parallel training ----
  /// Makes this context one of several that train one model together, each on its share of a batch. In training, what
  /// looks at a batch as a whole then looks at all shares, and must run on every rank; `random` draws from a stream of
  /// this rank.
  void join(Ranks ranks) {
    ranks_ = std::move(ranks);
    random_.stream = static_cast<std::uint64_t>(ranks_.rank());
  }
  /// Those who train together; alone unless it has joined others.
  const Ranks& ranks() const { return ranks_; }
  /// Those who share the batch that is being computed: alone in inference, so that a rank can evaluate by itself.
  const Ranks& batch_ranks() const { return training_ ? ranks_ : alone_; }

  // ---- randomness and schedules ----
  Random& random() { return random_; }
  /// Draws shared by all ranks in this step; `purpose` tells different users apart.
  Draws step_draws(std::uint64_t purpose) const {
    if (captured_) throw StateError("cuda graph: draws of a step are asked for, but every launch would repeat them");
    return random_.at_step(step_, purpose);
  }
  /// Optimiser steps so far; schedules look at it.
  long step() const {
    if (captured_ && training_)
      throw StateError("cuda graph: what is trained by a schedule asks for the step, which every launch would repeat");
    return step_;
  }
  void set_step(long step) { step_ = step; }

  // ---- tensors ----
  /// Uninitialised memory from the pool.
  template <size_t R>
  Tensor<B, R> empty(const Shape<R>& shape) {
    return empty_of<Scalar, R>(shape);
  }
  template <class T, size_t R>
  Tensor<B, R, T> empty_of(const Shape<R>& shape) {
    Tensor<B, R, T>::check_extents(shape);
    Tensor<B, R, T> t(pool_->take(static_cast<size_t>(element_count(shape)) * sizeof(T)), shape);
    if constexpr (std::is_same_v<T, Scalar>)
      if (poisoned_) kernel::fill(backend_, t.data(), t.size(), Scalar(std::numeric_limits<float>::quiet_NaN()));
    return t;
  }
  /// To find a fault: looks at every value that ops compute from now on, until one is not finite. Costs a read of each,
  /// so a Trainer turns it on only after a loss went wrong.
  void watch(bool on) {
    watching_ = on;
    last_weight_ = nullptr;
    spoiled_.reset();
  }
  /// What `watch` saw: the address of the weight that was used last when the first value came out that was not finite,
  /// null if no weight had been used; nothing if all values were finite.
  std::optional<const void*> spoiled() const { return spoiled_; }
  /// For tests: fills every new tensor and gradient with NaN, so that a kernel which forgets an element is found out.
  void poison(bool on) { poisoned_ = on; }
  template <size_t R>
  Tensor<B, R> full(const Shape<R>& shape, Scalar value) {
    auto t = empty(shape);
    kernel::fill(backend_, t.data(), t.size(), value);
    return t;
  }
  template <size_t R>
  Tensor<B, R> zeros(const Shape<R>& shape) {
    return full(shape, Scalar(0));
  }
  /// Uninitialised lengths of `n` utterances, on the host.
  Lengths empty_lengths(long n) {
    return Lengths(host_pool_->take(static_cast<size_t>(n) * sizeof(long)), Shape<1>{n});
  }
  /// A packed copy.
  template <size_t R>
  Tensor<B, R> clone(const Tensor<B, R>& t) {
    auto copy = empty(t.shape());
    kernel::pack(backend_, t.in(), copy.data());
    return copy;
  }
  Pool<Memory>& pool() { return *pool_; }
  /// Weights (parameters and states) that layers made with this context so far. For tests: a layer whose `visit` shows
  /// fewer has forgotten some.
  long weights_made() const { return weights_made_; }
  void count_weight() { ++weights_made_; }

  /// An input that wants no gradient.
  template <size_t R>
  Var<B, R> constant(Tensor<B, R> t) {
    return Var<B, R>(*this, std::move(t));
  }
  /// An input whose gradient is wanted: `gradients[x]` after backward.
  template <size_t R>
  Var<B, R> variable(Tensor<B, R> t) {
    if (!recording_) return constant(std::move(t));
    const Slot slot = leaf_slot(t.data());
    return Var<B, R>(*this, std::move(t), slot);
  }
  /// The same numbers without a past.
  template <size_t R>
  Var<B, R> detach(const Var<B, R>& x) {
    return constant(x.tensor());
  }
  /// A weight as a value of this computation; empty for an absent one. Never copies elements.
  template <size_t R>
  Var<B, R> lift(const detail::Operand<B, R>& w) {
    if (!w) return {};
    if (!w.is_param()) return Var<B, R>(*this, w.tensor(), w.slot());
    if (watching_) last_weight_ = w.tensor().data();
    if (noting_ && !frozen_) leaf_slot(w.tensor().data());
    return Var<B, R>(*this, w.tensor(), recording_ && !frozen_ ? leaf_slot(w.tensor().data()) : Slot{});
  }
  template <size_t R>
  Var<B, R> lift(const Param<B, R>& w) {
    return lift(detail::Operand<B, R>(w));
  }

  // ---- tape ----
  /// Whether recording an op on these inputs would lead anywhere.
  template <class... Inputs>
  bool wants_gradient(const Inputs&... inputs) const {
    return recording_ && (wants(inputs.slot()) || ...);
  }
  /// The one place where an op meets the tape: wraps `y`, and if an input wants a gradient, keeps `backward` to be
  /// called as backward(context, dy) with dy the gradient of y, a Tensor<B, R>.
  template <size_t R, class Backward, class... Inputs>
  Var<B, R> record(Tensor<B, R> y, Backward backward, const Inputs&... inputs) {
    static_assert(std::is_invocable_v<Backward&, Context&, const Tensor<B, R>&>,
                  "an op is recorded with its backward: [..](auto& context, const auto& dy) { .. }");
    if (watching_) look_at(y);
    if (!wants_gradient(inputs...)) return Var<B, R>(*this, std::move(y));
    struct Body {
      Backward backward;
      Shape<R> shape;
      static void run(void* self, Context& context, const Storage<Memory>& dy) {
        Body& body = *static_cast<Body*>(self);
        body.backward(context, Tensor<B, R>(dy, body.shape));
      }
      static void end(void* self) { static_cast<Body*>(self)->~Body(); }
    };
    const Slot slot = new_slot();
    void* place = arena_.take(sizeof(Body), alignof(Body));
    nodes_.push_back({&Body::run, &Body::end, new (place) Body{std::move(backward), y.shape()}, slot.index,
                      detail::precision_of(backend_)});
    return Var<B, R>(*this, std::move(y), slot);
  }
  /// `record` for any number of inputs of one rank: backward(context, dy, inputs).
  template <size_t R, size_t Q, class Backward>
  Var<B, R> record_many(Tensor<B, R> y, std::vector<Var<B, Q>> inputs, Backward backward) {
    const Var<B, Q>* wanting = nullptr;
    if (recording_)
      for (const auto& x : inputs)
        if (wants(x.slot())) wanting = &x;
    if (!wanting) return Var<B, R>(*this, std::move(y));
    const Var<B, Q> any = *wanting;
    return record(
        std::move(y),
        [inputs = std::move(inputs), backward = std::move(backward)](Context& context, const Tensor<B, R>& dy) {
          backward(context, dy, inputs);
        },
        any);
  }
  /// Where the gradient of `x` goes; empty when nobody wants it. For use in backward functions.
  template <size_t R>
  Sink<Scalar, R> sink(const Var<B, R>& x) {
    if (!x || !wants(x.slot()) || x.size() == 0) return {};
    SlotState& s = slots_[x.slot().index];
    const bool add = s.written;
    if (!s.gradient.data()) {
      s.gradient = empty(x.shape()).storage();
    } else if (s.gradient.shared()) {  // handed on by `pass`; others still read it
      auto own = pool_->take(static_cast<size_t>(x.size()) * sizeof(Scalar));
      kernel::pack(backend_, View<const Scalar, 1>(static_cast<const Scalar*>(s.gradient.data()), {x.size()}),
                   static_cast<Scalar*>(own.data()));
      s.gradient = std::move(own);
    }
    s.written = true;
    return Sink<Scalar, R>(static_cast<Scalar*>(s.gradient.data()), x.shape(), add);
  }
  /// Hands `dy` on to `x` as it is, if x has no gradient yet (no copy); otherwise returns false and the caller adds.
  template <size_t R, size_t Q>
  bool pass(const Tensor<B, Q>& dy, const Var<B, R>& x) {
    if (!x || !wants(x.slot()) || x.size() == 0) return true;
    SlotState& s = slots_[x.slot().index];
    if (s.written) return false;
    s.gradient = dy.storage();
    s.written = true;
    return true;
  }

  /// Gradients of a scalar. Ends the tape. Throws StateError if nothing was recorded for `loss`.
  Gradients<B> backward(const Var<B, 0>& loss) {
    Gradients<B> gradients;
    backward(loss, gradients);
    return gradients;
  }
  /// Adds the gradients of `loss` to `gradients` (gradient accumulation). Ends the tape.
  void backward(const Var<B, 0>& loss, Gradients<B>& gradients) {
    walk(loss, gradients, [] {});
  }
  /// The same; calls final(weight, gradient) for a weight's address and the elements of its gradient as soon as nothing
  /// more will be added to them, weights that were used last first. `gradient` may only be read. Weights that
  /// `recompute` uses on the way back and had not used before have no such call.
  template <class Final>
  void backward(const Var<B, 0>& loss, Gradients<B>& gradients, const Final& final) {
    // Leaves are numbered as they are met, so those that are done with are the last ones.
    size_t open = leaves_.size();
    walk(loss, gradients, [&] {
      while (open > 0 && slots_[leaves_[open - 1]].since >= nodes_.size()) {
        const SlotState& s = slots_[leaves_[--open]];
        if (s.written) final(s.leaf, static_cast<const Scalar*>(s.gradient.data()));
      }
    });
  }
  /// Forgets what was recorded.
  void clear() {
    while (!nodes_.empty()) pop_node();
    slots_.clear();
    leaves_.clear();
    leaf_map_.clear();
    arena_.reset();
    ++epoch_;
  }
  size_t recorded_ops() const { return nodes_.size(); }

  // ---- for `recompute` (core/recompute.hpp) ----
  /// While nothing is recorded: weights that are used count as used by the node that is recorded next.
  void note_weights(bool on) { noting_ = on; }
  /// A value without elements that wants a gradient: makes a node be recorded whatever its inputs want.
  Var<B, 1> anchor() { return Var<B, 1>(*this, Tensor<B, 1>({}, Shape<1>{0}), new_slot()); }
  /// Inside a backward function: runs `forward` on a fresh leaf of x with recording on, seeds its result with dy and
  /// walks back through what that recorded.
  template <size_t R, size_t Q, class Forward>
  void replay(const Forward& forward, const Var<B, R>& x, const Tensor<B, Q>& dy) {
    const size_t mark = nodes_.size();
    const Slot inner_slot = new_slot();
    const bool was_recording = std::exchange(recording_, true);
    const Var<B, Q> y = forward(Var<B, R>(*this, x.tensor(), inner_slot));
    recording_ = was_recording;
    pass(dy, y);
    walk_back_to(mark, [] {});
    if (!wants(x.slot()) || !slots_[inner_slot.index].written) return;
    const Tensor<B, R> dx(slots_[inner_slot.index].gradient, x.shape());
    slots_[inner_slot.index].gradient = {};
    if (!pass(dx, x)) {
      const auto into = sink(x);
      kernel::accumulate(backend_, View<const Scalar, 1>(dx.data(), {dx.size()}), into.data);
    }
  }

 private:
  friend class CudaGraph;
  struct SlotState {
    Storage<Memory> gradient;
    const void* leaf = nullptr;
    size_t since = 0;  ///< of a leaf: nodes from this one on may add to its gradient
    std::uint32_t entry = detail::AddressMap::absent;
    bool written = false;
  };
  struct Node {
    void (*run)(void*, Context&, const Storage<Memory>&);
    void (*end)(void*);
    void* body;
    std::uint32_t slot;
    Precision precision;  ///< of the op's products, forward and back
  };
  /// Bump allocator for the closures of the tape.
  class Arena {
   public:
    void* take(size_t bytes, size_t alignment) {
      size_t at = (used_ + alignment - 1) / alignment * alignment;
      if (slab_ == slabs_.size() || at + bytes > slabs_[slab_].size) {
        if (slab_ < slabs_.size()) ++slab_;
        if (slab_ == slabs_.size() || slabs_[slab_].size < bytes) {
          const size_t size = bytes > kSlab ? bytes : kSlab;
          slabs_.insert(slabs_.begin() + static_cast<std::ptrdiff_t>(slab_),
                        Slab{std::make_unique<std::byte[]>(size), size});
        }
        at = 0;
      }
      used_ = at + bytes;
      return slabs_[slab_].memory.get() + at;
    }
    void reset() { slab_ = used_ = 0; }

   private:
    static constexpr size_t kSlab = size_t(1) << 18;
    struct Slab {
      std::unique_ptr<std::byte[]> memory;
      size_t size;
    };
    std::vector<Slab> slabs_;
    size_t slab_ = 0, used_ = 0;
  };

  bool wants(Slot slot) const {
    if (slot.index == Slot::none) return false;
    if (slot.epoch != epoch_)
      throw StateError(concat("tape: a value of tape ", slot.epoch, " is used on tape ", epoch_,
                              ", but backward() ended its own; detach() it to carry its numbers over"));
    return true;
  }
  template <size_t R>
  void look_at(const Tensor<B, R>& y) {
    const Tensor<B, R> packed = y.contiguous() ? y : clone(y);
    if (detail::all_finite(backend_, packed.data(), packed.size())) return;
    spoiled_ = last_weight_;
    watching_ = false;
  }
  Slot new_slot() {
    slots_.emplace_back();
    return {static_cast<std::uint32_t>(slots_.size() - 1), epoch_};
  }
  Slot leaf_slot(const void* key) {
    if (!key) return {};
    const std::uint32_t found = leaf_map_.find(key);
    if (found != detail::AddressMap::absent) return {found, epoch_};
    const Slot slot = new_slot();
    slots_[slot.index].leaf = key;
    // One that is met on the way back may be used again by any node that is left.
    slots_[slot.index].since = walking_ ? 0 : nodes_.size();
    leaf_map_.insert(key, slot.index);
    leaves_.push_back(slot.index);
    return slot;
  }
  template <class AfterNode>
  void walk(const Var<B, 0>& loss, Gradients<B>& gradients, const AfterNode& after_node) {
    struct Guard {
      Context& context;
      ~Guard() {
        context.walking_ = false;
        context.clear();
      }
    } guard{*this};
    if (!wants(loss.slot()))
      throw StateError(
          "backward: nothing was recorded for this loss; call train() on the context first and use parameters or "
          "variables in it");
    // Earlier gradients go back into their slots first, so that every consumer simply adds.
    for (std::uint32_t leaf : leaves_) {
      const std::uint32_t at = gradients.map_.find(slots_[leaf].leaf);
      if (at == detail::AddressMap::absent) continue;
      slots_[leaf].gradient = std::move(gradients.entries_[at].storage);
      slots_[leaf].written = true;
      slots_[leaf].entry = at;
    }
    const auto seed = sink(loss);
    kernel::fill(backend_, seed.data, 1, Scalar(1));
    walking_ = true;
    walk_back_to(0, after_node);
    for (std::uint32_t leaf : leaves_) {
      SlotState& s = slots_[leaf];
      if (!s.written) continue;
      if (s.entry == detail::AddressMap::absent) {
        s.entry = static_cast<std::uint32_t>(gradients.entries_.size());
        gradients.map_.insert(s.leaf, s.entry);
        gradients.entries_.push_back({s.leaf, {}});
      }
      gradients.entries_[s.entry].storage = std::move(s.gradient);
    }
  }
  void pop_node() {
    const Node node = nodes_.back();
    nodes_.pop_back();
    node.end(node.body);
  }
  template <class AfterNode>
  void walk_back_to(size_t mark, const AfterNode& after_node) {
    struct Restore {
      B& backend;
      Precision before;
      ~Restore() { detail::set_precision(backend, before); }
    } restore{backend_, detail::precision_of(backend_)};
    while (nodes_.size() > mark) {
      const size_t at = nodes_.size() - 1;
      const Node node = nodes_[at];
      if (slots_[node.slot].written) {
        const Storage<Memory> dy = std::move(slots_[node.slot].gradient);
        detail::set_precision(backend_, node.precision);
        node.run(node.body, *this, dy);
      }
      pop_node();  // frees what the op had kept, so that memory shrinks on the way back
      after_node();
    }
  }

  B backend_;
  Pool<Memory>* pool_;
  Pool<HostMemory>* host_pool_;
  Random random_;
  Ranks ranks_, alone_;
  long step_ = 0, weights_made_ = 0;
  bool training_ = false, recording_ = false, frozen_ = false, poisoned_ = false, watching_ = false;
  bool noting_ = false, walking_ = false;
  bool captured_ = false;  ///< a CudaGraph repeats what is computed now
  const void* last_weight_ = nullptr;
  std::optional<const void*> spoiled_;
  std::uint32_t epoch_ = 1;
  Arena arena_;
  std::vector<Node> nodes_;
  std::vector<SlotState> slots_;
  std::vector<std::uint32_t> leaves_;
  detail::AddressMap leaf_map_;
};

/// `return record(y, backward, inputs...);`: see Context::record; the context is that of the first input.
template <class B, size_t R, class Backward, size_t Q, class... More>
Var<B, R> record(Tensor<B, R> y, Backward backward, const Var<B, Q>& x, const More&... more) {
  return x.context().record(std::move(y), std::move(backward), x, more...);
}

}  // namespace phonaut
