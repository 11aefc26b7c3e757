// Operands of products that lie in device memory, in the order of the host's dot kernels: packed once a launch by the
// host threads that need one first, which share the work. A convenience of the emulator that costs nothing on the chip.
// Whether an operand is found, packed or neither depends on the threads' timing; the product's bits do not.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <vector>

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
    size_t hash() const;
  };
  struct Entry {
    Key key;
    uint32_t slot = 0;               // in the table
    const std::byte* low = nullptr;  // host bytes of the operand
    const std::byte* high = nullptr;
    std::byte* memory = nullptr;
    size_t parts = 0;
    std::atomic<size_t> next{0};  // part that nobody has taken
    std::atomic<size_t> done{0};
    std::atomic<bool> failed{false};
    std::atomic<bool> is_stale{false};  // overwritten: another entry of its key may follow
  };

  static constexpr size_t slots = size_t{1} << 15;
  static constexpr size_t most_entries = slots / 2;

  // The entry of a key, or nullptr; `slot` becomes its place, or the empty one where it would go.
  Entry* look_up(const Key& key, uint32_t& slot) const;
  Entry* insert(const Key& key, Side side, const Tile& tile);
  std::byte* reserve(size_t bytes);
  bool pays() const;
  static const std::byte* pack(Entry& entry, Side side, const Tile& tile);
  void forget(const std::byte* low, const std::byte* high);

  // Open addressing: read without a lock, written under it. Entries stay where they are until clear().
  std::vector<std::atomic<Entry*>> table_;
  std::mutex mutex_;
  std::deque<Entry> entries_;  // the first `count_` are in use
  std::atomic<size_t> count_{0};
  std::multimap<const std::byte*, Entry*> ranges_;  // the first `ranged_` entries, by `low`
  size_t ranged_ = 0;
  ptrdiff_t longest_ = 0;                       // of ranges_
  std::atomic<const std::byte*> low_{nullptr};  // of all entries; none: low_ >= high_
  std::atomic<const std::byte*> high_{nullptr};
  std::byte* memory_ = nullptr;  // address space that is committed when it is touched
  size_t used_ = 0;
  // About how many: threads may overwrite each other's counts, which is cheaper than a count that they share.
  alignas(64) std::atomic<uint64_t> hits_{0};
};

}  // namespace mtia::emulator
