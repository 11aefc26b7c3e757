// Regions of device memory as a collective reads and writes them beside the queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "torch_backend/distributed/collective.h"
#include "transport/transport.h"

namespace mtia::runtime {
class Device;
}

namespace mtia::torch_backend {

// One run of bytes behind the other: device memory itself where nothing has to be told of each access, else a copy.
class HostBytes {
 public:
  HostBytes() = default;
  // Of what is sent: a copy is made now. `is_known` becomes false where timing mode does not know it. On the
  // dispatcher.
  static HostBytes reading(runtime::Device& device, const Regions& regions, bool in_place, bool& is_known);
  // Of what is received: deliver() brings it to the device.
  static HostBytes writing(runtime::Device& device, const Regions& regions, bool in_place);
  // Of nobody's.
  static HostBytes scratch(size_t bytes);
  // On the dispatcher. Where it is not known, the device is told so.
  void deliver(runtime::Device& device, const Regions& regions, bool is_known) const;

  size_t size() const { return size_; }
  // From `offset` to the end of the run that it is in.
  std::span<std::byte> run_at(size_t offset) const;
  // [offset, offset + bytes).
  std::vector<std::span<const std::byte>> runs(size_t offset, size_t bytes) const;
  void write(size_t offset, std::span<const std::byte> bytes) const;

 private:
  std::vector<std::span<std::byte>> runs_;
  std::vector<size_t> begins_;
  size_t size_ = 0;
  transport::Buffer copy_;
  bool in_place_ = false;

  void add(std::span<std::byte> run);
};

// Whether the results may be written to device memory while parts are still being read from it: where both lie in one
// place, it is the same part of the same rank.
bool allows_writing_in_place(const CollectivePlan& plan, size_t own_rank);

}  // namespace mtia::torch_backend
