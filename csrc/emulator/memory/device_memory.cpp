// Reservation, first-fit allocation and the bounds check of device memory.
#include "emulator/memory/device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/error.h"

namespace mtia::emulator {
namespace {

constexpr uint64_t huge_page = uint64_t{2} << 20;
constexpr uint64_t host_page = 4096;

uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Where the first device's addresses begin, far from what the host's libraries and stacks take; others follow at this
// distance.
constexpr uint64_t usual_base = uint64_t{1} << 45;
constexpr uint64_t usual_distance = uint64_t{1} << 40;
constexpr uint64_t usual_places = 64;

void* reserve(uint64_t bytes, int protection, uint64_t wanted = 0) {
  void* address =
      mmap(reinterpret_cast<void*>(wanted), bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    throw OutOfDeviceMemory(
        concat("the host refuses to reserve ", bytes, " bytes of addresses for device memory: ", std::strerror(errno)),
        "", "raise the address-space limit (ulimit -v) or use a chip with less DRAM");
  }
  return address;
}

// The first of the usual places that is free, or any other.
void* reserve_addresses(uint64_t bytes) {
  for (uint64_t place = 0; place < usual_places && bytes <= usual_distance; ++place) {
    const uint64_t wanted = usual_base + place * usual_distance;
    void* address = reserve(bytes, PROT_NONE, wanted);
    if (reinterpret_cast<uint64_t>(address) == wanted) return address;
    munmap(address, bytes);
  }
  return reserve(bytes, PROT_NONE);
}

std::string hex(uint64_t value) {
  std::ostringstream text;
  text << "0x" << std::hex << value;
  return std::move(text).str();
}

}  // namespace

DeviceMemory::DeviceMemory(uint64_t capacity_bytes) : capacity_(round_up(capacity_bytes, huge_page)) {
  // One huge page of guard in front keeps address 0 of a tensor away from the reservation's edge; the ends are aligned
  // to huge pages.
  const uint64_t span = capacity_ + huge_page;
  const auto address_space = reinterpret_cast<uint64_t>(reserve_addresses(span));
  void* backing_space = nullptr;
  try {
    backing_space = reserve(span, PROT_READ | PROT_WRITE);
  } catch (...) {
    munmap(reinterpret_cast<void*>(address_space), span);
    throw;
  }
  base_ = round_up(address_space, huge_page);
  const uint64_t backing = round_up(reinterpret_cast<uint64_t>(backing_space), huge_page);
  backing_offset_ = backing - base_;
  // Give back what alignment left over, so that destruction unmaps exactly [base, base + capacity).
  const auto trim = [this](uint64_t start, uint64_t aligned, uint64_t end) {
    if (aligned > start) munmap(reinterpret_cast<void*>(start), aligned - start);
    if (end > aligned + capacity_) munmap(reinterpret_cast<void*>(aligned + capacity_), end - aligned - capacity_);
  };
  trim(address_space, base_, address_space + span);
  trim(reinterpret_cast<uint64_t>(backing_space), backing, reinterpret_cast<uint64_t>(backing_space) + span);
  madvise(reinterpret_cast<void*>(backing), capacity_, MADV_HUGEPAGE);
  // A forked DataLoader worker neither pays for nor sees the device.
  madvise(reinterpret_cast<void*>(backing), capacity_, MADV_DONTFORK);
  free_.emplace(base_, base_ + capacity_);
}

DeviceMemory::~DeviceMemory() {
  munmap(reinterpret_cast<void*>(base_), capacity_);
  munmap(reinterpret_cast<void*>(base_ + backing_offset_), capacity_);
}

uint64_t DeviceMemory::allocate(uint64_t bytes, uint64_t alignment) {
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    throw InvalidArgument(concat("alignment ", alignment, " of a device allocation is not a power of two"));
  }
  const uint64_t wanted = std::max<uint64_t>(bytes, 1);
  std::unique_lock lock(mutex_);
  uint64_t largest = 0;
  for (auto block = free_.begin(); block != free_.end(); ++block) {
    const uint64_t start = round_up(block->first, alignment);
    if (start < block->second && block->second - start >= wanted) {
      const auto [begin, end] = *block;
      const uint64_t stop = std::min(end, start + round_up(wanted, 64));  // tails stay aligned for the next allocation
      free_.erase(block);
      if (start > begin) free_.emplace(begin, start);
      if (stop < end) free_.emplace(stop, end);
      live_.emplace(start, start + wanted);
      bytes_in_use_ += wanted;
      peak_bytes_in_use_ = std::max(peak_bytes_in_use_, bytes_in_use_);
      return start;
    }
    largest = std::max(largest, block->second - block->first);
  }
  throw OutOfDeviceMemory(
      concat("cannot allocate ", bytes, " bytes: ", bytes_in_use_, " of ", capacity_, " bytes are held by ",
             live_.size(), " allocations, the largest free block is ", largest, " bytes"),
      "", "free tensors, use a smaller batch, or a chip with more DRAM");
}

void DeviceMemory::allocate_at(uint64_t address, uint64_t bytes) {
  const uint64_t last = address + bytes;
  std::unique_lock lock(mutex_);
  auto block = free_.upper_bound(address);
  if (address % 64 != 0 || bytes % 64 != 0 || bytes == 0 || block == free_.begin() || (--block)->second < last ||
      last < address) {
    throw InvalidArgument(concat("device addresses ", hex(address), " to ", hex(last), " are not free"), "",
                          concat("device memory has ", hex(base_), " to ", hex(base_ + capacity_)));
  }
  const auto [begin, end] = *block;
  free_.erase(block);
  if (address > begin) free_.emplace(begin, address);
  if (last < end) free_.emplace(last, end);
  live_.emplace(address, last);
  bytes_in_use_ += bytes;
  peak_bytes_in_use_ = std::max(peak_bytes_in_use_, bytes_in_use_);
}

void DeviceMemory::free(uint64_t address) {
  std::unique_lock lock(mutex_);
  const auto found = live_.find(address);
  if (found == live_.end()) {
    throw InvalidArgument(concat("no live allocation starts at device address ", hex(address)), "",
                          "free each allocation once, by its first address");
  }
  const uint64_t wanted = found->second - found->first;
  uint64_t begin = found->first;
  uint64_t end = found->first + round_up(wanted, 64);
  end = std::min(end, base_ + capacity_);
  live_.erase(found);
  bytes_in_use_ -= wanted;
  generation_.fetch_add(1, std::memory_order_acq_rel);
  const auto next = free_.lower_bound(begin);
  if (next != free_.end() && next->first == end) {
    end = next->second;
    free_.erase(next);
  }
  const auto after = free_.lower_bound(begin);
  if (after != free_.begin()) {
    const auto previous = std::prev(after);
    if (previous->second == begin) {
      begin = previous->first;
      free_.erase(previous);
    }
  }
  free_.emplace(begin, end);
  // Only whole pages inside of the now free block: neighbours keep theirs.
  const uint64_t page_begin =
      std::max(round_up(begin, host_page),
               address / host_page * host_page >= begin ? address / host_page * host_page : round_up(begin, host_page));
  const uint64_t page_end = std::min(end / host_page * host_page, round_up(address + round_up(wanted, 64), host_page));
  if (page_begin < page_end)
    madvise(reinterpret_cast<void*>(page_begin + backing_offset_), page_end - page_begin, MADV_DONTNEED);
}

AddressRange DeviceMemory::allocation_of(uint64_t address) const {
  std::shared_lock lock(mutex_);
  auto above = live_.upper_bound(address);
  if (above == live_.begin()) return {};
  --above;
  if (address >= above->second) return {};
  return {above->first, above->second};
}

void* DeviceMemory::host_span(uint64_t address, uint64_t bytes, Access access) const {
  // The last allocation found by this thread serves most calls; a free anywhere makes it stale.
  struct Cached {
    const DeviceMemory* memory = nullptr;
    uint64_t generation = 0;
    AddressRange range;
  };
  thread_local Cached cached;
  const uint64_t now = generation();
  if (cached.memory != this || cached.generation != now || !cached.range.contains(address, bytes)) {
    const AddressRange range = allocation_of(address);
    if (range.end == 0 || !range.contains(address, bytes)) {
      throw OutOfBounds(describe(address, bytes, access), "", "check the sizes, strides and mask of the access");
    }
    cached = {this, now, range};
  }
  return backing_of(address);
}

uint64_t DeviceMemory::bytes_in_use() const {
  std::shared_lock lock(mutex_);
  return bytes_in_use_;
}

uint64_t DeviceMemory::peak_bytes_in_use() const {
  std::shared_lock lock(mutex_);
  return peak_bytes_in_use_;
}

uint64_t DeviceMemory::largest_free_block() const {
  std::shared_lock lock(mutex_);
  uint64_t largest = 0;
  for (const auto& [begin, end] : free_) largest = std::max(largest, end - begin);
  return largest;
}

std::string DeviceMemory::describe(uint64_t address, uint64_t bytes, Access access) const {
  std::string text =
      concat(access == Access::read ? "read" : "write", " of ", bytes, " bytes at device address ", hex(address));
  if (!owns(address))
    return concat(text, " is not in device memory (", hex(base_), " to ", hex(base_ + capacity_), ")");
  std::shared_lock lock(mutex_);
  auto above = live_.upper_bound(address);
  if (above != live_.begin()) {
    const auto below = std::prev(above);
    if (address < below->second) {
      return concat(text, " runs ", address + bytes - below->second, " bytes past the end of the allocation ",
                    hex(below->first), " of ", below->second - below->first, " bytes");
    }
    return concat(text, " lies ", address - below->second, " bytes past the end of the nearest allocation ",
                  hex(below->first), " of ", below->second - below->first, " bytes");
  }
  return concat(text, " lies in no live allocation");
}

}  // namespace mtia::emulator
