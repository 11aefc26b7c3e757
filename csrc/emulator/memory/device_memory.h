// The DRAM of a device: addresses that host code cannot touch, and the one checked accessor that turns them into bytes.
//
// Two address ranges of the chip's capacity are reserved: the device addresses, mapped without any access, and the
// backing, readable and writable, committed by the host's kernel only when touched and given back when freed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <shared_mutex>
#include <string>
#include <vector>

namespace mtia::emulator {

enum class Access : uint8_t { read, write };

// A half-open range of device addresses.
struct AddressRange {
  uint64_t begin = 0;
  uint64_t end = 0;

  uint64_t bytes() const { return end - begin; }
  bool contains(uint64_t address, uint64_t count) const {
    return address >= begin && address <= end && count <= end - address;
  }
};

class DeviceMemory {
 public:
  // Reserves `capacity_bytes` of addresses, at the same place in every process where that is free; nothing is
  // committed. Throws OutOfDeviceMemory where the host refuses the
  // reservation.
  explicit DeviceMemory(uint64_t capacity_bytes);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // First fit by address. `alignment` is a power of two. A zero-byte allocation has an address of its own.
  // Throws OutOfDeviceMemory, saying what is held and what is free.
  uint64_t allocate(uint64_t bytes, uint64_t alignment = 512);

  // Takes [address, address + bytes), whose ends are multiples of 64: to bring back what another process had there.
  // Throws InvalidArgument where that is not free.
  void allocate_at(uint64_t address, uint64_t bytes);

  // Frees an allocation by its first address and gives its whole pages back to the host. Throws InvalidArgument for
  // another address. The caller makes sure that no launch in flight uses it.
  void free(uint64_t address);

  // THE checked accessor: the host pointer of [address, address + bytes), which must lie in one live allocation.
  // Throws OutOfBounds. Any thread may call it; the pointer is good until the allocation is freed.
  void* host_span(uint64_t address, uint64_t bytes, Access access) const;

  // The live allocation that holds `address`, or an empty range.
  AddressRange allocation_of(uint64_t address) const;

  // The host pointer of a device address whose bounds the caller has already checked against a live allocation or a
  // launch's extents.
  std::byte* backing_of(uint64_t address) const { return reinterpret_cast<std::byte*>(address + backing_offset_); }

  // A number that changes whenever an allocation is freed: cached bounds of an older generation are stale.
  uint64_t generation() const { return generation_.load(std::memory_order_acquire); }

  // Whether a host pointer is really a device address of this memory.
  bool owns(uint64_t address) const { return address >= base_ && address < base_ + capacity_; }

  uint64_t base() const { return base_; }
  uint64_t capacity() const { return capacity_; }
  uint64_t bytes_in_use() const;
  uint64_t peak_bytes_in_use() const;
  uint64_t largest_free_block() const;

  // Text for an OutOfBounds error: where the address lies relative to the live allocations.
  std::string describe(uint64_t address, uint64_t bytes, Access access) const;

 private:
  uint64_t base_ = 0;
  uint64_t capacity_ = 0;
  uint64_t backing_offset_ = 0;  // backing address - device address, modulo 2^64
  mutable std::shared_mutex mutex_;
  std::map<uint64_t, uint64_t> live_;  // first address -> end
  std::map<uint64_t, uint64_t> free_;  // first address -> end
  uint64_t bytes_in_use_ = 0;
  uint64_t peak_bytes_in_use_ = 0;
  std::atomic<uint64_t> generation_{1};
};

}  // namespace mtia::emulator
