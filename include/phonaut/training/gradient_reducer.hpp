#pragma once
// Gradients of ranks that train one model together, added up while the way back is still going on. S. Li et al.,
// "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020.
#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "phonaut/core/context.hpp"
#include "phonaut/training/parameters.hpp"

namespace phonaut {

/// How long the reduction of gradients took, in seconds, summed over updates.
struct ReductionTimes {
  double busy = 0;    ///< of the thread that talks to other ranks
  double waited = 0;  ///< of the training, at the end of its way back: what was not hidden behind it
  double hidden() const { return busy > 0 ? 1 - std::min(1.0, waited / busy) : 0; }
};

namespace detail {

/// Calls work(); an exception that leaves it is told to the other ranks.
template <class F>
auto or_abandon(const Ranks& ranks, const F& work) {
  try {
    return work();
  } catch (const std::exception& error) {
    ranks.abandon(error.what());
    throw;
  }
}

/// Adds up pieces of memory over ranks, one after the other, on a thread of its own.
class BackgroundSums {
 public:
  explicit BackgroundSums(Ranks ranks);
  /// Breaks off what was begun: the other ranks are told.
  ~BackgroundSums();
  BackgroundSums(const BackgroundSums&) = delete;
  BackgroundSums& operator=(const BackgroundSums&) = delete;

  template <class T>
  void add(T* values, long n) {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
    post({values, n, std::is_same_v<T, double>});
  }
  /// Waits until the first `count` pieces since the last `reset` are added up. Throws what the reduction threw.
  void wait_for(size_t count);
  void reset();
  const Ranks& ranks() const { return ranks_; }
  ReductionTimes times() const;

 private:
  struct Piece {
    void* values;
    long n;
    bool doubles;
  };
  void post(Piece piece);
  void run();

  Ranks ranks_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> waiting_;
  size_t posted_ = 0, done_ = 0;
  bool stopping_ = false;
  std::exception_ptr error_;
  ReductionTimes times_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace detail

/// Sums of gradients over the ranks that a context has joined. Parameters share out into buckets, in the order in which
/// the first way back was done with them on rank 0; a bucket is added up as soon as its gradients are final, while the
/// way back goes on to earlier layers:
///
/// ```
///   training    | backward: layer 3 | layer 2 | layer 1 | wait | update
///   reduction                       | bucket 0 | bucket 1 | bucket 2 |
/// ```
/// Sums run in the order of ranks, so that all ranks have the same bits. A parameter has a gradient if it has one on
/// any rank. On a GPU, a communicator that reaches its memory queues the sums beside the stream of the backend; with
/// one that does not they go through the host, at the end.
template <class B>
class GradientReducer {
 public:
  using S = typename B::Scalar;
  struct Config {
    double bucket_megabytes = 1;  ///< of gradients added up at once; a single larger parameter has one of its own
  };

  /// Gives every rank the weights of rank 0, states included. Throws RankError if the ranks' models or seeds differ,
  /// ConfigError unless buckets have a size.
  template <class Model>
  GradientReducer(Context<B>& ctx, const Model& model, Config config)
      : config_(config), ranks_(ctx.ranks()), parameters_(flat_parameters<B>(model)) {
    if (!(config_.bucket_megabytes > 0))
      throw ConfigError(concat("gradient reducer: buckets must have a size, got ", config_.bucket_megabytes, " MB"));
    start_alike(ctx, model);
    for (size_t i = 0; i < parameters_.size(); ++i)
      number_.insert(parameters_[i].flat.tensor().data(), static_cast<std::uint32_t>(i));
    if (!on_device()) sums_ = std::make_unique<detail::BackgroundSums>(ranks_.duplicate());
  }

  /// The gradients of `loss` added to `gradients`, then over all ranks: a collective.
  void backward(const Var<B, 0>& loss, Gradients<B>& gradients) {
    // What is broken off here leaves the others with half an update.
    detail::or_abandon(sums_ ? sums_->ranks() : ranks_, [&] { walk(loss, gradients); });
  }

  ReductionTimes times() const { return sums_ ? sums_->times() : ReductionTimes{}; }
  /// How many buckets there are; 0 before the first update.
  size_t buckets() const { return buckets_.size(); }

 private:
  struct Bucket {
    Tensor<B, 1> values;  ///< gradients, then for each parameter how many ranks have one
    std::vector<std::uint32_t> members;
    size_t missing = 0;
  };
  struct Place {
    size_t bucket = 0;
    long first = 0, flag = 0;
    bool taken = false;
  };

  void walk(const Var<B, 0>& loss, Gradients<B>& gradients) {
    Context<B>& ctx = loss.context();
    if (buckets_.empty()) {
      // The first time tells the order in which the others will come.
      std::vector<std::uint32_t> order;
      order.reserve(parameters_.size());
      const auto note = [&](const void* weight, const S*) {
        const std::uint32_t i = number_.find(weight);
        if (i != detail::AddressMap::absent) order.push_back(i);
      };
      ctx.backward(loss, gradients, note);
      make_buckets(std::move(order));
    } else {
      begin();
      const auto take = [&](const void* weight, const S* gradient) {
        const std::uint32_t i = number_.find(weight);
        if (i != detail::AddressMap::absent) take_gradient(ctx, i, gradient);
      };
      ctx.backward(loss, gradients, take);
    }
    finish(ctx, gradients);
  }

  bool on_device() const {
    return !std::is_same_v<typename B::Memory, HostMemory> && ranks_.communicator()->reaches_device();
  }

  template <class Model>
  void start_alike(Context<B>& ctx, const Model& model) {
    std::uint64_t mark = 0xcbf29ce484222325;  // FNV-1a
    long elements = 0;
    for_each_weight(model, [&](const std::string& name, const auto& w) {
      for (const char c : concat(name, ' ', text(w.shape()), '\n'))
        mark = (mark ^ static_cast<unsigned char>(c)) * 0x100000001b3;
      elements += w.size();
    });
    const auto marks = ranks_.all_gather(mark);
    const auto sizes = ranks_.all_gather(elements);
    for (size_t r = 1; r < marks.size(); ++r)
      if (marks[r] != marks[0])
        throw RankError(concat("gradient reducer: the model of rank 0 has ", sizes[0], " elements, that of rank ", r,
                               " has ", sizes[r], ", and their names or shapes differ"));
    const auto seeds = ranks_.all_gather(ctx.random().seed);
    for (size_t r = 1; r < seeds.size(); ++r)
      if (seeds[r] != seeds[0])
        throw RankError(concat("gradient reducer: rank 0 has the seed ", seeds[0], ", rank ", r, " has ", seeds[r],
                               ", but the draws of a step must be the same on all"));
    for_each_weight(model, [&](const std::string&, const auto& w) {
      using T = std::remove_cvref_t<decltype(*w.tensor().data())>;
      std::vector<T> host(static_cast<size_t>(w.size()));
      kernel::download(ctx.backend(), host.data(), w.tensor().data(), host.size() * sizeof(T));
      ranks_.broadcast(host.data(), w.size());
      kernel::upload(ctx.backend(), w.tensor().data(), host.data(), host.size() * sizeof(T));
    });
  }

  /// Cuts the parameters into buckets, in `order` as rank 0 has it; those that it lacks come last.
  void make_buckets(std::vector<std::uint32_t> order) {
    std::vector<char> listed(parameters_.size(), 0);
    for (const std::uint32_t i : order) listed[i] = 1;
    for (std::uint32_t i = 0; i < parameters_.size(); ++i)
      if (!listed[i]) order.push_back(i);
    ranks_.broadcast(order.data(), static_cast<long>(order.size()));
    places_.resize(parameters_.size());
    const auto most = static_cast<long>(config_.bucket_megabytes * 1e6 / sizeof(S));
    std::vector<long> sizes;
    for (const std::uint32_t i : order) {
      const long size = parameters_[i].flat.size();
      if (buckets_.empty() || (sizes.back() > 0 && sizes.back() + size > most)) {
        buckets_.emplace_back();
        sizes.push_back(0);
      }
      places_[i] = {buckets_.size() - 1, sizes.back(), 0, false};
      sizes.back() += size;
      buckets_.back().members.push_back(i);
    }
    for (size_t b = 0; b < buckets_.size(); ++b) {
      Bucket& bucket = buckets_[b];
      for (size_t k = 0; k < bucket.members.size(); ++k)
        places_[bucket.members[k]].flag = sizes[b] + static_cast<long>(k);
      bucket.values = Tensor<B, 1>::persistent({sizes[b] + static_cast<long>(bucket.members.size())});
    }
    begin();
  }
  void begin() {
    for (Place& p : places_) p.taken = false;
    for (Bucket& b : buckets_) b.missing = b.members.size();
    sent_ = 0;
    if (sums_) sums_->reset();
  }
  void take_gradient(Context<B>& ctx, std::uint32_t i, const S* gradient) {
    Place& place = places_[i];
    if (place.taken) return;
    place.taken = true;
    Bucket& bucket = buckets_[place.bucket];
    S* const to = bucket.values.data();
    const long n = parameters_[i].flat.size();
    if (gradient) kernel::pack(ctx.backend(), View<const S, 1>(gradient, {n}), to + place.first);
    else kernel::fill(ctx.backend(), to + place.first, n, S(0));
    kernel::fill(ctx.backend(), to + place.flag, 1, S(gradient ? 1 : 0));
    --bucket.missing;
    // Buckets leave in their order, which is the same on all ranks.
    while (sent_ < buckets_.size() && buckets_[sent_].missing == 0) send(ctx, buckets_[sent_++]);
  }
  void send(Context<B>& ctx, Bucket& bucket) {
    S* const values = bucket.values.data();
    const long n = bucket.values.size();
    if constexpr (std::is_same_v<typename B::Memory, HostMemory>) {
      (void)ctx;
      sums_->add(values, n);
    } else {
      if (!on_device()) return;  // in `finish`, through the host
      ranks_.communicator()->all_reduce_on_device(values, n, ctx.backend().stream);
    }
  }

  /// Sends what the way back has not met, waits for the sums, and puts them into `gradients`.
  void finish(Context<B>& ctx, Gradients<B>& gradients) {
    for (Bucket& bucket : buckets_)
      for (const std::uint32_t i : bucket.members) {
        if (places_[i].taken) continue;
        const auto& p = parameters_[i].flat;
        take_gradient(ctx, i, gradients.has(p) ? static_cast<const S*>(gradients[p].data()) : nullptr);
      }
    if constexpr (!std::is_same_v<typename B::Memory, HostMemory>)
      if (on_device()) ranks_.communicator()->join_device(ctx.backend().stream);
    for (size_t b = 0; b < buckets_.size(); ++b) {
      Bucket& bucket = buckets_[b];
      S* const values = bucket.values.data();
      if constexpr (std::is_same_v<typename B::Memory, HostMemory>) {
        sums_->wait_for(b + 1);
      } else if (!on_device()) {
        host_.resize(static_cast<size_t>(bucket.values.size()));
        kernel::download(ctx.backend(), host_.data(), values, host_.size() * sizeof(S));
        ranks_.all_reduce(host_.data(), bucket.values.size());
        kernel::upload(ctx.backend(), values, host_.data(), host_.size() * sizeof(S));
      }
      const auto members = static_cast<long>(bucket.members.size());
      flags_.resize(bucket.members.size());
      kernel::download(ctx.backend(), flags_.data(), values + bucket.values.size() - members,
                       flags_.size() * sizeof(S));
      for (size_t k = 0; k < bucket.members.size(); ++k) {
        if (!(flags_[k] > S(0))) continue;
        const auto& p = parameters_[bucket.members[k]].flat;
        // In memory of its own: what the way back wrote may be shared with the gradient of something else.
        const auto sum = ctx.empty(p.shape());
        kernel::pack(ctx.backend(), View<const S, 1>(values + places_[bucket.members[k]].first, {p.size()}),
                     sum.data());
        gradients.set(p, sum);
      }
    }
  }

  Config config_;
  Ranks ranks_;
  std::vector<FlatParameter<B>> parameters_;
  detail::AddressMap number_;
  std::vector<Bucket> buckets_;
  std::vector<Place> places_;
  size_t sent_ = 0;
  std::vector<S> flags_, host_;
  std::unique_ptr<detail::BackgroundSums> sums_;
};

}  // namespace phonaut
