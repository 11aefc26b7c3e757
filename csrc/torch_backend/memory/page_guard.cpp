// Page protection and the handler of its faults.
//
// A fault of this kind comes from one instruction of the program that loads or stores pinned memory: never from within
// the C library's allocator, the interpreter's own structures or a lock of ours, so that the handler may ask the
// interpreter for its line.
#include "torch_backend/memory/page_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <atomic>
#include <mutex>

#include "base/fault_chain.h"
#include "runtime/checking.h"
#include "torch_backend/memory/pinned_arena.h"

namespace mtia::torch_backend {

struct Slot {
  std::atomic<std::byte*> begin{nullptr};  // nullptr: free
  std::atomic<std::byte*> end{nullptr};
  std::atomic<PageGuard::Forbids> forbids{PageGuard::Forbids::all};
  std::atomic<bool> lifted{false};
  std::atomic<const std::byte*> address{nullptr};
  std::atomic<bool> writes{false};
  std::atomic<uint32_t> location{0};
};

namespace {

// Each guard may split a mapping of the process in three, of which a process has 65,530.
constexpr size_t most_guards = 4096;

std::array<Slot, most_guards> slots;
std::atomic<size_t> slots_used{0};  // no slot from here on was ever taken
std::mutex slots_mutex;

void protect(std::byte* begin, std::byte* end, int protection) {
  if (begin < end) mprotect(begin, static_cast<size_t>(end - begin), protection);
}

bool is_write([[maybe_unused]] const void* context) {
#if defined(__x86_64__)
  return (static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
  return true;
#endif
}

bool lift_guard(int, siginfo_t* information, void* context) {
  auto* address = static_cast<std::byte*>(information->si_addr);
  if (!is_in_arena(address)) return false;
  const bool writes = is_write(context);
  const uint32_t location = runtime::present_location();
  for (size_t i = 0; i < slots_used.load(std::memory_order_acquire); ++i) {
    Slot& slot = slots[i];
    std::byte* begin = slot.begin.load(std::memory_order_acquire);
    std::byte* end = slot.end.load(std::memory_order_acquire);
    if (begin == nullptr || address < begin || address >= end) continue;
    if (!writes && slot.forbids.load() == PageGuard::Forbids::writes) continue;
    const std::byte* nobody = nullptr;
    if (slot.address.compare_exchange_strong(nobody, address)) slot.writes = writes;
    if (location == 0) continue;
    // A thread of torch's pool knows no line: until one that does comes by, each gets only the page it needs.
    uint32_t unknown = 0;
    slot.location.compare_exchange_strong(unknown, location);
    slot.lifted = true;
    protect(begin, end, PROT_READ | PROT_WRITE);
  }
  std::byte* page = address - reinterpret_cast<uintptr_t>(address) % pinned_page;
  protect(page, page + pinned_page, PROT_READ | PROT_WRITE);
  return true;
}

// What the guards that are left forbid of [begin, end). With the lock held.
void reapply(std::byte* begin, std::byte* end) {
  using Forbids = PageGuard::Forbids;
  for (const Forbids forbids : {Forbids::writes, Forbids::all}) {
    for (size_t i = 0; i < slots_used.load(); ++i) {
      const Slot& slot = slots[i];
      if (slot.begin.load() == nullptr || slot.lifted.load() || slot.forbids.load() != forbids) continue;
      protect(std::max(begin, slot.begin.load()), std::min(end, slot.end.load()),
              forbids == Forbids::all ? PROT_NONE : PROT_READ);
    }
  }
}

}  // namespace

PageGuard::PageGuard(std::byte* begin, std::byte* end, Forbids forbids) {
  if (begin >= end) return;
  const std::lock_guard lock(slots_mutex);
  add_fault_link(SIGSEGV, &lift_guard);
  size_t free = 0;
  while (free < slots_used.load() && slots[free].begin.load() != nullptr) ++free;
  if (free == most_guards) return;
  slot_ = &slots[free];
  slot_->forbids = forbids;
  slot_->lifted = false;
  slot_->address = nullptr;
  slot_->writes = false;
  slot_->location = 0;
  slot_->end = end;
  slot_->begin.store(begin, std::memory_order_release);
  if (free == slots_used.load()) slots_used.store(free + 1, std::memory_order_release);
  reapply(begin, end);
}

PageGuard::~PageGuard() {
  if (slot_ == nullptr) return;
  const std::lock_guard lock(slots_mutex);
  std::byte* begin = slot_->begin.load();
  std::byte* end = slot_->end.load();
  slot_->begin.store(nullptr, std::memory_order_release);
  protect(begin, end, PROT_READ | PROT_WRITE);
  reapply(begin, end);
}

std::optional<GuardedAccess> PageGuard::access() const {
  if (slot_ == nullptr || slot_->address.load() == nullptr) return std::nullopt;
  return GuardedAccess{slot_->address.load(), slot_->writes.load(), slot_->location.load()};
}

}  // namespace mtia::torch_backend
