// Another c10d backend as a transport: bytes in host memory by its send and receive. Includes all of ATen, as torch's
// header of backends does: for process_group.cpp alone.
#pragma once

#include <ATen/ops/from_blob.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <memory>
#include <utility>
#include <vector>

#include "torch_backend/distributed/transport.h"

namespace mtia::torch_backend {

using WorkPointer = c10::intrusive_ptr<c10d::Work>;

inline at::Tensor as_tensor(const std::byte* data, size_t bytes) {
  return at::from_blob(const_cast<std::byte*>(data), {static_cast<int64_t>(bytes)}, at::TensorOptions(c10::kByte));
}

class GlooMessage final : public PendingMessage {
 public:
  explicit GlooMessage(WorkPointer work) : work_(std::move(work)) {}
  void wait(std::chrono::milliseconds timeout) override { work_->wait(timeout); }
  int source() const override { return work_->sourceRank(); }

 private:
  WorkPointer work_;
};

// Another backend's messages, of bytes in host memory.
class BackendTransport final : public Transport {
 public:
  explicit BackendTransport(c10::intrusive_ptr<c10d::Backend> backend) : backend_(std::move(backend)) {}
  int rank() const override { return backend_->getRank(); }
  int size() const override { return backend_->getSize(); }

  PendingMessagePointer send(int rank, uint32_t tag, std::span<const std::byte> bytes) override {
    std::vector<at::Tensor> tensors{as_tensor(bytes.data(), bytes.size())};
    return std::make_unique<GlooMessage>(backend_->send(tensors, rank, static_cast<int>(tag)));
  }
  PendingMessagePointer receive(int rank, uint32_t tag, std::span<std::byte> bytes) override {
    std::vector<at::Tensor> tensors{as_tensor(bytes.data(), bytes.size())};
    return std::make_unique<GlooMessage>(backend_->recv(tensors, rank, static_cast<int>(tag)));
  }
  PendingMessagePointer receive_from_any(uint32_t tag, std::span<std::byte> bytes) override {
    std::vector<at::Tensor> tensors{as_tensor(bytes.data(), bytes.size())};
    return std::make_unique<GlooMessage>(backend_->recvAnysource(tensors, static_cast<int>(tag)));
  }

 private:
  c10::intrusive_ptr<c10d::Backend> backend_;
};

}  // namespace mtia::torch_backend
