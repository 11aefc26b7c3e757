// x86-64 assembly, System V convention; other hosts use ucontext, whose system call for the signal mask makes it twenty
// times slower.
#include "emulator/fibers/switch.h"

#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>

#include <memory>
#endif

namespace mtia::emulator {

#if defined(__x86_64__)

// rbx, rbp and r12 to r15 are the callee's to keep; the control words of SSE and x87 are the program's, not a fiber's.
asm(R"(
.text
.p2align 4
.globl mtia_switch_context
.hidden mtia_switch_context
.type mtia_switch_context, @function
mtia_switch_context:
  .cfi_startproc
  endbr64
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
  .cfi_endproc
.size mtia_switch_context, .-mtia_switch_context

.p2align 4
.hidden mtia_start_context
.type mtia_start_context, @function
mtia_start_context:
  .cfi_startproc
  .cfi_undefined rip
  endbr64
  movq %r12, %rdi
  call *%r13
  ud2
  .cfi_endproc
.size mtia_start_context, .-mtia_start_context
)");

extern "C" __attribute__((visibility("hidden"))) void mtia_start_context();

void* make_context(std::byte* bottom, size_t bytes, void (*start)(void*), void* argument, void*) {
  auto* top = reinterpret_cast<uint64_t*>(reinterpret_cast<uintptr_t>(bottom + bytes) & ~uintptr_t{63});
  // As mtia_switch_context leaves it: r15 r14 r13 r12 rbx rbp, the return address, and above it an aligned stack.
  uint64_t* frame = top - 9;
  frame[0] = 0;
  frame[1] = 0;
  frame[2] = reinterpret_cast<uint64_t>(start);
  frame[3] = reinterpret_cast<uint64_t>(argument);
  frame[4] = 0;
  frame[5] = 0;
  frame[6] = reinterpret_cast<uint64_t>(&mtia_start_context);
  frame[7] = frame[8] = 0;
  return frame;
}

void free_context(void*) {}  // it lies on the fiber's stack

#else

namespace {
struct Context {
  ucontext_t context;
  void (*start)(void*) = nullptr;
  void* argument = nullptr;
};

void enter(unsigned low, unsigned high) {
  auto* context = reinterpret_cast<Context*>(static_cast<uintptr_t>(low) | static_cast<uintptr_t>(high) << 32);
  context->start(context->argument);
}
}  // namespace

void* make_context(std::byte* bottom, size_t bytes, void (*start)(void*), void* argument, void* previous) {
  auto* context = previous == nullptr ? new Context : static_cast<Context*>(previous);
  context->start = start;
  context->argument = argument;
  getcontext(&context->context);
  context->context.uc_stack.ss_sp = bottom;
  context->context.uc_stack.ss_size = bytes;
  context->context.uc_link = nullptr;
  const auto address = reinterpret_cast<uintptr_t>(context);
  makecontext(&context->context, reinterpret_cast<void (*)()>(&enter), 2, static_cast<unsigned>(address),
              static_cast<unsigned>(static_cast<uint64_t>(address) >> 32));
  return context;
}

void free_context(void* context) { delete static_cast<Context*>(context); }

extern "C" void mtia_switch_context(void** from, void* to) {
  // A thread that switches for the first time has no context of its own yet.
  if (*from == nullptr) *from = new Context;
  swapcontext(&static_cast<Context*>(*from)->context, &static_cast<Context*>(to)->context);
}

#endif

}  // namespace mtia::emulator
