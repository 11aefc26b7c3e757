// Collectives of tensors in host memory, object collectives among them, of ranks that all have what this one has.
#include <ATen/core/ivalue.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <utility>
#include <vector>

#include "torch_backend/distributed/mirrored_group.h"

namespace mtia::torch_backend {
namespace {

using c10d::OpType;
using Tensors = std::vector<at::Tensor>;
using WorkPointer = c10::intrusive_ptr<c10d::Work>;

class DoneWork final : public c10d::Work {
 public:
  DoneWork(int rank, OpType type, Tensors outputs, int source)
      : c10d::Work(rank, type), outputs_(std::move(outputs)), source_(source) {}
  bool isCompleted() override { return true; }
  bool isSuccess() const override { return true; }
  int sourceRank() const override { return source_; }
  Tensors result() override { return outputs_; }
  void synchronize() override {}
  bool wait(std::chrono::milliseconds) override { return true; }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override {
    auto future = c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()));
    future->markCompleted(c10::IValue(outputs_));
    return future;
  }

 private:
  Tensors outputs_;
  int source_;
};

class MirroredHostGroup final : public c10d::Backend {
 public:
  MirroredHostGroup(int rank, int size) : Backend(rank, size) { init(); }

  const std::string getBackendName() const override { return "mirrored"; }

  WorkPointer broadcast(Tensors& tensors, const c10d::BroadcastOptions&) override {
    return done(OpType::BROADCAST, tensors);
  }
  WorkPointer allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override {
    for (at::Tensor& tensor : tensors) combine(tensor, options.reduceOp);
    return done(OpType::ALLREDUCE, tensors);
  }
  WorkPointer allreduce_coalesced(Tensors& tensors, const c10d::AllreduceCoalescedOptions& options) override {
    return allreduce(tensors, options);
  }
  WorkPointer reduce(Tensors& tensors, const c10d::ReduceOptions& options) override {
    if (options.rootRank == rank_)
      for (at::Tensor& tensor : tensors) combine(tensor, options.reduceOp);
    return done(OpType::REDUCE, tensors);
  }

  WorkPointer allgather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::AllgatherOptions&) override {
    for (at::Tensor& output : outputs.at(0)) output.copy_(inputs.at(0));
    return done(OpType::ALLGATHER, outputs[0]);
  }
  WorkPointer allgather_coalesced(std::vector<Tensors>& outputs, Tensors& inputs,
                                  const c10d::AllgatherOptions&) override {
    for (Tensors& list : outputs)
      for (size_t i = 0; i < list.size(); ++i) list[i].copy_(inputs.at(i));
    return done(OpType::ALLGATHER_COALESCED, {});
  }
  WorkPointer _allgather_base(at::Tensor& output, at::Tensor& input, const c10d::AllgatherOptions&) override {
    output.view({size_, -1}).copy_(input.reshape({1, -1}));
    return done(OpType::_ALLGATHER_BASE, {output});
  }
  WorkPointer allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                              const c10d::AllgatherOptions& options) override {
    for (size_t i = 0; i < outputs.size(); ++i) _allgather_base(outputs[i], inputs.at(i), options);
    return done(OpType::COALESCED, outputs);
  }
  WorkPointer gather(std::vector<Tensors>& outputs, Tensors& inputs, const c10d::GatherOptions& options) override {
    if (options.rootRank != rank_) return done(OpType::GATHER, {});
    for (at::Tensor& output : outputs.at(0)) output.copy_(inputs.at(0));
    return done(OpType::GATHER, outputs[0]);
  }

  // What a root elsewhere has for this rank is not known.
  WorkPointer scatter(Tensors& outputs, std::vector<Tensors>& inputs, const c10d::ScatterOptions& options) override {
    if (options.rootRank == rank_)
      outputs.at(0).copy_(inputs.at(0).at(own()));
    else
      outputs.at(0).zero_();
    return done(OpType::SCATTER, outputs);
  }

  WorkPointer reduce_scatter(Tensors& outputs, std::vector<Tensors>& inputs,
                             const c10d::ReduceScatterOptions& options) override {
    outputs.at(0).copy_(inputs.at(0).at(own()));
    combine(outputs[0], options.reduceOp);
    return done(OpType::REDUCE_SCATTER, outputs);
  }
  WorkPointer _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                   const c10d::ReduceScatterOptions& options) override {
    output.copy_(input.view({size_, -1}).select(0, rank_).view(output.sizes()));
    combine(output, options.reduceOp);
    return done(OpType::_REDUCE_SCATTER_BASE, {output});
  }
  WorkPointer reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                              const c10d::ReduceScatterOptions& options) override {
    for (size_t i = 0; i < outputs.size(); ++i) _reduce_scatter_base(outputs[i], inputs.at(i), options);
    return done(OpType::REDUCE_SCATTER_TENSOR_COALESCED, outputs);
  }

  // Each rank sends this one what this one sends to it.
  WorkPointer alltoall_base(at::Tensor& output, at::Tensor& input, std::vector<int64_t>&, std::vector<int64_t>&,
                            const c10d::AllToAllOptions&) override {
    if (output.sizes() == input.sizes())
      output.copy_(input);
    else
      output.zero_();
    return done(OpType::ALLTOALL_BASE, {output});
  }
  WorkPointer alltoall(Tensors& outputs, Tensors& inputs, const c10d::AllToAllOptions&) override {
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].sizes() == inputs.at(i).sizes())
        outputs[i].copy_(inputs[i]);
      else
        outputs[i].zero_();
    }
    return done(OpType::ALLTOALL, outputs);
  }

  WorkPointer send(Tensors&, int, int) override { return done(OpType::SEND, {}); }
  WorkPointer recv(Tensors& tensors, int source, int) override {
    for (at::Tensor& tensor : tensors) tensor.zero_();
    return done(OpType::RECV, tensors, source);
  }
  WorkPointer recvAnysource(Tensors& tensors, int tag) override { return recv(tensors, (rank_ + 1) % size_, tag); }
  WorkPointer barrier(const c10d::BarrierOptions&) override { return done(OpType::BARRIER, {}); }
  void monitoredBarrier(const c10d::BarrierOptions&, bool) override {}

 private:
  size_t own() const { return static_cast<size_t>(rank_); }

  WorkPointer done(OpType type, Tensors outputs, int source = -1) const {
    return c10::make_intrusive<DoneWork>(rank_, type, std::move(outputs), source);
  }

  void combine(at::Tensor& tensor, const c10d::ReduceOp& operation) const {
    switch (operation) {
      case c10d::ReduceOp::SUM:
        if (tensor.scalar_type() != c10::kBool) tensor.mul_(size_);
        return;
      case c10d::ReduceOp::PRODUCT:
        if (tensor.scalar_type() != c10::kBool) tensor.pow_(size_);
        return;
      case c10d::ReduceOp::BXOR:
        if (size_ % 2 == 0) tensor.zero_();
        return;
      case c10d::ReduceOp::AVG:
      case c10d::ReduceOp::MIN:
      case c10d::ReduceOp::MAX:
      case c10d::ReduceOp::BAND:
      case c10d::ReduceOp::BOR:
        return;
      default:
        TORCH_CHECK(false, "no such reduction of tensors in host memory");
    }
  }
};

}  // namespace

c10::intrusive_ptr<c10d::Backend> make_mirrored_host_group(int rank, int size) {
  return c10::make_intrusive<MirroredHostGroup>(rank, size);
}

}  // namespace mtia::torch_backend
