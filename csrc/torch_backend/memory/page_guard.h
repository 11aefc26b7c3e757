// Takes pages of pinned_arena.h from the program and notes who comes to them all the same.
//
// The program's access faults; the handler notes it, gives the pages back and lets the access go on. The device has a
// mapping of its own and notices nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace mtia::torch_backend {

// The program's first access to guarded pages.
struct GuardedAccess {
  const std::byte* address = nullptr;
  bool writes = false;
  uint32_t location = 0;  // line of the Python program (emulator/checks/locations.h); 0: of a thread without one
};

class PageGuard {
 public:
  enum class Forbids : uint8_t { writes, all };

  // Guards the pages of [begin, end), which are whole ones of the arena. Without effect where too many are guarded.
  PageGuard(std::byte* begin, std::byte* end, Forbids forbids);
  ~PageGuard();
  PageGuard(const PageGuard&) = delete;
  PageGuard& operator=(const PageGuard&) = delete;

  std::optional<GuardedAccess> access() const;

 private:
  struct Slot* slot_ = nullptr;
};

}  // namespace mtia::torch_backend
