// A table of packed operands over one stretch of address space.
#include "emulator/pe/dot_product_engine/operand_packs.h"

#include <sys/mman.h>

#include <algorithm>
#include <thread>
#include <tuple>

#include "host_math/dot.h"

namespace mtia::emulator {
namespace {

constexpr size_t room = size_t{512} << 20;   // bytes of packed operands of a launch
constexpr size_t keeps = size_t{256} << 20;  // bytes that stay committed between launches
constexpr size_t alignment = 64;
// Operands that a launch packs before it is asked whether any of them were used again.
constexpr size_t trial = 256;

// First and last byte of an operand.
std::pair<const std::byte*, const std::byte*> bytes_of(const Tile& tile) {
  const auto size = static_cast<int64_t>(size_of(tile.dtype));
  const int64_t down = (tile.rows - 1) * tile.row_stride * size;
  const int64_t across = (tile.columns - 1) * tile.column_stride * size;
  return {tile.data + std::min<int64_t>(0, down) + std::min<int64_t>(0, across),
          tile.data + std::max<int64_t>(0, down) + std::max<int64_t>(0, across) + size};
}

host_math::ConstMatrix matrix_of(const Tile& tile) { return {tile.data, tile.row_stride, tile.column_stride}; }

size_t packed_bytes(OperandPacks::Side side, const Tile& tile) {
  const auto bytes = side == OperandPacks::Side::left ? &host_math::packed_a_bytes : &host_math::packed_b_bytes;
  return bytes(tile.dtype, static_cast<size_t>(tile.rows), static_cast<size_t>(tile.columns),
               host_math::selected_isa());
}

size_t parts_of(OperandPacks::Side side, const Tile& tile) {
  const auto parts = side == OperandPacks::Side::left ? &host_math::parts_of_a : &host_math::parts_of_b;
  return parts(tile.dtype, matrix_of(tile), static_cast<size_t>(tile.rows), static_cast<size_t>(tile.columns),
               host_math::selected_isa());
}

void pack_part(OperandPacks::Side side, const Tile& tile, std::byte* packed, size_t part) {
  const auto pack = side == OperandPacks::Side::left ? &host_math::pack_part_of_a : &host_math::pack_part_of_b;
  pack(tile.dtype, packed, matrix_of(tile), static_cast<size_t>(tile.rows), static_cast<size_t>(tile.columns), part,
       host_math::selected_isa());
}

}  // namespace

size_t OperandPacks::Key::hash() const {
  size_t value = reinterpret_cast<uintptr_t>(data);
  for (const int64_t part : {rows, columns, row_stride, static_cast<int64_t>(side)})
    value = (value ^ value >> 29U) * 0x9E3779B97F4A7C15U + static_cast<uint64_t>(part);
  value *= 0xBF58476D1CE4E5B9U;
  return value ^ value >> 31U;
}

OperandPacks::OperandPacks() : table_(slots) {
  void* memory = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return;
  memory_ = static_cast<std::byte*>(memory);
  madvise(memory_, room, MADV_HUGEPAGE);  // products stream through it
}

OperandPacks::~OperandPacks() {
  if (memory_ != nullptr) munmap(memory_, room);
}

std::byte* OperandPacks::reserve(size_t bytes) {
  bytes = (bytes + alignment - 1) / alignment * alignment;
  if (memory_ == nullptr || bytes > room - used_) return nullptr;
  std::byte* reserved = memory_ + used_;
  used_ += bytes;
  return reserved;
}

bool OperandPacks::pays() const {
  const size_t count = count_.load(std::memory_order_relaxed);
  return count < trial || hits_.load(std::memory_order_relaxed) * 2 > count;
}

OperandPacks::Entry* OperandPacks::look_up(const Key& key, uint32_t& slot) const {
  for (slot = static_cast<uint32_t>(key.hash() % slots);; slot = (slot + 1) % slots) {
    Entry* entry = table_[slot].load(std::memory_order_acquire);
    if (entry == nullptr || (entry->key == key && !entry->is_stale.load(std::memory_order_acquire))) return entry;
  }
}

OperandPacks::Entry* OperandPacks::insert(const Key& key, Side side, const Tile& tile) {
  const std::lock_guard lock(mutex_);
  uint32_t slot = 0;
  if (Entry* found = look_up(key, slot); found != nullptr) return found;
  const size_t count = count_.load(std::memory_order_relaxed);
  if (count == most_entries) return nullptr;
  std::byte* memory = reserve(packed_bytes(side, tile));
  if (memory == nullptr) return nullptr;
  if (count == entries_.size()) entries_.emplace_back();
  count_.store(count + 1, std::memory_order_relaxed);
  Entry& entry = entries_[count];
  entry.key = key;
  entry.slot = slot;
  entry.memory = memory;
  entry.parts = parts_of(side, tile);
  entry.next.store(0, std::memory_order_relaxed);
  entry.done.store(0, std::memory_order_relaxed);
  entry.failed.store(false, std::memory_order_relaxed);
  entry.is_stale.store(false, std::memory_order_relaxed);
  std::tie(entry.low, entry.high) = bytes_of(tile);
  if (count == 0 || entry.low < low_.load(std::memory_order_relaxed)) low_.store(entry.low, std::memory_order_relaxed);
  if (count == 0 || entry.high > high_.load(std::memory_order_relaxed))
    high_.store(entry.high, std::memory_order_relaxed);
  table_[slot].store(&entry, std::memory_order_release);
  return &entry;
}

const std::byte* OperandPacks::find(Side side, const Tile& tile) {
  const Key key{tile.data, tile.row_stride, tile.column_stride, tile.rows, tile.columns, tile.dtype, side};
  uint32_t slot = 0;
  Entry* entry = look_up(key, slot);
  if (entry == nullptr) {
    entry = pays() ? insert(key, side, tile) : nullptr;
    if (entry == nullptr) return nullptr;
  } else {
    hits_.store(hits_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  if (entry->done.load(std::memory_order_acquire) == entry->parts) return entry->memory;
  return pack(*entry, side, tile);
}

const std::byte* OperandPacks::pack(Entry& entry, Side side, const Tile& tile) {
  for (size_t part = entry.next.fetch_add(1); part < entry.parts; part = entry.next.fetch_add(1)) {
    try {
      pack_part(side, tile, entry.memory, part);
    } catch (...) {
      entry.failed.store(true, std::memory_order_release);
      throw;
    }
    entry.done.fetch_add(1, std::memory_order_acq_rel);
  }
  while (entry.done.load(std::memory_order_acquire) != entry.parts) {
    if (entry.failed.load(std::memory_order_acquire)) return nullptr;
    std::this_thread::yield();
  }
  return entry.memory;
}

void OperandPacks::forget(const std::byte* low, const std::byte* high) {
  const std::lock_guard lock(mutex_);
  for (; ranged_ < count_.load(std::memory_order_relaxed); ++ranged_) {
    Entry& entry = entries_[ranged_];
    ranges_.emplace(entry.low, &entry);
    longest_ = std::max(longest_, entry.high - entry.low);
  }
  for (auto range = ranges_.lower_bound(low - longest_); range != ranges_.end() && range->first < high;) {
    if (range->second->high <= low) {
      ++range;
      continue;
    }
    range->second->is_stale.store(true, std::memory_order_release);
    range = ranges_.erase(range);
  }
}

void OperandPacks::clear() {
  const size_t count = count_.exchange(0, std::memory_order_relaxed);
  if (count == 0) return;
  for (size_t i = 0; i < count; ++i) table_[entries_[i].slot].store(nullptr, std::memory_order_relaxed);
  ranges_.clear();
  ranged_ = 0;
  longest_ = 0;
  low_.store(nullptr, std::memory_order_relaxed);
  high_.store(nullptr, std::memory_order_relaxed);
  if (used_ > keeps) madvise(memory_ + keeps, used_ - keeps, MADV_DONTNEED);
  used_ = 0;
  hits_.store(0, std::memory_order_relaxed);
}

}  // namespace mtia::emulator
