#include "phonaut/training/signals.hpp"

#include <atomic>
#include <csignal>

#include "phonaut/core/error.hpp"

namespace phonaut {
namespace {

// A handler may touch only lock-free atomics.
std::atomic<int> received{0};
std::atomic<bool> in_use{false};
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void phonaut_remember_signal(int signal) {
  int none = 0;
  received.compare_exchange_strong(none, signal);
}

}  // namespace

struct StopSignals::Saved {
  struct sigaction interrupt {
  }, terminate{};
};

StopSignals::StopSignals() : saved_(std::make_unique<Saved>()) {
  if (in_use.exchange(true)) throw StateError("signals: another StopSignals is already listening");
  received = 0;
  struct sigaction action {};
  action.sa_handler = phonaut_remember_signal;
  sigemptyset(&action.sa_mask);
  // The default comes back with the first signal, so that the second one ends a program that does not listen.
  // SA_RESTART: a system call in the middle of a file goes on instead of failing.
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, &action, &saved_->interrupt);
  sigaction(SIGTERM, &action, &saved_->terminate);
}

StopSignals::~StopSignals() {
  sigaction(SIGINT, &saved_->interrupt, nullptr);
  sigaction(SIGTERM, &saved_->terminate, nullptr);
  in_use = false;
}

int StopSignals::signal() const noexcept { return received.load(); }

}  // namespace phonaut
