// After warm-up a step of a stream on one thread allocates nothing, takes no lock and asks the system for nothing: how
// long it takes depends on nobody.
#include "allocation_counter.hpp"
#include "catch.hpp"
#include "phonaut/decoders/seanet.hpp"
#include "phonaut/encoders/seanet.hpp"
#include "phonaut/encoders/zipformer/zipformer_encoder.hpp"
#include "phonaut/frontends/kaldi_fbank.hpp"
#include "phonaut/ops/random_normal.hpp"
#include "phonaut/quantizers/rvq.hpp"

#if defined(__linux__) && !defined(PHONAUT_SANITIZED)
#define PHONAUT_WATCHES_SYSTEM 1
#include <dlfcn.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#endif

using namespace phonaut;
using B = Cpu;

namespace {

std::atomic<long> locks{0};

}  // namespace

#ifdef PHONAUT_WATCHES_SYSTEM
namespace {

template <class Function>
Function next_of(std::atomic<Function>& found, const char* name) {
  if (!found) found = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
  return found;
}

std::atomic<int (*)(pthread_mutex_t*)> lock_mutex{nullptr};
std::atomic<int (*)(pthread_rwlock_t*)> lock_to_read{nullptr}, lock_to_write{nullptr};

}  // namespace

// Every lock of the program comes by here, those of the standard library included. (Waiting for a condition or an
// atomic is a system call.)
extern "C" int pthread_mutex_lock(pthread_mutex_t* m) noexcept {
  locks.fetch_add(1, std::memory_order_relaxed);
  return next_of(lock_mutex, "pthread_mutex_lock")(m);
}
extern "C" int pthread_rwlock_rdlock(pthread_rwlock_t* m) noexcept {
  locks.fetch_add(1, std::memory_order_relaxed);
  return next_of(lock_to_read, "pthread_rwlock_rdlock")(m);
}
extern "C" int pthread_rwlock_wrlock(pthread_rwlock_t* m) noexcept {
  locks.fetch_add(1, std::memory_order_relaxed);
  return next_of(lock_to_write, "pthread_rwlock_wrlock")(m);
}
#endif

namespace {

template <class F>
long locks_during(const F& f) {
  const long before = locks.load();
  f();
  return locks.load() - before;
}

// ---- system calls ----

/// No system call; and that nobody could watch.
constexpr long none = -1, unwatched = -2;

#ifdef PHONAUT_WATCHES_SYSTEM
int answers = -1;  ///< where the child says what it found

void answer(long found) { (void)!write(answers, &found, sizeof found); }

/// A call that the filter does not let through.
void refused(int, siginfo_t* info, void*) {
  answer(info->si_syscall);
  _exit(1);
}

/// From now on only the calls that end a process or write a byte are let through. False where this is not permitted.
bool forbid_system_calls() {
  struct sigaction action {};
  action.sa_sigaction = refused;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGSYS, &action, nullptr) != 0) return false;
  const auto permit = [](unsigned call) {
    return std::array<sock_filter, 2>{sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
                                      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  };
  std::vector<sock_filter> filter{sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const long call : {SYS_write, SYS_exit, SYS_exit_group, SYS_rt_sigreturn}) {
    const auto rule = permit(static_cast<unsigned>(call));
    filter.insert(filter.end(), rule.begin(), rule.end());
  }
  filter.push_back(sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// The number of the first system call that `f` makes, or `none`. It runs in a child process.
template <class F>
long system_call_during(const F& f) {
  int ends[2];
  if (pipe(ends) != 0) return unwatched;
  const pid_t child = fork();
  if (child == 0) {
    answers = ends[1];
    if (!forbid_system_calls()) {
      answer(unwatched);
      _exit(0);
    }
    f();
    answer(none);
    _exit(0);
  }
  close(ends[1]);
  long found = unwatched;
  if (child < 0 || read(ends[0], &found, sizeof found) != static_cast<ssize_t>(sizeof found)) found = unwatched;
  close(ends[0]);
  int status = 0;
  if (child > 0) waitpid(child, &status, 0);
  // A child that died of something else found nothing out.
  if (child > 0 && !WIFEXITED(status)) FAIL("the child ended by signal " << WTERMSIG(status));
  return found;
}
#else
template <class F>
long system_call_during(const F&) {
  return unwatched;
}
#endif

template <size_t R>
Tensor<B, R> noise(Context<B>& ctx, const Shape<R>& shape) {
  return random_normal(ctx, shape, ctx.random().take(element_count(shape)));
}

/// `step` has run often enough to be warm.
template <class Step>
void check_stream(const Step& step) {
  const auto steps = [&] {
    for (int i = 0; i < 50; ++i) step();
  };
  CHECK(allocations_during(steps) == 0);
  CHECK(locks_during(steps) == 0);
  const long call = system_call_during(steps);
  if (call == unwatched) WARN("system calls cannot be watched here, so nobody looked for them");
  else CHECK(call == none);
}

}  // namespace

TEST_CASE("calls and locks would be found", "[streaming]") {
#ifdef PHONAUT_WATCHES_SYSTEM
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(locks_during([&] {
          pthread_mutex_lock(&mutex);
          pthread_mutex_unlock(&mutex);
        }) == 1);
  const long call = system_call_during([] { (void)getppid(); });
  if (call != unwatched) CHECK(call == SYS_getppid);
  if (call != unwatched) CHECK(system_call_during([] {}) == none);
#else
  WARN("locks and system calls are not watched in this build");
#endif
}

TEST_CASE("a stream's step waits for nobody", "[streaming]") {
  Context<B> ctx(B{}, 1);
  ctx.threads(1);
  const auto run = [](int times, const auto& step) {
    for (int i = 0; i < times; ++i) step();
  };

  SECTION("features") {
    const KaldiFbank<B> fbank(ctx, KaldiConfig::lhotse());
    auto state = fbank.start(2);
    const Waveform<B> chunk{ctx.constant(noise(ctx, Shape<2>{2, 333})), {}, 16000};
    const auto step = [&] { (void)fbank(chunk, state); };
    run(40, step);
    check_stream(step);
  }
  SECTION("Zipformer") {
    const ZipformerConfig config{
        .stacks = {{.dim = 24, .layers = 2, .heads = 4, .feedforward = 32, .kernel = 5},
                   {.dim = 32, .layers = 1, .heads = 4, .feedforward = 48, .kernel = 5, .downsample = 2}}};
    const ZipformerEncoder<B> encoder(ctx, {.encoder = config.causal(), .features = 20, .channels = {4, 8, 8}});
    auto state = encoder.start(1, {.frames = 8, .left = 16});
    // Pieces that complete a chunk now and then.
    const Sequence<B> piece{ctx.constant(noise(ctx, Shape<3>{1, 10, 20})), {}, 100};
    const auto step = [&] { (void)encoder(piece, state); };
    run(40, step);
    check_stream(step);
  }
  SECTION("SEANet codec") {
    const SeanetConfig config{.dims = 16, .channels = 8, .strides = {2, 4}, .shortcut = true};
    const SeanetEncoder<B> encoder(ctx, config);
    const SeanetDecoder<B> decoder(ctx, config);
    const ResidualQuantizer<B> quantizer(ctx, {.dims = 16, .levels = 4, .codebook = {.entries = 32}});
    auto heard = encoder.start(1), spoken = decoder.start(1);
    const Waveform<B> sound{ctx.constant(noise(ctx, Shape<2>{1, 2 * config.hop()})), {}, 24000};
    const auto step = [&] {
      const Sequence<B> latents = encoder(sound, heard);
      (void)decoder(latents.with(quantizer.decode(ctx, quantizer.encode(latents))), spoken);
    };
    run(40, step);
    check_stream(step);
  }
}
