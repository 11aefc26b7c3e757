// Stacks, the switch between fibers, and what the sanitizers must be told of it.
#include "emulator/fibers/fiber.h"

#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>

#include "emulator/fibers/switch.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
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

FiberStack::~FiberStack() {
  forget_frames();
  munmap(memory_, guard_ + bytes);
}

void FiberStack::forget_frames() const {
  // Frames that never returned leave the red zones around their variables marked, for whoever has the memory next.
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(bottom(), bytes);
#endif
}

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
  stack.forget_frames();
  stack_ = &stack;
  entry_ = entry;
  argument_ = argument;
  exceptions_ = {};
  saved_ = make_context(stack.bottom(), FiberStack::bytes, &Fiber::begin, this, saved_);
}

void Fiber::begin(void* fiber) {
  Fiber& self = *static_cast<Fiber*>(fiber);
  self.arrive();
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
  to.left_ = &from;
  const void* bottom = to.stack_ == nullptr ? to.thread_bottom_ : to.stack_->bottom();
  const size_t bytes = to.stack_ == nullptr ? to.thread_bytes_ : FiberStack::bytes;
  __sanitizer_start_switch_fiber(finished ? nullptr : &from.sanitizer_, bottom, bytes);
#endif
  switch_context(&from.saved_, to.saved_);
  from.arrive();
}

void Fiber::arrive() {
#if defined(__SANITIZE_ADDRESS__)
  // Where the stack was that is left: needed for the way back to a thread, whose stack no fiber made.
  __sanitizer_finish_switch_fiber(sanitizer_, &left_->thread_bottom_, &left_->thread_bytes_);
#endif
}

}  // namespace mtia::emulator
