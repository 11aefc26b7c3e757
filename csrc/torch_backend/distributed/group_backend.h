// What all process groups of the device have, whatever carries out their exchanges. Includes all of ATen, as torch's
// header of backends does: for process_group.cpp and mirrored_group.cpp alone.
#pragma once

#include <c10/util/StringUtil.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/Utils.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "network/network.h"
#include "runtime/device.h"
#include "torch_backend/device.h"
#include "torch_backend/distributed/exchange_work.h"
#include "torch_backend/distributed/group_recorder.h"
#include "torch_backend/distributed/process_group.h"
#include "torch_backend/distributed/sparse_sum.h"
#include "torch_backend/distributed/tensor_regions.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/status/group_table.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {

class GroupBackend : public c10d::Backend {
 public:
  GroupBackend(int rank, std::vector<int64_t> global_ranks, GroupMeans means, std::string name,
               std::chrono::milliseconds timeout)
      : Backend(rank, static_cast<int>(global_ranks.size())),
        host_(std::move(means.host)),
        store_(std::move(means.store)),
        backend_(std::move(means.backend)),
        global_ranks_(std::move(global_ranks)),
        name_(std::move(name)),
        created_timeout_(timeout),
        status_(name_, rank_, size_) {
    init();
  }

  const std::string getBackendName() const override { return process_group_name; }
  // A copy: torch gives it to what is split off, and writes the other name into it.
  c10::intrusive_ptr<Options> getBackendOptions() override {
    auto options = c10::make_intrusive<Options>(process_group_name, created_timeout_);
    options->group_name = name_;
    options->global_ranks_in_group.assign(global_ranks_.begin(), global_ranks_.end());
    return options;
  }
  bool supportsCoalescing() const override { return true; }
  bool supportsSplitting() const override { return true; }
  bool supportsTimeEstimation() const override { return true; }
  void setSequenceNumberForGroup() override {}  // every rank counts from 0

  WorkPointer barrier(const c10d::BarrierOptions& options) override {
    // Behind what the group was given before: another device's queue would begin it first.
    c10::DeviceIndex device = stream_.has_value() ? stream_->first : current_device();
    if (options.device.has_value() && options.device->has_index()) device = options.device->index();
    if (!options.device_ids.empty()) device = static_cast<c10::DeviceIndex>(options.device_ids.front());
    if (is_estimating()) {
      estimate(network::Collective::barrier, 0, device);
      return start(c10d::OpType::BARRIER, "mccl:barrier", device, {});
    }
    return start(c10d::OpType::BARRIER, "mccl:barrier", device, {{make_barrier()}, {}, {}, nullptr, true});
  }

  // Of the host, and names the ranks that do not come.
  void monitoredBarrier(const c10d::BarrierOptions& options, bool waits_for_all) override {
    host_->monitoredBarrier(options, waits_for_all);
  }

  // Of ranks of this group, by their places in it; nothing on a rank that is not among them. Torch asks once for each
  // kind of memory, with the same store, and one group is for both. It calls the store, and the group, by how many
  // groups a rank is in, which ranks need not agree on: they meet by how many splits there were.
  c10::intrusive_ptr<Backend> split(const c10::intrusive_ptr<c10d::Store>& store, const std::vector<int>& ranks,
                                    const c10::intrusive_ptr<Options>& options) override {
    if (store == latest_split_store_) return latest_split_.has_value() ? latest_split_->lock() : nullptr;
    latest_split_store_ = store;
    latest_split_.reset();
    ++splits_;
    std::vector<int64_t> global;
    for (const int rank : ranks) {
      TORCH_CHECK_VALUE(0 <= rank && rank < size_, "split_group: rank ", rank, " of a group of ", size_);
      global.push_back(global_ranks_[static_cast<size_t>(rank)]);
    }
    const auto place = std::find(ranks.begin(), ranks.end(), rank_);
    if (place == ranks.end()) return nullptr;
    const std::string meeting = c10::str("split/", splits_, "/", c10::Join("_", ranks));
    c10::intrusive_ptr<Backend> group =
        group_factory()(backend_, c10::make_intrusive<c10d::PrefixStore>(meeting, store_), global,
                        static_cast<int>(place - ranks.begin()), options->group_name, options->timeout);
    latest_split_.emplace(group);
    return group;
  }

  int64_t splits() const { return splits_; }

  void start_time_estimate() { estimated_seconds_ = 0; }
  double end_time_estimate() {
    TORCH_CHECK_VALUE(estimated_seconds_.has_value(), "the end of a time estimate without its start");
    return *std::exchange(estimated_seconds_, std::nullopt) * 1e6;
  }

  void startCoalescing() override { batch_.emplace(); }

  WorkPointer endCoalescing() override {
    TORCH_CHECK(batch_.has_value(), "endCoalescing without startCoalescing");
    std::vector<WorkPointer> all = std::move(*batch_);
    batch_.reset();
    return all.empty() ? nullptr : c10::make_intrusive<BatchWork>(rank_, std::move(all));
  }

 protected:
  virtual runtime::ExchangePointer make_barrier() = 0;

  static bool on_host(const Tensors& tensors) { return !tensors.empty() && tensors.front().is_cpu(); }
  static bool is_sparse(const Tensors& tensors) { return !tensors.empty() && tensors.front().is_sparse(); }

  WorkPointer sum_sparse_tensors(Tensors& tensors, const c10d::ReduceOp& operation) {
    sum_sparse(*this, *host_, tensors, operation);
    return c10::make_intrusive<ExchangeWork>(rank_, c10d::OpType::_ALLREDUCE_SPARSE, "mccl:sparse_all_reduce",
                                             getSequenceNumberForGroup(), tensors.front().device().index(),
                                             current_stream_id(tensors.front().device().index()),
                                             ExchangeWork::Parts{{}, tensors, tensors, nullptr});
  }

  // ---- between start_time_estimate and its end
  bool is_estimating() const { return estimated_seconds_.has_value(); }
  void estimate(network::Collective kind, uint64_t bytes, c10::DeviceIndex index) {
    *estimated_seconds_ += network::account(device_of(index).chip(), kind, bytes, global_ranks_).seconds;
  }
  WorkPointer estimate_message(c10d::OpType type, const char* title, const Tensors& tensors, int peer) {
    const std::array<int64_t, 2> ranks{global_ranks_[static_cast<size_t>(rank_)],
                                       global_ranks_[static_cast<size_t>(peer)]};
    const runtime::Device& device = device_of(tensors.front().device().index());
    *estimated_seconds_ +=
        network::account(device.chip(), network::Collective::send, tensors.front().nbytes(), ranks).seconds;
    return start(type, title, tensors, {{}, tensors, tensors, nullptr});
  }

  WorkPointer batched(WorkPointer work) {
    if (batch_.has_value()) batch_->push_back(work);
    return work;
  }

  static Tensors joined(const Tensors& first, const Tensors& second) {
    Tensors all = first;
    all.insert(all.end(), second.begin(), second.end());
    return all;
  }

  static void check(const Tensors& tensors, const char* name) {
    TORCH_CHECK_VALUE(!tensors.empty(), name, ": no tensor");
    for (const at::Tensor& tensor : tensors) {
      TORCH_CHECK_VALUE(tensor.device().type() == device_type, name, ": a tensor is on ", tensor.device(),
                        " and others of the call on mtia_sim; give all of them on one device");
      TORCH_CHECK_VALUE(tensor.layout() == c10::kStrided, name, ": sparse tensors are not sent; use to_dense()");
      TORCH_CHECK_VALUE(tensor.is_non_overlapping_and_dense(), name, ": a tensor is not contiguous; use contiguous()");
      TORCH_CHECK_VALUE(tensor.device() == tensors.front().device(), name, ": tensors on ", tensors.front().device(),
                        " and ", tensor.device());
    }
  }

  // Of what is cut into parts of ranks, or joined from them.
  static void check_contiguous(const Tensors& tensors, const char* name) {
    for (const at::Tensor& tensor : tensors)
      TORCH_CHECK_VALUE(tensor.is_contiguous(), name, ": a tensor is not contiguous (", memory_order(tensor),
                        "); use contiguous()");
  }

  // Of what is moved from one to the other as it lies.
  static void check_alike(const at::Tensor& one, const at::Tensor& other, const char* name) {
    TORCH_CHECK_TYPE(one.scalar_type() == other.scalar_type(), name, ": tensors of ", one.scalar_type(), " and ",
                     other.scalar_type());
    TORCH_CHECK_VALUE(one.device() == other.device(), name, ": tensors on ", one.device(), " and ", other.device());
    TORCH_CHECK_VALUE(memory_order(one) == memory_order(other), name, ": elements lie in memory in other orders (",
                      one.strides(), " and ", other.strides(), "); use contiguous()");
  }

  static const at::Tensor& only(const Tensors& tensors, const char* name) {
    check(tensors, name);
    TORCH_CHECK_VALUE(tensors.size() == 1, name, ": ", tensors.size(), " tensors; a process has one a call");
    return tensors.front();
  }

  // Of the rows that each rank gets, or gives.
  void check_splits(const std::vector<int64_t>& rows, const at::Tensor& tensor) const {
    c10d::checkSplitSizes(rows, tensor, size_);
    for (const int64_t count : rows) TORCH_CHECK_VALUE(count >= 0, "all_to_all: ", count, " rows for a rank");
  }

  int root_of(int64_t rank, const char* name) const {
    TORCH_CHECK_VALUE(0 <= rank && rank < size_, name, ": rank ", rank, " of ", size_);
    return static_cast<int>(rank);
  }

  // The list of a part of each rank, each as `like`.
  const Tensors& list_of(const std::vector<Tensors>& lists, const at::Tensor& like, const char* name) const {
    TORCH_CHECK_VALUE(lists.size() == 1 && lists.front().size() == static_cast<size_t>(size_), name, ": ",
                      lists.empty() ? 0 : lists.front().size(), " tensors for ", size_, " ranks");
    check(lists.front(), name);
    for (const at::Tensor& part : lists.front()) check_alike(part, like, name);
    return lists.front();
  }

  static MessagePlan message_of(const Tensors& tensors) { return {regions_of(tensors), memory_order(tensors.front())}; }

  void check_peer(int rank, const char* name) const {
    TORCH_CHECK_VALUE(0 <= rank && rank < size_ && rank != rank_, name, ": rank ", rank, " is no other one of ", size_,
                      "; what stays on a rank is copied by copy_()");
  }

  // Of what all_gather takes and gives as whole tensors.
  void check_gathered(const Tensors& outputs, const Tensors& inputs) const {
    check(joined(inputs, outputs), "allgather");
    check_contiguous(joined(inputs, outputs), "allgather");
    TORCH_CHECK_VALUE(outputs.size() == inputs.size(), "allgather: ", inputs.size(), " inputs and ", outputs.size(),
                      " outputs");
    for (size_t i = 0; i < outputs.size(); ++i) {
      TORCH_CHECK_TYPE(outputs[i].scalar_type() == inputs[i].scalar_type(),
                       "output tensor must have the same type as input tensor, got ", outputs[i].scalar_type(), " and ",
                       inputs[i].scalar_type());
      TORCH_CHECK_VALUE(outputs[i].numel() == inputs[i].numel() * size_,
                        "output tensor size must be equal to world_size times input tensor size, got ",
                        outputs[i].numel(), " for ", size_, " times ", inputs[i].numel());
    }
  }

  // The same of reduce_scatter.
  void check_scattered(const Tensors& outputs, const Tensors& inputs) const {
    check(joined(inputs, outputs), "reduce_scatter");
    check_contiguous(joined(inputs, outputs), "reduce_scatter");
    TORCH_CHECK_VALUE(outputs.size() == inputs.size(), "reduce_scatter: ", inputs.size(), " inputs and ",
                      outputs.size(), " outputs");
    for (size_t i = 0; i < outputs.size(); ++i) {
      TORCH_CHECK_TYPE(outputs[i].scalar_type() == inputs[i].scalar_type(),
                       "input tensor must be the same type as the output tensor, got ", inputs[i].scalar_type(),
                       " and ", outputs[i].scalar_type());
      TORCH_CHECK_VALUE(inputs[i].numel() == outputs[i].numel() * size_,
                        "input tensor must be the same size as output size times world size, got ", inputs[i].numel(),
                        " for ", size_, " times ", outputs[i].numel());
    }
  }

  // Behind what the current stream was given, on the group's own. `peer`: of a message; -1: any rank.
  WorkPointer start(c10d::OpType type, const char* title, c10::DeviceIndex index, ExchangeWork::Parts parts,
                    int peer = -1) {
    check_not_capturing(index, title, "leave collectives outside of the graph");
    runtime::Device& device = device_of(index);
    DroppedWorks::all().release_ended();
    if (!stream_.has_value() || stream_->first != index) {
      stream_ = {index, stream_from_pool(index, true)};
      status_.describe(getGroupDesc());  // torch gives it after it has made the group
      recorder_.describe(name_, getGroupDesc(), global_ranks_, rank_);
    }
    const runtime::StreamId stream = stream_->second;
    device.wait_event(stream, device.record_event(current_stream_id(index)));
    recorder_.record(type, parts, peer, created_timeout_);
    for (const runtime::ExchangePointer& exchange : parts.exchanges) device.begin_exchange(stream, exchange);
    return batched(c10::make_intrusive<ExchangeWork>(rank_, type, title, getSequenceNumberForGroup(), index, stream,
                                                     std::move(parts)));
  }
  WorkPointer start(c10d::OpType type, const char* title, const Tensors& tensors, ExchangeWork::Parts parts,
                    int peer = -1) {
    return start(type, title, tensors.front().device().index(), std::move(parts), peer);
  }

  c10::intrusive_ptr<c10d::Backend> host_;

 private:
  const c10::intrusive_ptr<c10d::Store> store_;
  const std::string backend_;
  const std::vector<int64_t> global_ranks_;
  const std::string name_;
  const std::chrono::milliseconds created_timeout_;
  GroupEntry status_;
  std::optional<std::pair<c10::DeviceIndex, runtime::StreamId>> stream_;
  std::optional<std::vector<WorkPointer>> batch_;
  std::optional<double> estimated_seconds_;
  int64_t splits_ = 0;
  c10::intrusive_ptr<c10d::Store> latest_split_store_;
  std::optional<c10::weak_intrusive_ptr<Backend>> latest_split_;
  GroupRecorder recorder_;
};

}  // namespace mtia::torch_backend
