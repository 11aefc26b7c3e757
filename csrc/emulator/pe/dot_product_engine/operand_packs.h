// Operands of products that lie in device memory, in the order of the host's dot kernels: packed once a launch by the
// host threads that need one first, which share the work. A convenience of the emulator that costs nothing on the chip.
// Whether an operand is found, packed or neither depends on the threads' timing; the product's bits do not.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "emulator/pe/tile.h"

namespace mtia::emulator {

class OperandPacks {
 public:
  OperandPacks();
  ~OperandPacks();
  OperandPacks(const OperandPacks&) = delete;
  OperandPacks& operator=(const OperandPacks&) = delete;

  enum class Side : uint8_t { left, right };

  // The packed form of an operand in device memory, at the same place until clear(); nullptr where packing does not
  // pay: the room is used up, or hardly anything was asked for twice. A thread helps others that pack the same
  // operand, and waits for them.
  const std::byte* find(Side side, const Tile& tile);

  // Host bytes [low, high) of device memory were written: what was packed of them is forgotten.
  void wrote(const std::byte* low, const std::byte* high) {
    if (high > low_.load(std::memory_order_relaxed) && low < high_.load(std::memory_order_relaxed)) forget(low, high);
  }

  // Between launches: forgets everything.
  void clear();

 private:
  struct Key {
    const std::byte* data;
    int64_t row_stride;
    int64_t column_stride;
    int64_t rows;
    int64_t columns;
    DType dtype;
    Side side;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    size_t operator()(const Key& key) const;
  };
  struct Entry {
    Entry(std::byte* packed, size_t count) : memory(packed), parts(count) {}
    std::byte* memory;
    size_t parts;
    std::atomic<size_t> next{0};  // part that nobody has taken
    std::atomic<size_t> done{0};
    std::atomic<bool> failed{false};
  };
  // Threads look different operands up at the same time.
  struct Shard {
    std::mutex mutex;
    std::unordered_map<Key, std::shared_ptr<Entry>, Hash> entries;
  };
  struct Range {
    const std::byte* high;
    Key key;
  };

  Shard& shard_of(const Key& key) { return shards_[Hash()(key) >> 7U & (shards_.size() - 1)]; }
  std::byte* reserve(size_t bytes);
  bool pays();
  static const std::byte* pack(Entry& entry, Side side, const Tile& tile);
  void note_range(const Tile& tile, const Key& key);
  void forget(const std::byte* low, const std::byte* high);

  std::array<Shard, 16> shards_;
  std::mutex ranges_mutex_;
  std::multimap<const std::byte*, Range> ranges_;  // host bytes of the operands, by their first
  ptrdiff_t longest_ = 0;                          // of ranges_
  std::atomic<const std::byte*> low_{nullptr};     // of all of them; none: low_ >= high_
  std::atomic<const std::byte*> high_{nullptr};
  std::byte* memory_ = nullptr;  // address space that is committed when it is touched
  std::atomic<size_t> used_{0};
  std::atomic<uint64_t> hits_{0};
  std::atomic<uint64_t> misses_{0};
};

}  // namespace mtia::emulator
