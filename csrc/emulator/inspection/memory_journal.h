// What a launch touched in device memory, and what lay there before: so that the launch can be run again, stored, or
// compared with what it found.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/dtype.h"
#include "emulator/inspection/access_listener.h"
#include "emulator/memory/device_memory.h"
#include "emulator/memory/reservation.h"

namespace mtia::emulator {

class MemoryJournal final : public AccessListener {
 public:
  static constexpr uint64_t page_bytes = 4096;

  // Tensors never share a granule: the allocator aligns them.
  static constexpr uint64_t granule_bytes = 512;

  // Keeps at most `limit_bytes` of former contents; a launch that writes more is no longer undoable.
  MemoryJournal(const DeviceMemory& memory, uint64_t limit_bytes);

  // The first thread to write a page keeps its contents, others wait for that.
  void touch(uint64_t low, uint64_t high, bool write, DType dtype) override;
  void overwrite(uint64_t, uint64_t) override {}

  // Forgets everything, for the next launch.
  void clear();

  // Whether all that was overwritten is kept.
  bool complete() const { return complete_; }
  uint64_t limit_bytes() const { return limit_; }

  // Puts what lay in the written pages before in place of what lies there now, which is kept instead: undoes the
  // launch, and called again, redoes it. Not while a launch runs.
  void swap();

  // First addresses of pages, in the order in which they were touched.
  const std::vector<uint64_t>& pages() const { return pages_; }
  struct Saved {
    uint64_t address;
    const std::byte* contents;
  };
  std::vector<Saved> saved() const;
  // The dtype of the elements written last in the granule of an address; nothing for none.
  std::optional<DType> written_dtype(uint64_t address) const;

 private:
  enum State : uint8_t { untouched, known, kept };

  std::atomic<uint8_t>& state_of(uint64_t page) const {
    return states_.as<std::atomic<uint8_t>>()[(page - memory_.base()) / page_bytes];
  }
  std::atomic<uint8_t>& dtype_of(uint64_t address) const {
    return dtypes_.as<std::atomic<uint8_t>>()[(address - memory_.base()) / granule_bytes];
  }
  void keep(uint64_t page, bool write);

  const DeviceMemory& memory_;
  uint64_t limit_;
  Reservation states_;  // a byte a page of device memory
  Reservation dtypes_;  // DType + 1, a byte a granule
  std::mutex mutex_;
  std::vector<uint64_t> pages_;
  std::vector<uint64_t> kept_pages_;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::atomic<bool> complete_{true};
};

}  // namespace mtia::emulator
