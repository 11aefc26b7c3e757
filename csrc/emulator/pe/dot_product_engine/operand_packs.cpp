// A table of packed operands over one stretch of address space.
#include "emulator/pe/dot_product_engine/operand_packs.h"

#include <sys/mman.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "host_math/dot.h"

namespace mtia::emulator {
namespace {

constexpr size_t room = size_t{512} << 20;   // bytes of packed operands of a launch
constexpr size_t keeps = size_t{256} << 20;  // bytes that stay committed between launches
constexpr size_t alignment = 64;
// Operands that a launch packs before it is asked whether any of them were used again.
constexpr uint64_t trial = 256;

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

size_t OperandPacks::Hash::operator()(const Key& key) const {
  size_t value = reinterpret_cast<uintptr_t>(key.data);
  for (const int64_t part : {key.rows, key.columns, key.row_stride, static_cast<int64_t>(key.side)})
    value = (value ^ value >> 29U) * 0x9E3779B97F4A7C15U + static_cast<uint64_t>(part);
  value *= 0xBF58476D1CE4E5B9U;
  return value ^ value >> 31U;
}

OperandPacks::OperandPacks() {
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
  size_t used = used_.load(std::memory_order_relaxed);
  do {
    if (memory_ == nullptr || bytes > room - used) return nullptr;
  } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
  return memory_ + used;
}

bool OperandPacks::pays() {
  const uint64_t misses = misses_.load(std::memory_order_relaxed);
  return misses < trial || hits_.load(std::memory_order_relaxed) * 2 > misses;
}

const std::byte* OperandPacks::find(Side side, const Tile& tile) {
  const Key key{tile.data, tile.row_stride, tile.column_stride, tile.rows, tile.columns, tile.dtype, side};
  Shard& shard = shard_of(key);
  std::shared_ptr<Entry> entry;
  bool is_new = false;
  {
    const std::lock_guard lock(shard.mutex);
    if (const auto found = shard.entries.find(key); found != shard.entries.end()) {
      entry = found->second;
    } else {
      if (!pays()) return nullptr;
      std::byte* memory = reserve(packed_bytes(side, tile));
      if (memory == nullptr) return nullptr;
      entry = shard.entries.emplace(key, std::make_shared<Entry>(memory, parts_of(side, tile))).first->second;
      is_new = true;
    }
  }
  if (is_new) {
    misses_.fetch_add(1, std::memory_order_relaxed);
    note_range(tile, key);
  } else {
    hits_.fetch_add(1, std::memory_order_relaxed);
    if (entry->done.load(std::memory_order_acquire) == entry->parts) return entry->memory;
  }
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

void OperandPacks::note_range(const Tile& tile, const Key& key) {
  const auto [low, high] = bytes_of(tile);
  const std::lock_guard lock(ranges_mutex_);
  ranges_.emplace(low, Range{high, key});
  longest_ = std::max(longest_, high - low);
  const bool is_first = high_.load(std::memory_order_relaxed) == nullptr;
  if (is_first || low < low_.load(std::memory_order_relaxed)) low_.store(low, std::memory_order_relaxed);
  if (is_first || high > high_.load(std::memory_order_relaxed)) high_.store(high, std::memory_order_relaxed);
}

void OperandPacks::forget(const std::byte* low, const std::byte* high) {
  const std::lock_guard lock(ranges_mutex_);
  for (auto range = ranges_.lower_bound(low - longest_); range != ranges_.end() && range->first < high;) {
    if (range->second.high <= low) {
      ++range;
      continue;
    }
    Shard& shard = shard_of(range->second.key);
    const std::lock_guard shard_lock(shard.mutex);
    shard.entries.erase(range->second.key);
    range = ranges_.erase(range);
  }
}

void OperandPacks::clear() {
  if (misses_.load(std::memory_order_relaxed) == 0) return;
  for (Shard& shard : shards_) shard.entries.clear();
  ranges_.clear();
  longest_ = 0;
  low_.store(nullptr, std::memory_order_relaxed);
  high_.store(nullptr, std::memory_order_relaxed);
  const size_t used = used_.exchange(0, std::memory_order_relaxed);
  if (used > keeps) madvise(memory_ + keeps, used - keeps, MADV_DONTNEED);
  hits_.store(0, std::memory_order_relaxed);
  misses_.store(0, std::memory_order_relaxed);
}

}  // namespace mtia::emulator
