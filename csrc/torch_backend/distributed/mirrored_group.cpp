// What torch.distributed calls, as plans of what this rank's own bytes become (mirrored_exchange.h).
#include "torch_backend/distributed/mirrored_group.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "torch_backend/distributed/group_backend.h"
#include "torch_backend/distributed/group_transport.h"
#include "torch_backend/distributed/mirrored_exchange.h"

namespace mtia::torch_backend {
namespace {

using c10d::OpType;
using network::Collective;

uint64_t bytes_of(const Tensors& tensors) {
  uint64_t sum = 0;
  for (const at::Tensor& tensor : tensors) sum += tensor.nbytes();
  return sum;
}

class MirroredGroup final : public GroupBackend {
 public:
  MirroredGroup(int rank, std::vector<int64_t> global_ranks, GroupMeans means, CommunicatorPointer present,
                const std::string& name, std::chrono::milliseconds timeout)
      : GroupBackend(rank, global_ranks, std::move(means), name, timeout),
        communicator_(std::make_shared<MirroredCommunicator>(rank, std::move(global_ranks), std::move(present))) {}

  void setTimeout(std::chrono::milliseconds timeout) override {
    if (communicator_->present) communicator_->present->timeout = timeout;
  }
  uint64_t getSequenceNumberForGroup() override { return communicator_->sequence; }
  void shutdown() override {
    if (communicator_->present) communicator_->present->collectives.drain();
  }

  WorkPointer broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override {
    if (on_host(tensors)) return host_->broadcast(tensors, options);
    check(tensors, "broadcast");
    root_of(options.rootRank, "broadcast");
    // What the root holds is what this rank holds.
    return run(OpType::BROADCAST, "mccl:broadcast", {Collective::broadcast, bytes_of(tensors), {}, {}}, tensors,
               tensors);
  }

  WorkPointer allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override {
    if (on_host(tensors)) return host_->allreduce(tensors, options);
    if (is_sparse(tensors)) return sum_sparse_tensors(tensors, options.reduceOp);
    return reduce_all(OpType::ALLREDUCE, "mccl:all_reduce", Collective::all_reduce, tensors, options.reduceOp, true);
  }

  WorkPointer allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions& options) override {
    if (on_host(tensors)) return host_->allreduce_coalesced(tensors, options);
    return reduce_all(OpType::ALLREDUCE_COALESCED, "mccl:all_reduce_coalesced", Collective::all_reduce, tensors,
                      options.reduceOp, true);
  }

  WorkPointer reduce(Tensors& tensors, const c10d::ReduceOptions& options) override {
    if (on_host(tensors)) return host_->reduce(tensors, options);
    return reduce_all(OpType::REDUCE, "mccl:reduce", Collective::reduce, tensors, options.reduceOp,
                      root_of(options.rootRank, "reduce") == rank_);
  }

  WorkPointer allgather(std::vector<Tensors>& outputs, Tensors& inputs,
                        const c10d::AllgatherOptions& options) override {
    if (on_host(inputs)) return host_->allgather(outputs, inputs, options);
    TORCH_CHECK_VALUE(inputs.size() == 1, "allgather: ", inputs.size(), " tensors; a process has one a call");
    check(inputs, "allgather");
    return gather_lists(OpType::ALLGATHER, Collective::all_gather, list_of(outputs, inputs.front(), "allgather"),
                        inputs);
  }

  WorkPointer allgather_coalesced(std::vector<Tensors>& outputs, Tensors& inputs,
                                  const c10d::AllgatherOptions& options) override {
    if (on_host(inputs)) return host_->allgather_coalesced(outputs, inputs, options);
    check(inputs, "allgather_coalesced");
    MirroredPlan plan{Collective::all_gather, bytes_of(inputs) * ranks(), {}, {}};
    Tensors all;
    for (const Tensors& list : outputs) {
      TORCH_CHECK_VALUE(list.size() == inputs.size(), "allgather_coalesced: ", list.size(), " outputs of a rank for ",
                        inputs.size(), " inputs");
      for (size_t i = 0; i < list.size(); ++i) plan.moves.push_back(copy(inputs[i], list[i]));
      all.insert(all.end(), list.begin(), list.end());
    }
    return run(OpType::ALLGATHER_COALESCED, "mccl:all_gather_coalesced", std::move(plan), joined(inputs, all), all);
  }

  WorkPointer _allgather_base(at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions& options) override {
    if (on_host({input})) return host_->_allgather_base(output, input, options);
    return gather_into(OpType::_ALLGATHER_BASE, {output}, {input});
  }

  WorkPointer allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                              const c10d::AllgatherOptions& options) override {
    if (on_host(inputs)) return host_->allgather_into_tensor_coalesced(outputs, inputs, options);
    return gather_into(OpType::COALESCED, outputs, inputs);
  }

  WorkPointer gather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::GatherOptions& options) override {
    if (on_host(inputs)) return host_->gather(outputs, inputs, options);
    check(inputs, "gather");
    const bool is_root = root_of(options.rootRank, "gather") == rank_;
    return gather_lists(OpType::GATHER, Collective::gather,
                        is_root ? list_of(outputs, inputs.front(), "gather") : Tensors{}, inputs);
  }

  WorkPointer scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ScatterOptions& options) override {
    if (on_host(outputs)) return host_->scatter(outputs, inputs, options);
    check(outputs, "scatter");
    const at::Tensor& output = outputs.front();
    MirroredPlan plan{Collective::scatter, output.nbytes() * ranks(), {}, {}};
    if (root_of(options.rootRank, "scatter") == rank_) {
      const at::Tensor& part = list_of(inputs, output, "scatter")[own()];
      TORCH_CHECK_VALUE(part.numel() == output.numel(), "scatter: parts of ", part.numel(), " elements into ",
                        output.numel());
      plan.moves.push_back(copy(part, output));
    } else {
      plan.moves.push_back({{}, region_of(output), 1, {}});
    }
    return run(OpType::SCATTER, "mccl:scatter", std::move(plan), outputs, outputs);
  }

  WorkPointer reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs,
                             const c10d::ReduceScatterOptions& options) override {
    if (on_host(outputs)) return host_->reduce_scatter(outputs, inputs, options);
    check(outputs, "reduce_scatter");
    const Tensors& parts = list_of(inputs, outputs.front(), "reduce_scatter");
    return scatter_from(OpType::REDUCE_SCATTER, outputs, {region_of(parts[own()])}, parts, options.reduceOp);
  }

  WorkPointer _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                   const c10d::ReduceScatterOptions& options) override {
    if (on_host({output})) return host_->_reduce_scatter_base(output, input, options);
    check_scattered({output}, {input});
    return scatter_from(OpType::_REDUCE_SCATTER_BASE, {output}, {part_of(input, rank_, size_)}, {input},
                        options.reduceOp);
  }

  WorkPointer reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                              const c10d::ReduceScatterOptions& options) override {
    if (on_host(outputs)) return host_->reduce_scatter_tensor_coalesced(outputs, inputs, options);
    check_scattered(outputs, inputs);
    Regions parts;
    for (const at::Tensor& input : inputs) parts.push_back(part_of(input, rank_, size_));
    return scatter_from(OpType::REDUCE_SCATTER_TENSOR_COALESCED, outputs, parts, inputs, options.reduceOp);
  }

  WorkPointer alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>& output_splits,
                            std::vector<int64_t>& input_splits, const c10d::AllToAllOptions& options) override {
    if (on_host({input})) return host_->alltoall_base(output, input, output_splits, input_splits, options);
    const Tensors both{output, input};
    check(both, "alltoall_base");
    check_contiguous(both, "alltoall_base");
    check_splits(input_splits, input);
    check_splits(output_splits, output);
    // Each rank sends this one what this one sends to it.
    MirroredPlan plan{Collective::all_to_all, input.nbytes(), {{region_of(input), region_of(output), 1, {}}}, {}};
    if (input_splits != output_splits) plan.moves.front().from = {};
    return run(OpType::ALLTOALL_BASE, "mccl:all_to_all", std::move(plan), both, {output});
  }

  WorkPointer alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& options) override {
    if (on_host(inputs)) return host_->alltoall(outputs, inputs, options);
    TORCH_CHECK_VALUE(outputs.size() == ranks() && inputs.size() == ranks(), "alltoall: ", inputs.size(),
                      " inputs and ", outputs.size(), " outputs for ", ranks(), " ranks");
    MirroredPlan plan{Collective::all_to_all, bytes_of(inputs), {}, {}};
    for (size_t i = 0; i < outputs.size(); ++i) plan.moves.push_back(copy(inputs[i], outputs[i]));
    return run(OpType::ALLTOALL, "mccl:all_to_all", std::move(plan), joined(inputs, outputs), outputs);
  }

  WorkPointer send(Tensors& tensors, int destination, int tag) override {
    if (on_host(tensors)) return batched(host_->send(tensors, destination, tag));
    check_peer(destination, "send");
    check(tensors, "send");
    if (is_estimating()) return estimate_message(OpType::SEND, "mccl:send", tensors, destination);
    const std::optional<int> place = present_place(destination);
    runtime::ExchangePointer message =
        place.has_value() ? make_send(communicator_->present, message_of(tensors), *place, static_cast<uint32_t>(tag))
                          : make_mirrored_send(communicator_, bytes_of(tensors), destination);
    return start(OpType::SEND, "mccl:send", tensors, {{std::move(message)}, tensors, {}, nullptr}, destination);
  }

  WorkPointer recv(Tensors& tensors, int source, int tag) override {
    if (on_host(tensors)) return batched(host_->recv(tensors, source, tag));
    check_peer(source, "recv");
    return receive(tensors, source, tag, OpType::RECV);
  }

  WorkPointer recvAnysource(Tensors& tensors, int tag) override {
    if (on_host(tensors)) return host_->recvAnysource(tensors, tag);
    TORCH_CHECK_VALUE(size_ > 1, "recv: a group of one rank");
    return receive(tensors, (rank_ + 1) % size_, tag, OpType::RECVANYSOURCE);
  }

 private:
  runtime::ExchangePointer make_barrier() override {
    return make_mirrored_collective(communicator_, {Collective::barrier, 0, {}, "barrier"});
  }

  uint64_t ranks() const { return communicator_->size(); }
  size_t own() const { return static_cast<size_t>(rank_); }

  static MirroredMove copy(const at::Tensor& from, const at::Tensor& to) {
    check({from, to}, "a collective");
    check_alike(from, to, "a collective");
    return {region_of(from), region_of(to), 1, {}};
  }

  WorkPointer reduce_all(OpType type, const char* title, Collective kind, const Tensors& tensors,
                         const c10d::ReduceOp& operation, bool is_written) {
    check(tensors, title);
    MirroredPlan plan{kind, bytes_of(tensors), {}, name_of(operation)};
    for (const at::Tensor& tensor : tensors) {
      const network::Reduction reduction = reduction_of(operation, tensor.scalar_type());
      if (is_written) plan.moves.push_back({region_of(tensor), region_of(tensor), 1, reduction});
    }
    return run(type, title, std::move(plan), tensors, tensors);
  }

  WorkPointer gather_lists(OpType type, Collective kind, const Tensors& outputs, const Tensors& inputs) {
    MirroredPlan plan{kind, kind == Collective::all_gather ? bytes_of(outputs) : bytes_of(inputs) * ranks(), {}, {}};
    for (const at::Tensor& output : outputs) plan.moves.push_back(copy(inputs.front(), output));
    return run(type, kind == Collective::gather ? "mccl:gather" : "mccl:all_gather", std::move(plan),
               joined(inputs, outputs), outputs);
  }

  WorkPointer gather_into(OpType type, const Tensors& outputs, const Tensors& inputs) {
    check_gathered(outputs, inputs);
    MirroredPlan plan{Collective::all_gather, bytes_of(inputs) * ranks(), {}, {}};
    for (size_t i = 0; i < outputs.size(); ++i) {
      plan.moves.push_back({region_of(inputs[i]), region_of(outputs[i]), ranks(), {}});
    }
    return run(type, "mccl:all_gather_into_tensor", std::move(plan), joined(inputs, outputs), outputs);
  }

  // `parts`: of each output's input, what is this rank's.
  WorkPointer scatter_from(OpType type, const Tensors& outputs, const Regions& parts, const Tensors& inputs,
                           const c10d::ReduceOp& operation) {
    MirroredPlan plan{Collective::reduce_scatter, bytes_of(outputs) * ranks(), {}, name_of(operation)};
    for (size_t i = 0; i < outputs.size(); ++i) {
      TORCH_CHECK_VALUE(parts[i].bytes == outputs[i].nbytes(),
                        "input tensor must be the same size as output size times world size, got ", parts[i].bytes,
                        " bytes a rank for an output of ", outputs[i].nbytes());
      plan.moves.push_back({parts[i], region_of(outputs[i]), 1, reduction_of(operation, outputs[i].scalar_type())});
    }
    return run(type, "mccl:reduce_scatter", std::move(plan), joined(inputs, outputs), outputs);
  }

  // Among the ranks that exist, the place of one.
  std::optional<int> present_place(int rank) const {
    if (!communicator_->present) return std::nullopt;
    const std::vector<int64_t>& all = communicator_->present->global_ranks;
    const auto found = std::find(all.begin(), all.end(), communicator_->global_ranks[static_cast<size_t>(rank)]);
    return found == all.end() ? std::nullopt : std::optional<int>(static_cast<int>(found - all.begin()));
  }

  WorkPointer receive(Tensors& tensors, int source, int tag, OpType type) {
    check(tensors, "recv");
    if (is_estimating()) return estimate_message(type, "mccl:recv", tensors, source);
    const std::optional<int> place = present_place(source);
    runtime::ExchangePointer message =
        place.has_value()
            ? make_receive(communicator_->present, message_of(tensors), *place, static_cast<uint32_t>(tag), nullptr)
            : make_mirrored_receive(communicator_, regions_of(tensors), source);
    return start(type, "mccl:recv", tensors,
                 {{std::move(message)}, tensors, tensors, std::make_shared<std::atomic<int>>(source)}, source);
  }

  WorkPointer run(OpType type, const char* title, MirroredPlan plan, const Tensors& kept, Tensors outputs) {
    if (is_estimating()) {
      estimate(plan.kind, plan.accounted_bytes, kept.front().device().index());
      return start(type, title, kept, {{}, kept, std::move(outputs), nullptr});
    }
    plan.signature = c10::str(title, " ", plan.signature, " of ", plan.accounted_bytes, " bytes");
    return start(type, title, kept,
                 {{make_mirrored_collective(communicator_, std::move(plan))}, kept, std::move(outputs), nullptr});
  }

  MirroredCommunicatorPointer communicator_;
};

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_mirrored_group(int rank, std::vector<int64_t> global_ranks, GroupMeans means,
                                                      c10::intrusive_ptr<c10d::Backend> present,
                                                      std::vector<int64_t> present_ranks, std::string name,
                                                      std::chrono::milliseconds timeout) {
  CommunicatorPointer communicator;
  if (present) {
    communicator = std::make_shared<Communicator>(make_group_transport(std::move(present), timeout),
                                                  std::move(present_ranks), name, timeout);
  }
  return c10::make_intrusive<MirroredGroup>(rank, std::move(global_ranks), std::move(means), std::move(communicator),
                                            name, timeout);
}

}  // namespace mtia::torch_backend
