// memfd and futex, of Linux.
#include "transport/shared_memory.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <stdexcept>

#include "base/error.h"

namespace mtia::transport {
namespace {

// The kernel's 32 bits are those of the atomic, which static_assert holds to be nothing else.
uint32_t* word_of(std::atomic<uint32_t>& value) {
  static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));
  return reinterpret_cast<uint32_t*>(&value);
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (file_ >= 0) close(file_);
}

SharedMemory::SharedMemory(size_t bytes) : file_(memfd_create("mtia_sim ranks", MFD_CLOEXEC)), bytes_(bytes) {
  if (!file_ || ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0)
    throw std::runtime_error(concat("no shared memory of ", bytes, " bytes: ", std::strerror(errno)));
  map();
}

SharedMemory::SharedMemory(FileDescriptor file, size_t bytes) : file_(std::move(file)), bytes_(bytes) { map(); }

void SharedMemory::map() {
  void* address = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_.get(), 0);
  if (address == MAP_FAILED)
    throw std::runtime_error(concat("cannot map shared memory of ", bytes_, " bytes: ", std::strerror(errno)));
  data_ = static_cast<std::byte*>(address);
}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

void Bell::ring() {
  rings_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0)
    syscall(SYS_futex, word_of(rings_), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Bell::wait(uint32_t seen, std::chrono::milliseconds timeout) {
  const timespec time{timeout.count() / 1000, timeout.count() % 1000 * 1'000'000};
  // One that dies here leaves itself counted: rings then wake nobody, which costs a call of the kernel and no more.
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  syscall(SYS_futex, word_of(rings_), FUTEX_WAIT, seen, &time, nullptr, 0);
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

}  // namespace mtia::transport
