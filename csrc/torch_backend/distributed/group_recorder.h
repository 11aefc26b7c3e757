// What a group tells the flight recorder of its calls. Includes all of ATen: for group_backend.h alone.
#pragma once

#include <torch/csrc/distributed/c10d/Work.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "torch_backend/distributed/exchange_work.h"
#include "torch_backend/distributed/flight_recorder.h"
#include "torch_backend/distributed/process_group.h"

namespace mtia::torch_backend {

class GroupRecorder {
 public:
  void describe(const std::string& name, const std::string& description, const std::vector<int64_t>& ranks, int rank) {
    rank_ = rank;
    if (!FlightRecorder::get().is_enabled()) return;
    group_ = std::make_shared<RecordedGroup>(number_, name, description, ranks, ranks[static_cast<size_t>(rank)]);
    FlightRecorder::get().add_group(group_);
  }

  // Where the exchanges get to is told to the recorder from then on. `peer`: of a message. A receive of any rank has no
  // place in the format.
  void record(c10d::OpType type, ExchangeWork::Parts& parts, int peer, std::chrono::milliseconds timeout) {
    if (parts.exchanges.empty() || type == c10d::OpType::RECVANYSOURCE || !FlightRecorder::get().is_enabled()) return;
    const bool is_message = type == c10d::OpType::SEND || type == c10d::OpType::RECV;
    ++(is_message ? messages_ : collectives_);
    RecordedCall call;
    call.group = group_;
    call.name = concat(process_group_name, ":", name_of(type, peer));
    call.is_message = is_message;
    call.collective = collectives_;
    call.message = messages_;
    call.operation = ++operations_;
    call.outputs = shapes_of(parts.outputs);
    std::vector<at::Tensor> inputs;  // what is no output; of operations in place the outputs
    for (const at::Tensor& tensor : parts.kept) {
      const bool is_output = std::any_of(parts.outputs.begin(), parts.outputs.end(),
                                         [&](const at::Tensor& output) { return output.is_same(tensor); });
      if (!is_output) inputs.push_back(tensor);
    }
    call.inputs = shapes_of(inputs.empty() ? parts.outputs : inputs);
    call.timeout_milliseconds = timeout.count();
    const auto progress = FlightRecorder::get().add(std::move(call));
    for (runtime::ExchangePointer& exchange : parts.exchanges)
      exchange = std::make_shared<RecordedExchange>(std::move(exchange), progress);
  }

 private:
  // As the analyser of torch.distributed.flight_recorder knows them.
  std::string name_of(c10d::OpType type, int peer) const {
    switch (type) {
      case c10d::OpType::BROADCAST:
        return "broadcast";
      case c10d::OpType::ALLREDUCE:
        return "all_reduce";
      case c10d::OpType::ALLREDUCE_COALESCED:
        return "allreduce_coalesced";
      case c10d::OpType::REDUCE:
        return "reduce";
      case c10d::OpType::_ALLGATHER_BASE:
        return "_all_gather_base";
      case c10d::OpType::COALESCED:
        return "all_gather_into_tensor_coalesced";
      case c10d::OpType::ALLGATHER:
      case c10d::OpType::ALLGATHER_COALESCED:
        return "all_gather";
      case c10d::OpType::GATHER:
        return "gather";
      case c10d::OpType::SCATTER:
        return "scatter";
      case c10d::OpType::REDUCE_SCATTER:
        return "reduce_scatter";
      case c10d::OpType::_REDUCE_SCATTER_BASE:
        return "_reduce_scatter_base";
      case c10d::OpType::REDUCE_SCATTER_TENSOR_COALESCED:
        return "reduce_scatter_tensor_coalesced";
      case c10d::OpType::ALLTOALL_BASE:
      case c10d::OpType::ALLTOALL:
        return "all_to_all";
      case c10d::OpType::SEND:
        return concat("send ", rank_, "->", peer);
      case c10d::OpType::RECV:
        return concat("recv ", rank_, "<-", peer);
      default:
        return "barrier";
    }
  }

  static std::vector<RecordedCall::Shape> shapes_of(const std::vector<at::Tensor>& tensors) {
    std::vector<RecordedCall::Shape> shapes;
    for (const at::Tensor& tensor : tensors)
      shapes.push_back({tensor.sizes().vec(), c10::toString(tensor.scalar_type())});
    return shapes;
  }

  inline static std::atomic<int64_t> groups_ = 0;

  const int64_t number_ = groups_++;
  std::shared_ptr<const RecordedGroup> group_;
  int rank_ = 0;
  int64_t collectives_ = 0, messages_ = 0, operations_ = 0;
};

}  // namespace mtia::torch_backend
