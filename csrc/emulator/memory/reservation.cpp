// A mapping that forked children do not inherit: devices stay with their process.
#include "emulator/memory/reservation.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace mtia::emulator {

Reservation::Reservation(uint64_t bytes, const char* purpose)
    : bytes_(bytes),
      memory_(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
  if (memory_ == MAP_FAILED) {
    throw OutOfDeviceMemory(
        concat("the host refuses to reserve ", bytes, " bytes of addresses for ", purpose, ": ", std::strerror(errno)),
        "", "raise the address-space limit (ulimit -v) or use a chip with less DRAM");
  }
  madvise(memory_, bytes_, MADV_DONTFORK);
}

Reservation::~Reservation() { munmap(memory_, bytes_); }

void Reservation::reset() { madvise(memory_, bytes_, MADV_DONTNEED); }

}  // namespace mtia::emulator
