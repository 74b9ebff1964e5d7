#include "phonaut/parallel/nccl.hpp"

#include <cuda_runtime_api.h>
#include <nccl.h>

namespace phonaut {
namespace {

void check(ncclResult_t status, const char* what) {
  if (status != ncclSuccess) throw RankError(concat("nccl: ", what, " failed: ", ncclGetErrorString(status)));
}
void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw RankError(concat("nccl: ", what, " failed: ", cudaGetErrorString(status)));
}

/// Where sums run, beside the stream of the backend.
struct Stream {
  cudaStream_t stream = nullptr;
  cudaEvent_t ready = nullptr, done = nullptr;

  Stream() {
    try {
      check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
      check(cudaEventCreateWithFlags(&ready, cudaEventDisableTiming), "an event");
      check(cudaEventCreateWithFlags(&done, cudaEventDisableTiming), "an event");
    } catch (...) {
      release();
      throw;
    }
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { release(); }

 private:
  void release() noexcept {
    if (done) cudaEventDestroy(done);
    if (ready) cudaEventDestroy(ready);
    if (stream) cudaStreamDestroy(stream);
  }
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Ranks host, const ncclUniqueId& id) : host_(std::move(host)) {
    check(ncclCommInitRank(&comm_, host_.size(), id, host_.rank()), "its start");
  }
  ~NcclCommunicator() override {
    if (!comm_) return;
    // In order only if nothing is under way, for which the others might never come.
    if (pending_) ncclCommAbort(comm_);
    else ncclCommDestroy(comm_);
  }

  int rank() const noexcept override { return host_.rank(); }
  int size() const noexcept override { return host_.size(); }
  void all_reduce(float* values, long n) override { host_.all_reduce(values, n); }
  void all_reduce(double* values, long n) override { host_.all_reduce(values, n); }
  void broadcast(void* values, std::size_t bytes, int root) override {
    host_.communicator()->broadcast(values, bytes, root);
  }
  void all_gather(const void* mine, std::size_t bytes, void* all) override {
    host_.communicator()->all_gather(mine, bytes, all);
  }
  void barrier() override { host_.barrier(); }
  std::shared_ptr<Communicator> duplicate() override { return host_.communicator()->duplicate(); }
  void abandon(const std::string& why) noexcept override { host_.abandon(why); }

  bool reaches_device() const noexcept override { return true; }
  void all_reduce_on_device(float* values, long n, void* stream) override {
    check(cudaEventRecord(stream_.ready, static_cast<cudaStream_t>(stream)), "an event");
    check(cudaStreamWaitEvent(stream_.stream, stream_.ready, 0), "an event");
    pending_ = true;
    // ncclAllReduce does not promise the same bits on all ranks.
    const auto each = static_cast<size_t>(n / size()), rest = static_cast<size_t>(n % size());
    if (each > 0) {
      float* const own = values + static_cast<size_t>(rank()) * each;
      check(ncclReduceScatter(values, own, each, ncclFloat, ncclSum, comm_, stream_.stream), "a sum");
      check(ncclAllGather(own, values, each, ncclFloat, comm_, stream_.stream), "a sum");
    }
    if (rest > 0) {
      float* const tail = values + (n - static_cast<long>(rest));
      check(ncclReduce(tail, tail, rest, ncclFloat, ncclSum, 0, comm_, stream_.stream), "a sum");
      check(ncclBroadcast(tail, tail, rest, ncclFloat, 0, comm_, stream_.stream), "a sum");
    }
  }
  void join_device(void* stream) override {
    // A GPU would wait for ever for a rank that has failed. So all say first that their part is under way; if one does
    // not, this throws, and the destructor breaks off what the GPU waits for.
    host_.barrier();
    check(cudaEventRecord(stream_.done, stream_.stream), "an event");
    check(cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), stream_.done, 0), "an event");
    pending_ = false;
  }

 private:
  Ranks host_;
  Stream stream_;
  ncclComm_t comm_ = nullptr;
  bool pending_ = false;  // whether sums are under way that not all ranks are known to have begun
};

}  // namespace

Ranks over_nccl(const Ranks& host) {
  if (host.alone()) return host;
  ncclUniqueId id{};
  ncclResult_t status = ncclSuccess;
  if (host.first()) status = ncclGetUniqueId(&id);
  // The first rank tells the others even if it has none, so that nobody waits.
  host.broadcast(&id, 1);
  host.broadcast(&status, 1);
  check(status, "its name");
  return Ranks(std::make_shared<NcclCommunicator>(host, id));
}

}  // namespace phonaut
