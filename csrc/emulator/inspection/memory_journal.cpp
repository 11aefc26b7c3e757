// Former contents are kept page by page, in chunks, when a page is first written.
#include "emulator/inspection/memory_journal.h"

#include <algorithm>
#include <cstring>

namespace mtia::emulator {
namespace {

constexpr size_t pages_a_chunk = 256;

}  // namespace

MemoryJournal::MemoryJournal(const DeviceMemory& memory, uint64_t limit_bytes)
    : memory_(memory),
      limit_(limit_bytes),
      states_(memory.capacity() / page_bytes + 1, "the journal of device memory"),
      dtypes_(memory.capacity() / granule_bytes + 1, "the journal of device memory") {}

void MemoryJournal::touch(uint64_t low, uint64_t high, bool write, DType dtype) {
  if (low >= high) return;
  const uint8_t wanted = write ? kept : known;
  for (uint64_t page = low / page_bytes * page_bytes; page < high; page += page_bytes) {
    if (state_of(page).load(std::memory_order_acquire) < wanted) keep(page, write);
  }
  if (!write) return;
  const auto number = static_cast<uint8_t>(static_cast<unsigned>(dtype) + 1);
  for (uint64_t granule = low / granule_bytes * granule_bytes; granule < high; granule += granule_bytes)
    dtype_of(granule).store(number, std::memory_order_relaxed);
}

void MemoryJournal::keep(uint64_t page, bool write) {
  const std::lock_guard lock(mutex_);
  std::atomic<uint8_t>& state = state_of(page);
  const uint8_t before = state.load(std::memory_order_relaxed);
  if (before >= (write ? kept : known)) return;
  if (before == untouched) pages_.push_back(page);
  if (write) {
    if ((kept_pages_.size() + 1) * page_bytes > limit_) {
      complete_ = false;
    } else {
      const size_t place = kept_pages_.size() % pages_a_chunk;
      if (place == 0 && kept_pages_.size() / pages_a_chunk == chunks_.size())
        chunks_.push_back(std::make_unique_for_overwrite<std::byte[]>(pages_a_chunk * page_bytes));
      std::memcpy(chunks_[kept_pages_.size() / pages_a_chunk].get() + place * page_bytes, memory_.backing_of(page),
                  page_bytes);
      kept_pages_.push_back(page);
    }
  }
  state.store(write ? kept : known, std::memory_order_release);
}

std::optional<DType> MemoryJournal::written_dtype(uint64_t address) const {
  const uint8_t number = dtype_of(address).load(std::memory_order_relaxed);
  if (number == 0) return std::nullopt;
  return static_cast<DType>(number - 1);
}

void MemoryJournal::clear() {
  for (const uint64_t page : pages_) {
    state_of(page).store(untouched, std::memory_order_relaxed);
    for (uint64_t granule = page; granule < page + page_bytes; granule += granule_bytes)
      dtype_of(granule).store(0, std::memory_order_relaxed);
  }
  pages_.clear();
  kept_pages_.clear();
  complete_ = true;
}

void MemoryJournal::swap() {
  for (size_t i = 0; i < kept_pages_.size(); ++i) {
    std::byte* before = chunks_[i / pages_a_chunk].get() + i % pages_a_chunk * page_bytes;
    std::swap_ranges(before, before + page_bytes, memory_.backing_of(kept_pages_[i]));
  }
}

std::vector<MemoryJournal::Saved> MemoryJournal::saved() const {
  std::vector<Saved> result;
  for (size_t i = 0; i < kept_pages_.size(); ++i) {
    result.push_back({kept_pages_[i], chunks_[i / pages_a_chunk].get() + i % pages_a_chunk * page_bytes});
  }
  return result;
}

}  // namespace mtia::emulator
