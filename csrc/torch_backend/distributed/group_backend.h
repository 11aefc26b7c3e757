// What all process groups of the device have, whatever carries out their exchanges. Includes all of ATen, as torch's
// header of backends does: for process_group.cpp and mirrored_group.cpp alone.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/device.h"
#include "torch_backend/device.h"
#include "torch_backend/distributed/exchange_work.h"
#include "torch_backend/distributed/process_group.h"
#include "torch_backend/distributed/tensor_regions.h"
#include "torch_backend/status/group_table.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {

class GroupBackend : public c10d::Backend {
 public:
  // `host` serves tensors in host memory.
  GroupBackend(int rank, const std::vector<int64_t>& global_ranks, c10::intrusive_ptr<c10d::Backend> host,
               const std::string& name, std::chrono::milliseconds timeout)
      : Backend(rank, static_cast<int>(global_ranks.size())),
        host_(std::move(host)),
        options_(c10::make_intrusive<Options>(process_group_name, timeout)),
        status_(name, rank_, size_) {
    options_->group_name = name;
    options_->global_ranks_in_group.assign(global_ranks.begin(), global_ranks.end());
    init();
  }

  const std::string getBackendName() const override { return process_group_name; }
  c10::intrusive_ptr<Options> getBackendOptions() override { return options_; }
  bool supportsCoalescing() const override { return true; }
  void setSequenceNumberForGroup() override {}  // every rank counts from 0

  WorkPointer barrier(const c10d::BarrierOptions& options) override {
    // Behind what the group was given before: another device's queue would begin it first.
    c10::DeviceIndex device = stream_.has_value() ? stream_->first : current_device();
    if (options.device.has_value() && options.device->has_index()) device = options.device->index();
    if (!options.device_ids.empty()) device = static_cast<c10::DeviceIndex>(options.device_ids.front());
    return start(c10d::OpType::BARRIER, "mccl:barrier", device, {{make_barrier()}, {}, {}, nullptr, true});
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
                        ", this process group's are on mtia_sim; a group for both is init_process_group()'s without a "
                        "backend");
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
    TORCH_CHECK_VALUE(0 <= rank && rank < size_ && rank != rank_, name, ": rank ", rank, " is no other one of ", size_);
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

  // Behind what the current stream was given, on the group's own.
  WorkPointer start(c10d::OpType type, const char* title, c10::DeviceIndex index, ExchangeWork::Parts parts) {
    runtime::Device& device = device_of(index);
    DroppedWorks::all().release_ended();
    if (!stream_.has_value() || stream_->first != index) {
      stream_ = {index, stream_from_pool(index, true)};
      status_.describe(getGroupDesc());  // torch gives it after it has made the group
    }
    const runtime::StreamId stream = stream_->second;
    device.wait_event(stream, device.record_event(current_stream_id(index)));
    for (const runtime::ExchangePointer& exchange : parts.exchanges) device.begin_exchange(stream, exchange);
    return batched(c10::make_intrusive<ExchangeWork>(rank_, type, title, getSequenceNumberForGroup(), index, stream,
                                                     std::move(parts)));
  }
  WorkPointer start(c10d::OpType type, const char* title, const Tensors& tensors, ExchangeWork::Parts parts) {
    return start(type, title, tensors.front().device().index(), std::move(parts));
  }

  c10::intrusive_ptr<c10d::Backend> host_;

 private:
  c10::intrusive_ptr<Options> options_;
  GroupEntry status_;
  std::optional<std::pair<c10::DeviceIndex, runtime::StreamId>> stream_;
  std::optional<std::vector<WorkPointer>> batch_;
};

}  // namespace mtia::torch_backend
