// Gloo as a transport: another c10d backend's sends and receives of bytes in host memory. Includes all of ATen, as
// torch's header of backends does: for group_transport.cpp alone.
#pragma once

#include <ATen/ops/from_blob.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "transport/transport.h"
#include "transport/worker_thread.h"

namespace mtia::torch_backend {

using WorkPointer = c10::intrusive_ptr<c10d::Work>;

inline at::Tensor as_tensor(std::span<const std::byte> bytes) {
  return at::from_blob(const_cast<std::byte*>(bytes.data()), {static_cast<int64_t>(bytes.size())},
                       at::TensorOptions(c10::kByte));
}

// The backend as long as it is of use, and the works that somebody may wait for.
class GlooSession {
 public:
  explicit GlooSession(c10::intrusive_ptr<c10d::Backend> backend) : backend_(std::move(backend)) {}

  // `start(backend)` gives a work.
  template <typename Start>
  WorkPointer begin(const Start& start) {
    const std::lock_guard lock(mutex_);
    if (!backend_) throw std::runtime_error(given_up());
    WorkPointer work = start(*backend_);
    live_.insert(work);
    return work;
  }

  void wait(const WorkPointer& work, transport::Timeout timeout) {
    const bool is_done = work->wait(timeout);
    const std::lock_guard lock(mutex_);
    live_.erase(work);
    if (!is_done || !backend_) throw std::runtime_error(given_up());
  }

  void forget(const WorkPointer& work) {
    const std::lock_guard lock(mutex_);
    live_.erase(work);
  }

  // Waits end, and connections close when the last work is gone, which the other ranks see.
  void give_up(const std::string& reason) {
    c10::intrusive_ptr<c10d::Backend> last;
    const std::lock_guard lock(mutex_);
    if (!backend_) return;
    reason_ = reason;
    last = std::move(backend_);
    backend_.reset();
    for (const WorkPointer& work : live_) work->abort();
  }

 private:
  std::string given_up() const { return concat("the process group was given up here: ", reason_); }

  std::mutex mutex_;
  c10::intrusive_ptr<c10d::Backend> backend_;
  std::string reason_;
  std::set<WorkPointer> live_;
};

class GlooTransport final : public transport::Transport {
 public:
  explicit GlooTransport(c10::intrusive_ptr<c10d::Backend> backend)
      : rank_(backend->getRank()),
        size_(backend->getSize()),
        session_(std::make_shared<GlooSession>(std::move(backend))) {}

  // A round trip of a message costs as much as half of such a piece.
  static constexpr size_t best_piece_bytes = size_t{1} << 20;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  size_t piece_bytes() const override { return best_piece_bytes; }

  transport::OutgoingPointer send(int rank, uint32_t tag, transport::Runs runs, transport::Timeout) override {
    transport::Buffer joined;
    std::span<const std::byte> bytes = runs.size() == 1 ? runs.front() : std::span<const std::byte>();
    if (runs.size() > 1) bytes = join(runs, joined);
    return std::make_unique<Sent>(session_, begin_send(rank, piece_tag(tag), bytes), joined);
  }
  transport::IncomingPointer receive(int rank, uint32_t tag, size_t bytes, std::byte* place) override {
    return std::make_unique<Received>(session_, rank, tag, bytes, place);
  }

  void send_message(int rank, uint32_t tag, const transport::Envelope& envelope, transport::Buffer payload,
                    transport::Timeout timeout, std::function<void(const std::string&)> failed) override {
    // Begun here, so that a message which nobody takes yet holds up no other one; waited for elsewhere.
    const auto kept = std::make_shared<transport::Envelope>(envelope);
    const auto works = std::make_shared<std::vector<WorkPointer>>();
    works->push_back(begin_send(rank, message_tag(tag, false), std::as_bytes(std::span(kept.get(), 1))));
    if (!payload.span().empty()) works->push_back(begin_send(rank, message_tag(tag, true), payload.span()));
    sends_.run([session = session_, works, kept, payload, timeout, failed = std::move(failed)] {
      try {
        for (const WorkPointer& work : *works) session->wait(work, timeout);
      } catch (const std::exception& error) {
        failed(error.what());
      }
      for (const WorkPointer& work : *works) session->forget(work);
    });
  }
  transport::PendingMessagePointer receive_message(int rank, uint32_t tag) override {
    return std::make_unique<Letter>(session_, rank, tag);
  }
  void drain_messages() override { sends_.drain(); }
  void give_up(const std::string& reason) override { session_->give_up(reason); }

 private:
  using SessionPointer = std::shared_ptr<GlooSession>;

  static constexpr uint32_t message_bit = 1U << 30;
  static uint32_t message_tag(uint32_t tag, bool is_payload) {
    return message_bit | (tag << 1 | static_cast<uint32_t>(is_payload)) % message_bit;
  }
  static uint32_t piece_tag(uint32_t tag) { return tag % message_bit; }

  static std::span<const std::byte> join(transport::Runs runs, transport::Buffer& joined) {
    size_t bytes = 0;
    for (const auto& run : runs) bytes += run.size();
    joined = transport::Buffer(bytes);
    std::byte* place = joined.span().data();
    for (const auto& run : runs) place = std::copy(run.begin(), run.end(), place);
    return joined.span();
  }

  WorkPointer begin_send(int rank, uint32_t tag, std::span<const std::byte> bytes) {
    return session_->begin([&](c10d::Backend& backend) {
      std::vector<at::Tensor> tensors{as_tensor(bytes)};
      return backend.send(tensors, rank, static_cast<int>(tag));
    });
  }
  static WorkPointer begin_receive(GlooSession& session, int rank, uint32_t tag, std::span<const std::byte> bytes) {
    return session.begin([&](c10d::Backend& backend) {
      std::vector<at::Tensor> tensors{as_tensor(bytes)};
      return rank == transport::any_rank ? backend.recvAnysource(tensors, static_cast<int>(tag))
                                         : backend.recv(tensors, rank, static_cast<int>(tag));
    });
  }

  class Sent final : public transport::Outgoing {
   public:
    Sent(SessionPointer session, WorkPointer work, transport::Buffer joined)
        : session_(std::move(session)), work_(std::move(work)), joined_(std::move(joined)) {}
    ~Sent() override { session_->forget(work_); }
    void wait(transport::Timeout timeout) override { session_->wait(work_, timeout); }

   private:
    SessionPointer session_;
    WorkPointer work_;
    transport::Buffer joined_;
  };

  class Received final : public transport::Incoming {
   public:
    Received(SessionPointer session, int rank, uint32_t tag, size_t bytes, std::byte* place)
        : session_(std::move(session)), own_(place == nullptr ? bytes : 0), bytes_(own_.span()) {
      if (place != nullptr) bytes_ = {place, bytes};
      work_ = begin_receive(*session_, rank, piece_tag(tag), bytes_);
    }
    ~Received() override { session_->forget(work_); }
    std::span<const std::byte> wait(transport::Timeout timeout) override {
      session_->wait(work_, timeout);
      return bytes_;
    }

   private:
    SessionPointer session_;
    transport::Buffer own_;
    std::span<std::byte> bytes_;
    WorkPointer work_;
  };

  class Letter final : public transport::PendingMessage {
   public:
    Letter(SessionPointer session, int rank, uint32_t tag) : session_(std::move(session)), rank_(rank), tag_(tag) {
      work_ = begin_receive(*session_, rank, message_tag(tag, false), std::as_bytes(std::span(&message_.envelope, 1)));
    }
    ~Letter() override { session_->forget(work_); }
    transport::Message wait(transport::Timeout timeout) override {
      session_->wait(work_, timeout);
      message_.source = rank_ == transport::any_rank ? work_->sourceRank() : rank_;
      if (message_.envelope.is_known && message_.envelope.bytes != 0) {
        message_.payload = transport::Buffer(message_.envelope.bytes);
        work_ = begin_receive(*session_, message_.source, message_tag(tag_, true), message_.payload.span());
        session_->wait(work_, timeout);
      }
      return std::move(message_);
    }

   private:
    SessionPointer session_;
    const int rank_;
    const uint32_t tag_;
    transport::Message message_;
    WorkPointer work_;
  };

  const int rank_;
  const int size_;
  const SessionPointer session_;
  transport::WorkerThread sends_;
};

}  // namespace mtia::torch_backend
