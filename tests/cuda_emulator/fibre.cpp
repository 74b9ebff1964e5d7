#include "fibre.hpp"

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define PHONAUT_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PHONAUT_ADDRESS_SANITIZER 1
#endif
#endif
#ifdef PHONAUT_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// On x86-64 a switch is six pushes and pops. Elsewhere swapcontext does it, with two system calls each time.
#if defined(__x86_64__)
#define PHONAUT_OWN_SWITCH 1
extern "C" void phonaut_switch_stacks(void** from, void* to);
asm(R"(
.text
.globl phonaut_switch_stacks
.type phonaut_switch_stacks, @function
phonaut_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size phonaut_switch_stacks, .-phonaut_switch_stacks
)");
#endif

namespace phonaut::emulator {

namespace {
// Instrumented frames are several times as large.
#ifdef PHONAUT_ADDRESS_SANITIZER
constexpr std::size_t stack_bytes = std::size_t{1} << 18;
#else
constexpr std::size_t stack_bytes = std::size_t{1} << 16;
#endif
}  // namespace

struct Fibre::Machine {
  char* stack =
      nullptr;  ///< its lowest page may not be touched: an overflow ends the program instead of spoiling others
#ifdef PHONAUT_OWN_SWITCH
  void *inside = nullptr, *outside = nullptr;
#else
  ucontext_t inside{}, outside{};
#endif
#ifdef PHONAUT_ADDRESS_SANITIZER
  void *fake_inside = nullptr, *fake_outside = nullptr;
  const void* outside_bottom = nullptr;
  std::size_t outside_bytes = 0;
#endif
};

Fibre::Fibre() : machine_(new Machine) {
  void* pages = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) {
    delete machine_;
    throw std::bad_alloc();
  }
  machine_->stack = static_cast<char*>(pages);
  mprotect(pages, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)), PROT_NONE);
}
Fibre::~Fibre() {
  munmap(machine_->stack, stack_bytes);
  delete machine_;
}

void Fibre::begin(void* fibre) {
  auto* const self = static_cast<Fibre*>(fibre);
#ifdef PHONAUT_ADDRESS_SANITIZER
  Machine& m = *self->machine_;
  __sanitizer_finish_switch_fiber(nullptr, &m.outside_bottom, &m.outside_bytes);
#endif
  self->entry_(self->argument_);
}

#ifdef PHONAUT_OWN_SWITCH
namespace {
/// Where a new stack begins: `ret` of the switch comes here, with the fibre in a register that the switch restored.
extern "C" [[noreturn]] void phonaut_fibre_begins(void (*begin)(void*), void* fibre) {
  begin(fibre);
  __builtin_trap();
}
extern "C" void phonaut_fibre_trampoline();
asm(R"(
.text
.globl phonaut_fibre_trampoline
.type phonaut_fibre_trampoline, @function
phonaut_fibre_trampoline:
  movq %r12, %rdi
  movq %r13, %rsi
  call phonaut_fibre_begins
.size phonaut_fibre_trampoline, .-phonaut_fibre_trampoline
)");
}  // namespace
#endif

void Fibre::prepare(void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  Machine& m = *machine_;
#ifdef PHONAUT_ADDRESS_SANITIZER
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  __asan_unpoison_memory_region(m.stack + page, stack_bytes - page);
  m.fake_inside = nullptr;
#endif
#ifdef PHONAUT_OWN_SWITCH
  // What `phonaut_switch_stacks` pops: r15 r14 r13 r12 rbx rbp, then the address to return to. The trampoline's call
  // finds the stack aligned to 16 bytes, as the calling convention wants.
  auto* top = reinterpret_cast<std::uintptr_t*>(m.stack + stack_bytes - 64);
  void (*const first)(void*) = &Fibre::begin;
  *--top = 0;
  *--top = 0;
  *--top = reinterpret_cast<std::uintptr_t>(&phonaut_fibre_trampoline);
  *--top = 0;                                        // rbp
  *--top = 0;                                        // rbx
  *--top = reinterpret_cast<std::uintptr_t>(first);  // r12
  *--top = reinterpret_cast<std::uintptr_t>(this);   // r13
  *--top = 0;                                        // r14
  *--top = 0;                                        // r15
  m.inside = top;
#else
  getcontext(&m.inside);
  m.inside.uc_stack.ss_sp = m.stack;
  m.inside.uc_stack.ss_size = stack_bytes;
  m.inside.uc_link = nullptr;
  const auto address = reinterpret_cast<std::uintptr_t>(this);
  // makecontext passes ints: the address goes in two halves.
  makecontext(&m.inside, reinterpret_cast<void (*)()>(+[](unsigned high, unsigned low) {
    begin(reinterpret_cast<void*>((static_cast<std::uintptr_t>(high) << 32) | low));
  }),
              2, static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
#endif
}

void Fibre::enter() {
  Machine& m = *machine_;
#ifdef PHONAUT_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(&m.fake_outside, m.stack, stack_bytes);
#endif
#ifdef PHONAUT_OWN_SWITCH
  phonaut_switch_stacks(&m.outside, m.inside);
#else
  swapcontext(&m.outside, &m.inside);
#endif
#ifdef PHONAUT_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(m.fake_outside, nullptr, nullptr);
#endif
}

void Fibre::leave() {
  Machine& m = *machine_;
#ifdef PHONAUT_ADDRESS_SANITIZER
  __sanitizer_start_switch_fiber(&m.fake_inside, m.outside_bottom, m.outside_bytes);
#endif
#ifdef PHONAUT_OWN_SWITCH
  phonaut_switch_stacks(&m.inside, m.outside);
#else
  swapcontext(&m.inside, &m.outside);
#endif
#ifdef PHONAUT_ADDRESS_SANITIZER
  __sanitizer_finish_switch_fiber(m.fake_inside, &m.outside_bottom, &m.outside_bytes);
#endif
}

}  // namespace phonaut::emulator
