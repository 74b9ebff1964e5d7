#include "phonaut/training/gradient_reducer.hpp"

#include <chrono>

namespace phonaut::detail {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

BackgroundSums::BackgroundSums(Ranks ranks) : ranks_(std::move(ranks)), thread_([this] { run(); }) {}

BackgroundSums::~BackgroundSums() {
  bool busy = false;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    busy = done_ < posted_;
    waiting_.clear();
  }
  changed_.notify_all();
  // An update is broken off: the others must not wait for the rest of it.
  if (busy) ranks_.abandon("an update was broken off");
  thread_.join();
}

void BackgroundSums::post(Piece piece) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(piece);
    ++posted_;
  }
  changed_.notify_all();
}

void BackgroundSums::wait_for(size_t count) {
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done_ >= count || error_; });
  times_.waited += seconds_since(start);
  if (done_ < count) std::rethrow_exception(error_);
}

void BackgroundSums::reset() {
  const std::lock_guard lock(mutex_);
  posted_ = done_ = 0;
}

ReductionTimes BackgroundSums::times() const {
  const std::lock_guard lock(mutex_);
  return times_;
}

void BackgroundSums::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const Piece piece = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    const auto start = std::chrono::steady_clock::now();
    std::exception_ptr error;
    try {
      if (piece.doubles) ranks_.all_reduce(static_cast<double*>(piece.values), piece.n);
      else ranks_.all_reduce(static_cast<float*>(piece.values), piece.n);
    } catch (...) {
      error = std::current_exception();
    }
    const double seconds = seconds_since(start);
    lock.lock();
    times_.busy += seconds;
    if (error) {
      error_ = error;
      waiting_.clear();
    } else {
      ++done_;
    }
    changed_.notify_all();
    if (error) return;
  }
}

}  // namespace phonaut::detail
