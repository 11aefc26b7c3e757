// Blocks are cut off one after the other; the allocator above caches them by size.
#include "torch_backend/memory/pinned_arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <mutex>
#include <vector>

namespace mtia::torch_backend {
namespace {

constexpr size_t arena_bytes = size_t{1} << 36;  // of addresses

class Arena {
 public:
  Arena() {
    file_ = memfd_create("mtia_sim pinned memory", MFD_CLOEXEC);
    if (file_ < 0 || ftruncate(file_, static_cast<off_t>(arena_bytes)) != 0) return;
    std::byte* program = map();
    std::byte* device = map();
    if (program == nullptr || device == nullptr) return;
    device_ = device;
    program_ = program;
  }

  std::byte* take(size_t bytes) {
    const std::lock_guard lock(mutex_);
    std::vector<std::byte*>& spare = spare_[static_cast<size_t>(std::countr_zero(bytes))];
    if (!spare.empty()) {
      std::byte* block = spare.back();
      spare.pop_back();
      return block;
    }
    if (program_ == nullptr || bytes > arena_bytes - used_) return nullptr;
    used_ += bytes;
    return program_ + (used_ - bytes);
  }

  void give(std::byte* block, size_t bytes) {
    const std::lock_guard lock(mutex_);
    fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, block - program_, static_cast<off_t>(bytes));
    spare_[static_cast<size_t>(std::countr_zero(bytes))].push_back(block);
  }

  bool holds(const void* data) const {
    return program_ != nullptr && data >= program_ && data < program_ + arena_bytes;
  }
  void* device_view(const void* data) const { return device_ + (static_cast<const std::byte*>(data) - program_); }

 private:
  std::byte* map() const {
    void* address = mmap(nullptr, arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_, 0);
    return address == MAP_FAILED ? nullptr : static_cast<std::byte*>(address);
  }

  int file_ = -1;
  std::byte* program_ = nullptr;
  std::byte* device_ = nullptr;
  std::mutex mutex_;
  size_t used_ = 0;
  std::array<std::vector<std::byte*>, 64> spare_;  // by the logarithm of their size
};

std::atomic<Arena*> made{nullptr};

}  // namespace

std::byte* take_from_arena(size_t bytes) {
  static auto* const arena = new Arena;
  made.store(arena, std::memory_order_release);
  return arena->take(bytes);
}

void give_to_arena(std::byte* block, size_t bytes) { made.load()->give(block, bytes); }

bool is_in_arena(const void* data) noexcept {
  const Arena* arena = made.load(std::memory_order_acquire);
  return arena != nullptr && arena->holds(data);
}

void* device_view(const void* data) noexcept {
  return is_in_arena(data) ? made.load()->device_view(data) : const_cast<void*>(data);
}

}  // namespace mtia::torch_backend
