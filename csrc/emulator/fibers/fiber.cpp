// Stacks, the switch between fibers, and what the sanitizers must be told of it.
#include "emulator/fibers/fiber.h"

#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "emulator/fibers/switch.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace mtia::emulator {

FiberStack::FiberStack() : guard_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
  void* memory = mmap(nullptr, guard_ + bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<std::byte*>(memory);
  if (mprotect(memory_, guard_, PROT_NONE) != 0) {
    munmap(memory, guard_ + bytes);
    throw std::bad_alloc();
  }
}

FiberStack::~FiberStack() { munmap(memory_, guard_ + bytes); }

FiberStack* StackPool::take() {
  if (free_.empty()) {
    all_.push_back(std::make_unique<FiberStack>());
    return all_.back().get();
  }
  FiberStack* stack = free_.back();
  free_.pop_back();
  return stack;
}

Fiber::~Fiber() {
  free_context(saved_);
#if defined(__SANITIZE_THREAD__)
  if (stack_ != nullptr && sanitizer_ != nullptr) __tsan_destroy_fiber(sanitizer_);
#endif
}

void Fiber::prepare(FiberStack& stack, Entry entry, void* argument) {
#if defined(__SANITIZE_THREAD__)
  if (stack_ != nullptr && sanitizer_ != nullptr) __tsan_destroy_fiber(sanitizer_);
  sanitizer_ = __tsan_create_fiber(0);
#else
  sanitizer_ = nullptr;
#endif
  stack_ = &stack;
  entry_ = entry;
  argument_ = argument;
  exceptions_ = {};
  saved_ = make_context(stack.bottom(), FiberStack::bytes, &Fiber::begin, this, saved_);
}

void Fiber::begin(void* fiber) {
  Fiber& self = *static_cast<Fiber*>(fiber);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
  self.entry_(self.argument_);
  __builtin_trap();
}

void Fiber::change(Fiber& from, Fiber& to, [[maybe_unused]] bool finished) {
  void* globals = abi::__cxa_get_globals();
  std::memcpy(&from.exceptions_, globals, sizeof(Exceptions));
  std::memcpy(globals, &to.exceptions_, sizeof(Exceptions));
#if defined(__SANITIZE_THREAD__)
  if (from.stack_ == nullptr) from.sanitizer_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.sanitizer_, 0);
#endif
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = to.stack_ == nullptr ? to.thread_bottom_ : to.stack_->bottom();
  const size_t bytes = to.stack_ == nullptr ? to.thread_bytes_ : FiberStack::bytes;
  if (from.stack_ == nullptr) {
    // The thread's own stack, for the way back.
    pthread_attr_t attributes;
    void* low = nullptr;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &low, &from.thread_bytes_);
    pthread_attr_destroy(&attributes);
    from.thread_bottom_ = low;
  }
  __sanitizer_start_switch_fiber(finished ? nullptr : &from.sanitizer_, bottom, bytes);
#endif
  switch_context(&from.saved_, to.saved_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.sanitizer_, nullptr, nullptr);
#endif
}

}  // namespace mtia::emulator
