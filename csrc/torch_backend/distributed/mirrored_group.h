// Process groups of ranks that do not exist, named by what torch calls them and no more: torch's own header of backends
// includes all of ATen.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "torch_backend/distributed/process_group.h"

namespace mtia::torch_backend {

// Of the group's ranks this process is `rank`. `present`: torch's Gloo between
// those that exist, whose job numbers are `present_ranks`; null where that is this one alone. They are taken to be
// alike: all meet in chip time, and values are mirrored.
c10::intrusive_ptr<c10d::Backend> make_mirrored_group(int rank, std::vector<int64_t> global_ranks, GroupMeans means,
                                                      c10::intrusive_ptr<c10d::Backend> present,
                                                      std::vector<int64_t> present_ranks, std::string name,
                                                      std::chrono::milliseconds timeout);

// For tensors in host memory: all other ranks have what this one has.
c10::intrusive_ptr<c10d::Backend> make_mirrored_host_group(int rank, int size);

}  // namespace mtia::torch_backend
