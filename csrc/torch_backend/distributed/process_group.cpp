// What torch.distributed calls, as plans of what to move (collective.h).
#include "torch_backend/distributed/process_group.h"

#include <algorithm>
#include <utility>

#include "torch_backend/distributed/collective.h"
#include "torch_backend/distributed/group_backend.h"
#include "torch_backend/distributed/group_transport.h"
#include "torch_backend/errors.h"
#include "torch_backend/memory/address.h"

namespace mtia::torch_backend {
namespace {

using c10d::OpType;

class ProcessGroup final : public GroupBackend {
 public:
  // `transport` carries this group's own messages.
  ProcessGroup(c10::intrusive_ptr<c10d::Backend> transport, GroupMeans means, std::vector<int64_t> global_ranks,
               const std::string& name, std::chrono::milliseconds timeout)
      : GroupBackend(transport->getRank(), global_ranks, std::move(means), name, timeout),
        communicator_(std::make_shared<Communicator>(make_group_transport(std::move(transport), timeout),
                                                     std::move(global_ranks), name, timeout)) {}

  void setTimeout(std::chrono::milliseconds timeout) override { communicator_->timeout = timeout; }
  uint64_t getSequenceNumberForGroup() override { return communicator_->sequence; }
  c10d::ErrorType getError() override {
    return communicator_->given_up().empty() ? c10d::ErrorType::SUCCESS : c10d::ErrorType::COMM_ERROR;
  }
  void abort() override {
    communicator_->give_up("abort() was called");
    host_->abort();
  }
  void shutdown() override {
    communicator_->transport->drain_messages();
    communicator_->collectives.drain();
    host_->shutdown();
  }

  WorkPointer broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override {
    if (on_host(tensors)) return host_->broadcast(tensors, options);
    const at::Tensor& tensor = only(tensors, "broadcast");
    const int root = root_of(options.rootRank, "broadcast");
    CollectivePlan plan = plan_for(network::Collective::broadcast, describe("broadcast", tensors, root), tensor);
    for (int rank = 0; rank < size_; ++rank) {
      if (rank == root) continue;
      if (rank_ == root) at_rank(plan.sent, rank) = {region_of(tensor)};
      if (rank_ == rank) at_rank(plan.received, root) = {region_of(tensor)};
    }
    return run(OpType::BROADCAST, "mccl:broadcast", {std::move(plan)}, tensors, tensors);
  }

  WorkPointer allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override {
    if (on_host(tensors)) return host_->allreduce(tensors, options);
    if (is_sparse(tensors)) return sum_sparse_tensors(tensors, options.reduceOp);
    only(tensors, "allreduce");
    return reduce_all(OpType::ALLREDUCE, "mccl:all_reduce", tensors, options.reduceOp, std::nullopt);
  }

  WorkPointer allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions& options) override {
    if (on_host(tensors)) return host_->allreduce_coalesced(tensors, options);
    return reduce_all(OpType::ALLREDUCE_COALESCED, "mccl:all_reduce_coalesced", tensors, options.reduceOp,
                      std::nullopt);
  }

  WorkPointer reduce(Tensors& tensors, const c10d::ReduceOptions& options) override {
    if (on_host(tensors)) return host_->reduce(tensors, options);
    only(tensors, "reduce");
    return reduce_all(OpType::REDUCE, "mccl:reduce", tensors, options.reduceOp, root_of(options.rootRank, "reduce"));
  }

  WorkPointer allgather(std::vector<Tensors>& outputs, Tensors& inputs,
                        const c10d::AllgatherOptions& options) override {
    if (on_host(inputs)) return host_->allgather(outputs, inputs, options);
    const at::Tensor& input = only(inputs, "allgather");
    const Tensors& parts = list_of(outputs, input, "allgather");
    // Ranks may give parts of other lengths.
    CollectivePlan plan = plan_for(network::Collective::all_gather, describe("all_gather", parts), parts);
    plan.sent.assign(static_cast<size_t>(size_), {region_of(input)});
    for (const at::Tensor& part : parts) plan.received.push_back({region_of(part)});
    return run(OpType::ALLGATHER, "mccl:all_gather", {std::move(plan)}, joined(inputs, parts), parts);
  }

  WorkPointer _allgather_base(at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions& options) override {
    if (on_host({input})) return host_->_allgather_base(output, input, options);
    Tensors outputs{output}, inputs{input};
    return gather_into(OpType::_ALLGATHER_BASE, outputs, inputs, options);
  }

  WorkPointer allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                              const c10d::AllgatherOptions& options) override {
    if (on_host(inputs)) return host_->allgather_into_tensor_coalesced(outputs, inputs, options);
    return gather_into(OpType::COALESCED, outputs, inputs, options);
  }

  // outputs[rank][i] is what that rank gave as inputs[i].
  WorkPointer allgather_coalesced(std::vector<Tensors>& outputs, Tensors& inputs,
                                  const c10d::AllgatherOptions& options) override {
    if (on_host(inputs)) return host_->allgather_coalesced(outputs, inputs, options);
    TORCH_CHECK_VALUE(outputs.size() == static_cast<size_t>(size_), "allgather_coalesced: ", outputs.size(),
                      " lists of outputs for ", size_, " ranks");
    CollectivePlan plan = plan_for(network::Collective::all_gather, describe("all_gather_coalesced", inputs), inputs);
    plan.accounted_bytes *= static_cast<uint64_t>(size_);
    plan.sent.assign(static_cast<size_t>(size_), regions_of(inputs));
    Tensors all;
    for (const Tensors& list : outputs) {
      TORCH_CHECK_VALUE(list.size() == inputs.size(), "allgather_coalesced: ", list.size(), " outputs of a rank for ",
                        inputs.size(), " inputs");
      for (size_t i = 0; i < list.size(); ++i) check_alike(list[i], inputs[i], "allgather_coalesced");
      plan.received.push_back(regions_of(list));
      all = joined(all, list);
    }
    check(all, "allgather_coalesced");
    return run(OpType::ALLGATHER_COALESCED, "mccl:all_gather_coalesced", {std::move(plan)}, joined(inputs, all), all);
  }

  WorkPointer gather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::GatherOptions& options) override {
    if (on_host(inputs)) return host_->gather(outputs, inputs, options);
    const at::Tensor& input = only(inputs, "gather");
    const int root = root_of(options.rootRank, "gather");
    CollectivePlan plan = plan_for(network::Collective::gather, describe("gather", inputs, root), input);
    plan.accounted_bytes *= static_cast<uint64_t>(size_);
    plan.sent.resize(static_cast<size_t>(size_));
    at_rank(plan.sent, root) = {region_of(input)};
    Tensors parts;
    if (rank_ == root) {
      parts = list_of(outputs, input, "gather");
      for (const at::Tensor& part : parts) plan.received.push_back({region_of(part)});
    } else {
      TORCH_CHECK_VALUE(outputs.empty(), "gather: outputs are given on the root alone");
    }
    return run(OpType::GATHER, "mccl:gather", {std::move(plan)}, joined(inputs, parts), parts);
  }

  WorkPointer scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ScatterOptions& options) override {
    if (on_host(outputs)) return host_->scatter(outputs, inputs, options);
    const at::Tensor& output = only(outputs, "scatter");
    const int root = root_of(options.rootRank, "scatter");
    CollectivePlan plan = plan_for(network::Collective::scatter, describe("scatter", outputs, root), output);
    plan.accounted_bytes *= static_cast<uint64_t>(size_);
    Tensors parts;
    if (rank_ == root) {
      parts = list_of(inputs, output, "scatter");
      for (const at::Tensor& part : parts) plan.sent.push_back({region_of(part)});
    } else {
      TORCH_CHECK_VALUE(inputs.empty(), "scatter: inputs are given on the root alone");
    }
    plan.received.resize(static_cast<size_t>(size_));
    at_rank(plan.received, root) = {region_of(output)};
    return run(OpType::SCATTER, "mccl:scatter", {std::move(plan)}, joined(outputs, parts), outputs);
  }

  WorkPointer reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs,
                             const c10d::ReduceScatterOptions& options) override {
    if (on_host(outputs)) return host_->reduce_scatter(outputs, inputs, options);
    const at::Tensor& output = only(outputs, "reduce_scatter");
    const Tensors& parts = list_of(inputs, output, "reduce_scatter");
    CollectivePlan plan = scatter_plan(output, options.reduceOp, parts);
    for (const at::Tensor& part : parts) plan.sent.push_back({region_of(part)});
    return run(OpType::REDUCE_SCATTER, "mccl:reduce_scatter", {std::move(plan)}, joined(outputs, parts), outputs);
  }

  WorkPointer _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                   const c10d::ReduceScatterOptions& options) override {
    if (on_host({output})) return host_->_reduce_scatter_base(output, input, options);
    Tensors outputs{output}, inputs{input};
    return scatter_from(OpType::_REDUCE_SCATTER_BASE, outputs, inputs, options);
  }

  WorkPointer reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                              const c10d::ReduceScatterOptions& options) override {
    if (on_host(outputs)) return host_->reduce_scatter_tensor_coalesced(outputs, inputs, options);
    return scatter_from(OpType::REDUCE_SCATTER_TENSOR_COALESCED, outputs, inputs, options);
  }

  WorkPointer alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>& output_splits,
                            std::vector<int64_t>& input_splits, const c10d::AllToAllOptions& options) override {
    if (on_host({input})) return host_->alltoall_base(output, input, output_splits, input_splits, options);
    const Tensors tensors{output, input};
    check(tensors, "alltoall_base");
    check_contiguous(tensors, "alltoall_base");
    TORCH_CHECK_TYPE(output.scalar_type() == input.scalar_type(), "alltoall_base: output of ", output.scalar_type(),
                     ", input of ", input.scalar_type());
    check_splits(input_splits, input);
    check_splits(output_splits, output);
    CollectivePlan plan =
        plan_for(network::Collective::all_to_all, concat("all_to_all of ", c10::toString(input.scalar_type())), input);
    plan.sent = split(input, input_splits);
    plan.received = split(output, output_splits);
    return run(OpType::ALLTOALL_BASE, "mccl:all_to_all", {std::move(plan)}, tensors, {output});
  }

  WorkPointer alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions& options) override {
    if (on_host(inputs)) return host_->alltoall(outputs, inputs, options);
    const auto ranks = static_cast<size_t>(size_);
    TORCH_CHECK_VALUE(outputs.size() == ranks && inputs.size() == ranks, "alltoall: ", inputs.size(), " inputs and ",
                      outputs.size(), " outputs for ", size_, " ranks");
    const Tensors all = joined(inputs, outputs);
    check(all, "alltoall");
    for (const at::Tensor& each : all) check_alike(each, all.front(), "alltoall");
    CollectivePlan plan =
        plan_for(network::Collective::all_to_all,
                 in_order(concat("all_to_all of ", c10::toString(inputs[0].scalar_type())), {inputs.front()}), inputs);
    for (const at::Tensor& input : inputs) plan.sent.push_back({region_of(input)});
    for (const at::Tensor& output : outputs) plan.received.push_back({region_of(output)});
    return run(OpType::ALLTOALL, "mccl:all_to_all", {std::move(plan)}, all, outputs);
  }

  WorkPointer send(Tensors& tensors, int destination, int tag) override {
    if (on_host(tensors)) return batched(host_->send(tensors, destination, tag));
    only(tensors, "send");
    check_peer(destination, "send");
    if (is_estimating()) return estimate_message(OpType::SEND, "mccl:send", tensors, destination);
    return start(OpType::SEND, "mccl:send", tensors,
                 {{make_send(communicator_, message_of(tensors), destination, tag_of(tag))}, tensors, {}, nullptr},
                 destination);
  }

  WorkPointer recv(Tensors& tensors, int source, int tag) override {
    if (on_host(tensors)) return batched(host_->recv(tensors, source, tag));
    only(tensors, "recv");
    check_peer(source, "recv");
    return receive(tensors, source, tag, OpType::RECV);
  }

  WorkPointer recvAnysource(Tensors& tensors, int tag) override {
    if (on_host(tensors)) return host_->recvAnysource(tensors, tag);
    only(tensors, "recv");
    return receive(tensors, -1, tag, OpType::RECVANYSOURCE);
  }

 private:
  runtime::ExchangePointer make_barrier() override {
    CollectivePlan plan;
    plan.signature = "barrier";
    return make_collective(communicator_, std::move(plan));
  }

  static uint32_t tag_of(int tag) { return static_cast<uint32_t>(tag); }

  static Regions& at_rank(std::vector<Regions>& list, int rank) { return list[static_cast<size_t>(rank)]; }

  static std::string describe(const char* name, const Tensors& tensors, int root = -1) {
    std::string text = concat(name, " of ", tensors.front().numel(), " ", c10::toString(tensors.front().scalar_type()));
    if (tensors.size() > 1) {
      int64_t elements = 0;
      for (const at::Tensor& tensor : tensors) elements += tensor.numel();
      text = concat(name, " of ", elements, " ", c10::toString(tensors.front().scalar_type()), " in ", tensors.size(),
                    " tensors");
    }
    return in_order(root < 0 ? text : concat(text, ", root ", root), tensors);
  }

  // With the memory orders that ranks have to agree on.
  static std::string in_order(std::string text, const Tensors& tensors) {
    for (const at::Tensor& tensor : tensors) {
      if (!tensor.is_contiguous()) text = concat(text, ", ", memory_order(tensor));
    }
    return text;
  }

  CollectivePlan plan_for(network::Collective kind, std::string signature, const Tensors& tensors) const {
    CollectivePlan plan;
    plan.kind = kind;
    plan.signature = std::move(signature);
    plan.accounted_bytes = torch_backend::bytes_of(regions_of(tensors));
    if (kind == network::Collective::broadcast) {
      plan.sent.resize(static_cast<size_t>(size_));
      plan.received.resize(static_cast<size_t>(size_));
    }
    return plan;
  }
  CollectivePlan plan_for(network::Collective kind, std::string signature, const at::Tensor& tensor) const {
    return plan_for(kind, std::move(signature), Tensors{tensor});
  }

  // `parts`: what all ranks get, by rank.
  CollectivePlan scatter_plan(const at::Tensor& output, const c10d::ReduceOp& operation, const Tensors& parts) const {
    CollectivePlan plan = plan_for(network::Collective::reduce_scatter,
                                   describe(concat("reduce_scatter ", name_of(operation)).c_str(), parts), parts);
    plan.reduction = reduction_of(operation, output.scalar_type());
    plan.combined = {region_of(output)};
    return plan;
  }

  // By rows of the first dimension.
  std::vector<Regions> split(const at::Tensor& tensor, const std::vector<int64_t>& rows) const {
    std::vector<Regions> parts;
    const int64_t all = tensor.dim() == 0 ? 1 : tensor.size(0);
    const uint64_t row_bytes = all == 0 ? 0 : tensor.nbytes() / static_cast<uint64_t>(all);
    uint64_t address = address_of(tensor);
    for (int rank = 0; rank < size_; ++rank) {
      const int64_t count = rows.empty() ? all / size_ : rows[static_cast<size_t>(rank)];
      parts.push_back({{address, static_cast<uint64_t>(count) * row_bytes}});
      address += parts.back().front().bytes;
    }
    return parts;
  }

  WorkPointer reduce_all(OpType type, const char* title, Tensors& tensors, const c10d::ReduceOp& operation,
                         std::optional<int> root) {
    check(tensors, title);
    // One collective for the tensors of each dtype.
    std::vector<CollectivePlan> plans;
    Tensors rest = tensors;
    while (!rest.empty()) {
      const c10::ScalarType dtype = rest.front().scalar_type();
      const auto others = std::stable_partition(
          rest.begin(), rest.end(), [&](const at::Tensor& tensor) { return tensor.scalar_type() == dtype; });
      const Tensors alike(rest.begin(), others);
      rest.erase(rest.begin(), others);
      const auto kind = root.has_value() ? network::Collective::reduce : network::Collective::all_reduce;
      CollectivePlan plan = plan_reduction(kind, reduction_of(operation, dtype), regions_of(alike), rank_, size_, root);
      const std::string what = concat(network::name_of(kind), " ", name_of(operation));
      plan.signature = describe(what.c_str(), alike, root.value_or(-1));
      plans.push_back(std::move(plan));
    }
    return run(type, title, std::move(plans), tensors, tensors);
  }

  WorkPointer gather_into(OpType type, const Tensors& outputs, const Tensors& inputs, const c10d::AllgatherOptions&) {
    check_gathered(outputs, inputs);
    CollectivePlan plan = plan_for(network::Collective::all_gather, describe("all_gather", inputs), inputs);
    plan.accounted_bytes *= static_cast<uint64_t>(size_);
    plan.sent.assign(static_cast<size_t>(size_), regions_of(inputs));
    plan.received.resize(static_cast<size_t>(size_));
    for (size_t i = 0; i < outputs.size(); ++i) {
      for (int rank = 0; rank < size_; ++rank) at_rank(plan.received, rank).push_back(part_of(outputs[i], rank, size_));
    }
    return run(type, "mccl:all_gather_into_tensor", {std::move(plan)}, joined(inputs, outputs), outputs);
  }

  WorkPointer scatter_from(OpType type, const Tensors& outputs, const Tensors& inputs,
                           const c10d::ReduceScatterOptions& options) {
    check_scattered(outputs, inputs);
    std::vector<CollectivePlan> plans;
    for (size_t i = 0; i < outputs.size(); ++i) {
      CollectivePlan plan = scatter_plan(outputs[i], options.reduceOp, {inputs[i]});
      for (int rank = 0; rank < size_; ++rank) plan.sent.push_back({part_of(inputs[i], rank, size_)});
      plans.push_back(std::move(plan));
    }
    return run(type, "mccl:reduce_scatter_tensor", std::move(plans), joined(inputs, outputs), outputs);
  }

  WorkPointer receive(Tensors& tensors, int source, int tag, OpType type) {
    if (is_estimating()) return estimate_message(type, "mccl:recv", tensors, source < 0 ? (rank_ + 1) % size_ : source);
    const auto found = std::make_shared<std::atomic<int>>(source);
    return start(
        type, "mccl:recv", tensors,
        {{make_receive(communicator_, message_of(tensors), source, tag_of(tag), found)}, tensors, tensors, found},
        source);
  }

  WorkPointer run(OpType type, const char* title, std::vector<CollectivePlan> plans, Tensors kept, Tensors outputs) {
    ExchangeWork::Parts parts;
    if (is_estimating()) {
      for (const CollectivePlan& plan : plans) estimate(plan.kind, plan.accounted_bytes, kept.front().device().index());
      plans.clear();
    }
    for (CollectivePlan& plan : plans) parts.exchanges.push_back(make_collective(communicator_, std::move(plan)));
    parts.kept = kept;
    parts.outputs = std::move(outputs);
    return start(type, title, kept, std::move(parts));
  }

  CommunicatorPointer communicator_;
};

// Never destroyed: it is Python's, and groups may live as long as the process.
GroupFactory& present_factory() {
  static auto* factory = new GroupFactory;
  return *factory;
}

GroupBackend& of_this_device(const c10::intrusive_ptr<c10d::Backend>& backend) {
  auto* group = dynamic_cast<GroupBackend*>(backend.get());
  TORCH_CHECK_NOT_IMPLEMENTED(group != nullptr, "backend ", backend->getBackendName(),
                              " has no such operation; groups of mtia_sim have");
  return *group;
}

}  // namespace

void set_group_factory(GroupFactory factory) { present_factory() = std::move(factory); }
const GroupFactory& group_factory() { return present_factory(); }

void start_time_estimate(const c10::intrusive_ptr<c10d::Backend>& backend) {
  of_this_device(backend).start_time_estimate();
}
double end_time_estimate(const c10::intrusive_ptr<c10d::Backend>& backend) {
  return of_this_device(backend).end_time_estimate();
}
std::chrono::milliseconds timeout_of(const c10::intrusive_ptr<c10d::Backend>& backend) {
  return of_this_device(backend).getBackendOptions()->timeout;
}

int64_t splits_of(const c10::intrusive_ptr<c10d::Backend>& backend) { return of_this_device(backend).splits(); }

c10::intrusive_ptr<c10d::Backend> make_process_group(c10::intrusive_ptr<c10d::Backend> transport, GroupMeans means,
                                                     std::vector<int64_t> global_ranks, std::string name,
                                                     std::chrono::milliseconds timeout) {
  return c10::make_intrusive<ProcessGroup>(std::move(transport), std::move(means), std::move(global_ranks), name,
                                           timeout);
}

}  // namespace mtia::torch_backend
