// The process group of the device, a c10d backend, named by what torch calls it and no more: torch's own header of
// backends includes all of ATen.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace mtia::torch_backend {

inline constexpr const char* process_group_name = "mccl";

// What a group is made of beside what carries its messages.
struct GroupMeans {
  c10::intrusive_ptr<c10d::Backend> host;  // serves tensors in host memory
  c10::intrusive_ptr<c10d::Store> store;   // where its ranks meet, for groups that are split off
  std::string backend;                     // by which torch.distributed registers it
};

// `transport` and the host's backend are torch's Gloo between the same ranks, so that one group is for both kinds of
// memory. `global_ranks`: of each rank of the group, its number in the job.
c10::intrusive_ptr<c10d::Backend> make_process_group(c10::intrusive_ptr<c10d::Backend> transport, GroupMeans means,
                                                     std::vector<int64_t> global_ranks, std::string name,
                                                     std::chrono::milliseconds timeout);

// Makes this rank's part of a group that is split from another: the registered name of that one's backend, where the
// new group's ranks meet, their numbers in the job, this one's place among them, the group's name and its timeout.
// Given once: how ranks meet is Python's.
using GroupFactory = std::function<c10::intrusive_ptr<c10d::Backend>(
    const std::string& backend, const c10::intrusive_ptr<c10d::Store>& store, const std::vector<int64_t>& global_ranks,
    int rank, const std::string& name, std::chrono::milliseconds timeout)>;
void set_group_factory(GroupFactory factory);
const GroupFactory& group_factory();

// Between the two a group moves nothing, and adds up what the network model says of what it is asked for. The end gives
// microseconds, NCCL's unit. Throw NotImplementedError's where the backend is not of this device, and ValueError's
// where there was no start.
void start_time_estimate(const c10::intrusive_ptr<c10d::Backend>& backend);
double end_time_estimate(const c10::intrusive_ptr<c10d::Backend>& backend);
// What split_group copies and changes, and what it names groups by: how many were split off.
std::chrono::milliseconds timeout_of(const c10::intrusive_ptr<c10d::Backend>& backend);
int64_t splits_of(const c10::intrusive_ptr<c10d::Backend>& backend);

}  // namespace mtia::torch_backend
