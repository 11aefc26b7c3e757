// The process group of the device, a c10d backend, named by what torch calls it and no more: torch's own header of
// backends includes all of ATen.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace c10d {
class Backend;
}

namespace mtia::torch_backend {

inline constexpr const char* process_group_name = "mccl";

// Both are torch's Gloo between the same ranks: `transport` carries bytes for the device, `host` serves tensors in host
// memory, so that one group is for both. `global_ranks`: of each rank of the group, its number in the job.
c10::intrusive_ptr<c10d::Backend> make_process_group(c10::intrusive_ptr<c10d::Backend> transport,
                                                     c10::intrusive_ptr<c10d::Backend> host,
                                                     std::vector<int64_t> global_ranks, std::string name,
                                                     std::chrono::milliseconds timeout);

}  // namespace mtia::torch_backend
