#include "phonaut/parallel/mpi.hpp"

#define OMPI_SKIP_MPICXX 1  // the C interface alone
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <mutex>
#include <set>
#include <thread>

#include "parallel/call.hpp"

namespace phonaut {
namespace {

void check(int status, const char* what) {
  if (status == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> words{};
  int length = 0;
  MPI_Error_string(status, words.data(), &length);
  throw RankError(concat("mpi: ", what, " failed: ", std::string(words.data(), static_cast<size_t>(length))));
}

/// Waits without keeping a processor busy for long: MPI's own waiting turns round and round, and what it waits for may
/// need the processor. Messages go on only while somebody asks for them, in several exchanges each, so it first asks
/// for as long as those take, and sleeps when it must be the other ranks that are not there yet.
void wait(MPI_Request& request, const char* what) {
  using Clock = std::chrono::steady_clock;
  constexpr auto patience = std::chrono::milliseconds(2);
  constexpr auto nap = std::chrono::microseconds(50);
  const Clock::time_point start = Clock::now();
  for (long turn = 0;; ++turn) {
    int done = 0;
    check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    if (done) return;
    if (turn < 50) continue;
    if (Clock::now() - start < patience) std::this_thread::yield();
    else std::this_thread::sleep_for(nap);
  }
}

class MpiCommunicator;

/// MPI between its beginning and its end.
struct Session {
  std::mutex mutex;
  std::set<MpiCommunicator*> open;
  /// Last words on channels that are closed: nobody waits for them before the end, when all have said theirs.
  struct LastWord {
    MPI_Request request = MPI_REQUEST_NULL;
    Call said;
    std::vector<Call> heard;
  };
  std::vector<std::unique_ptr<LastWord>> last_words;
  std::atomic<bool> over{false};
};

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(std::shared_ptr<Session> session, MPI_Comm comm) : session_(std::move(session)), comm_(comm) {
    MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
    heard_.resize(static_cast<size_t>(size_));
    const std::lock_guard lock(session_->mutex);
    session_->open.insert(this);
  }
  ~MpiCommunicator() override {
    close(Call::Kind::ended);
    const std::lock_guard lock(session_->mutex);
    session_->open.erase(this);
  }

  int rank() const noexcept override { return rank_; }
  int size() const noexcept override { return size_; }
  void all_reduce(float* values, long n) override { add_up(values, n, MPI_FLOAT, Call::Kind::sum_floats); }
  void all_reduce(double* values, long n) override { add_up(values, n, MPI_DOUBLE, Call::Kind::sum_doubles); }

  void broadcast(void* values, std::size_t bytes, int root) override {
    const InCall call(*this, {Call::Kind::broadcast, static_cast<long>(bytes), root, {}});
    auto* const at = static_cast<char*>(values);
    for (std::size_t first = 0; first < bytes; first += most) {
      MPI_Request request = MPI_REQUEST_NULL;
      check(MPI_Ibcast(at + first, static_cast<int>(std::min(most, bytes - first)), MPI_BYTE, root, comm_, &request),
            "a broadcast");
      wait(request, "a broadcast");
    }
  }
  void all_gather(const void* mine, std::size_t bytes, void* all) override {
    if (bytes > most)
      throw ConfigError(concat("mpi: a rank can tell the others ", most, " bytes at once, not ", bytes));
    const InCall call(*this, {Call::Kind::all_gather, static_cast<long>(bytes), 0, {}}, mine, bytes);
    if (fits(bytes)) {
      for (size_t r = 0; bytes > 0 && r < heard_.size(); ++r)
        std::memcpy(static_cast<char*>(all) + r * bytes, heard_[r].more.data(), bytes);
    } else {
      exchange(mine, static_cast<int>(bytes), MPI_BYTE, all);
    }
  }
  void barrier() override { const InCall call(*this, {Call::Kind::barrier, 0, 0, {}}); }

  std::shared_ptr<Communicator> duplicate() override {
    const InCall call(*this, {Call::Kind::duplicate, 0, 0, {}});
    MPI_Comm copy = MPI_COMM_NULL;
    check(MPI_Comm_dup(comm_, &copy), "another channel");
    return std::make_shared<MpiCommunicator>(session_, copy);
  }
  void abandon(const std::string& why) noexcept override { close(Call::Kind::abandoned, why); }

  /// Says the last word on this channel, unless all know that it is over; after the collective that another thread may
  /// be in, whose messages must not be mixed with it.
  void close(Call::Kind kind, const std::string& why = {}) noexcept {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    last_ = Call::last(kind, why);
    if (!in_call_) say_last();
  }

 private:
  /// In one call of MPI, whose counts are ints.
  static constexpr std::size_t most = std::size_t(1) << 30;

  /// Whether so much goes along with what a rank wants, in one message.
  static bool fits(std::size_t bytes) { return bytes <= sizeof(Call::more); }

  /// A collective, from what its ranks want, which must be the same, to its end. `values` go along where they fit.
  class InCall {
   public:
    InCall(MpiCommunicator& c, const Call& mine, const void* values = nullptr, std::size_t bytes = 0) : c_(c) {
      {
        const std::lock_guard lock(c.mutex_);
        if (c.session_->over) throw StateError("mpi: run_on_mpi has returned, so its ranks can say no more");
        if (c.closed_)
          throw RankError("ranks: " + (c.failure_.empty() ? "this rank has left this channel" : c.failure_));
        c.in_call_ = true;
      }
      try {
        c.said_ = mine;
        if (bytes > 0 && fits(bytes)) std::memcpy(c.said_.more.data(), values, bytes);
        c.exchange(&c.said_, sizeof(Call), MPI_BYTE, c.heard_.data());
        c.agree();
      } catch (...) {
        leave();
        throw;
      }
    }
    InCall(const InCall&) = delete;
    InCall& operator=(const InCall&) = delete;
    ~InCall() { leave(); }

   private:
    void leave() noexcept {
      const std::lock_guard lock(c_.mutex_);
      c_.in_call_ = false;
      if (c_.closed_ && c_.failure_.empty()) c_.say_last();
    }
    MpiCommunicator& c_;
  };

  /// Where the ranks want different things the channel is over, and all have seen it.
  void agree() {
    const std::string problem = disagreement(heard_);
    if (problem.empty()) return;
    const std::lock_guard lock(mutex_);
    failure_ = problem;
    closed_ = true;
    throw RankError("ranks: " + problem);
  }
  void say_last() noexcept {
    if (session_->over) return;
    try {
      auto word = std::make_unique<Session::LastWord>();
      word->said = last_;
      word->heard.resize(static_cast<size_t>(size_));
      if (MPI_Iallgather(&word->said, sizeof(Call), MPI_BYTE, word->heard.data(), sizeof(Call), MPI_BYTE, comm_,
                         &word->request) != MPI_SUCCESS)
        return;
      const std::lock_guard lock(session_->mutex);
      session_->last_words.push_back(std::move(word));
    } catch (const std::exception&) {
      // Without memory for a last word the others learn of it from mpirun, when this process ends.
    }
  }
  void exchange(const void* mine, int n, MPI_Datatype type, void* all) {
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Iallgather(mine, n, type, all, n, type, comm_, &request), "an exchange");
    wait(request, "an exchange");
  }

  /// Each rank adds up one part in the order of ranks, and tells all. MPI's own sum may take another order on each
  /// rank.
  template <class T>
  void add_up(T* values, long n, MPI_Datatype type, Call::Kind kind) {
    const auto bytes = static_cast<std::size_t>(n) * sizeof(T);
    const InCall call(*this, {kind, n, 0, {}}, values, bytes);
    const auto ranks = static_cast<size_t>(size_);
    const auto add = [&](T* to, const T* from, long count, long apart) {
      std::copy_n(from, count, to);
      for (size_t r = 1; r < ranks; ++r) {
        const T* const more = from + static_cast<long>(r) * apart;
        for (long i = 0; i < count; ++i) to[i] += more[i];
      }
    };
    const auto room = [&](long count) {
      if (buffer_.size() < static_cast<size_t>(count) * sizeof(T))
        buffer_.resize(static_cast<size_t>(count) * sizeof(T));
      return reinterpret_cast<T*>(buffer_.data());
    };
    if (n <= 2048) {  // all tell all, instead of first parts and then sums
      T* const all = room(n * size_);
      if (!fits(bytes)) exchange(values, static_cast<int>(n), type, all);
      else
        for (size_t r = 0; bytes > 0 && r < ranks; ++r)
          std::memcpy(all + static_cast<long>(r) * n, heard_[r].more.data(), bytes);
      add(values, all, n, n);
      return;
    }
    std::vector<int> counts(ranks), firsts(ranks), own_counts(ranks), own_firsts(ranks);
    for (long piece = 0; piece < n; piece += static_cast<long>(most)) {
      T* const from = values + piece;
      const long count = std::min(n - piece, static_cast<long>(most));
      const Part own = part_of(count, rank_, size_);
      for (size_t r = 0; r < ranks; ++r) {
        const Part part = part_of(count, static_cast<int>(r), size_);
        counts[r] = static_cast<int>(part.count);
        firsts[r] = static_cast<int>(part.first);
        own_counts[r] = static_cast<int>(own.count);
        own_firsts[r] = static_cast<int>(static_cast<long>(r) * own.count);
      }
      T* const parts = room(own.count * size_);
      MPI_Request request = MPI_REQUEST_NULL;
      check(MPI_Ialltoallv(from, counts.data(), firsts.data(), type, parts, own_counts.data(), own_firsts.data(), type,
                           comm_, &request),
            "a sum");
      wait(request, "a sum");
      add(from + own.first, parts, own.count, own.count);
      check(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, from, counts.data(), firsts.data(), type, comm_,
                            &request),
            "a sum");
      wait(request, "a sum");
    }
  }

  std::shared_ptr<Session> session_;
  MPI_Comm comm_;
  int rank_ = 0, size_ = 1;
  std::mutex mutex_;
  bool in_call_ = false, closed_ = false;
  Call last_;
  std::string failure_;
  Call said_;
  std::vector<Call> heard_;
  std::vector<std::byte> buffer_;  // kept, so that a step of training allocates nothing
};

}  // namespace

bool started_by_mpi() noexcept {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK", "MV2_COMM_WORLD_SIZE"})
    if (std::getenv(name)) return true;
  return false;
}

void run_on_mpi(const std::function<void(Ranks)>& work) {
  int before = 0;
  MPI_Initialized(&before);
  if (!before && !started_by_mpi()) return work(Ranks());
  int level = MPI_THREAD_SINGLE;
  if (before) MPI_Query_thread(&level);
  else check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &level), "its start");
  struct End {
    bool ours;
    ~End() {
      if (ours) MPI_Finalize();
    }
  } end{!before};
  if (level < MPI_THREAD_MULTIPLE)
    throw ConfigError(concat("mpi: sums that run beside training need MPI_THREAD_MULTIPLE, level ", MPI_THREAD_MULTIPLE,
                             ", but MPI was started with level ", level));
  const auto session = std::make_shared<Session>();
  std::exception_ptr error;
  {
    MPI_Comm comm = MPI_COMM_NULL;
    check(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "a channel");
    const auto communicator = std::make_shared<MpiCommunicator>(session, comm);
    try {
      work(Ranks(communicator));
    } catch (...) {
      error = std::current_exception();
      communicator->abandon(reason_of(error));
    }
  }
  {
    std::unique_lock lock(session->mutex);
    const std::set<MpiCommunicator*> left = session->open;
    lock.unlock();
    for (MpiCommunicator* c : left) c->close(Call::Kind::ended);
    for (const auto& word : session->last_words) wait(word->request, "the end");
    session->over = true;
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace phonaut
