// Fibers: functions with stacks of their own that hand the host thread to each other. A switch saves the callee-saved
// registers and the exception state and takes about 12 ns on x86-64 (assembly in switch.cpp; ucontext elsewhere).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace mtia::emulator {

// Memory of a fiber's stack, with a page below it that faults. Made once, used by many fibers one after the other.
class FiberStack {
 public:
  static constexpr size_t bytes = size_t{256} << 10;
  FiberStack();
  ~FiberStack();
  FiberStack(const FiberStack&) = delete;
  FiberStack& operator=(const FiberStack&) = delete;

  std::byte* bottom() const { return memory_ + guard_; }
  std::byte* top() const { return bottom() + bytes; }

  // Tells ASan that no function's variables are on it any more; nothing without ASan.
  void forget_frames() const;

 private:
  size_t guard_;
  std::byte* memory_;
};

// One side of a switch: a fiber, or the thread that runs fibers. What it was doing is kept here while it does not run.
class Fiber {
 public:
  using Entry = void (*)(void* argument);

  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Prepares a fiber that calls entry(argument) when it is first switched to. The entry never returns: it switches away
  // for good. Whatever the fiber did before is forgotten.
  void prepare(FiberStack& stack, Entry entry, void* argument);

  // Leaves `from`, which must be the one that runs, and goes on with `to`. Returns when something switches to `from`.
  // `finished`: `from` never runs again.
  static void change(Fiber& from, Fiber& to, bool finished = false);

 private:
  [[noreturn]] static void begin(void* fiber);
  // The first thing on a stack that was switched to.
  void arrive();

  struct Exceptions {  // of the C++ runtime, one set a thread
    void* caught = nullptr;
    unsigned uncaught = 0;
  };

  void* saved_ = nullptr;  // stack pointer, or the ucontext
  FiberStack* stack_ = nullptr;
  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  Exceptions exceptions_;
  void* sanitizer_ = nullptr;            // TSan's fiber, or ASan's fake stack
  const void* thread_bottom_ = nullptr;  // of the thread's own stack, for ASan
  size_t thread_bytes_ = 0;
  Fiber* left_ = nullptr;  // who switched to this one last, for ASan
};

// Stacks that no fiber uses.
class StackPool {
 public:
  FiberStack* take();
  void give(FiberStack* stack) { free_.push_back(stack); }

 private:
  std::vector<std::unique_ptr<FiberStack>> all_;
  std::vector<FiberStack*> free_;
};

}  // namespace mtia::emulator
