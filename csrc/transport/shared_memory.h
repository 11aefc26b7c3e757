// Memory that processes of one host share. It has no name: nothing is left of it when they are gone, however they end.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace mtia::transport {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int file) : file_(file) {}
  FileDescriptor(FileDescriptor&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  ~FileDescriptor();
  int get() const { return file_; }
  explicit operator bool() const { return file_ >= 0; }

 private:
  int file_ = -1;
};

// A mapping of memory that others map too.
class SharedMemory {
 public:
  SharedMemory() = default;
  // New memory, all zero. Throws std::runtime_error where the host refuses it.
  explicit SharedMemory(size_t bytes);
  // Another process's.
  SharedMemory(FileDescriptor file, size_t bytes);
  SharedMemory(SharedMemory&& other) noexcept
      : file_(std::move(other.file_)), data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
  SharedMemory& operator=(SharedMemory&& other) noexcept;
  ~SharedMemory();

  std::byte* data() const { return data_; }
  int file() const { return file_.get(); }

 private:
  void map();

  FileDescriptor file_;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

// What a process sleeps by until another rings. All zero when made; lives in shared memory.
class Bell {
 public:
  uint32_t rings() const { return rings_.load(std::memory_order_seq_cst); }
  void ring();
  // Until it has rung since rings() was `seen`, or the time is over; it may return earlier.
  void wait(uint32_t seen, std::chrono::milliseconds timeout);

 private:
  std::atomic<uint32_t> rings_;
  std::atomic<uint32_t> sleepers_;
};

// Slots of bytes from one process to another, in order. All zero when made; lives in shared memory, the bytes of the
// slots behind it at a multiple of the page.
class Ring {
 public:
  static constexpr size_t slots = 8;

  struct Slot {
    uint32_t tag;
    uint64_t bytes;
  };

  // ---- the sender's
  bool has_room() const {
    return written_.load(std::memory_order_relaxed) - taken_.load(std::memory_order_acquire) < slots;
  }
  size_t next_written() const { return written_.load(std::memory_order_relaxed) % slots; }
  void publish(const Slot& slot) {
    slots_[next_written()] = slot;
    written_.fetch_add(1, std::memory_order_release);
  }

  // ---- the receiver's; it may hold several slots before it gives back the oldest
  bool has(uint64_t number) const { return written_.load(std::memory_order_acquire) > number; }
  const Slot& slot(uint64_t number) const { return slots_[number % slots]; }
  void give_back() { taken_.fetch_add(1, std::memory_order_release); }

 private:
  alignas(64) std::atomic<uint64_t> written_;
  alignas(64) std::atomic<uint64_t> taken_;
  alignas(64) std::array<Slot, slots> slots_;
};

static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);

}  // namespace mtia::transport
