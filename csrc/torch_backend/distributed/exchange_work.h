// What torch.distributed waits for. Includes all of ATen, as torch's header of such works does: for
// group_backend.h alone.
#pragma once

#include <ATen/core/ivalue.h>
#include <c10/core/StreamGuard.h>
#include <torch/csrc/distributed/c10d/Work.hpp>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/device.h"
#include "runtime/exchange.h"
#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {

using WorkPointer = c10::intrusive_ptr<c10d::Work>;

// The tensors of works that were dropped before anybody waited: whoever synchronises the device ends their exchanges,
// which write into them.
class DroppedWorks {
 public:
  // Never destroyed: works may be dropped while the process ends.
  static DroppedWorks& all() {
    static auto* works = new DroppedWorks;
    return *works;
  }

  void add(const std::vector<runtime::ExchangePointer>& exchanges, const std::vector<at::Tensor>& kept) {
    const std::lock_guard lock(mutex_);
    for (const runtime::ExchangePointer& exchange : exchanges) works_.push_back({exchange, kept});
  }

  // Lets go of what has been written: the device holds an exchange until then.
  void release_ended() {
    std::vector<Work> ended;  // freed without the lock
    const std::lock_guard lock(mutex_);
    const auto first =
        std::partition(works_.begin(), works_.end(), [](const Work& work) { return !work.exchange.expired(); });
    ended.assign(std::make_move_iterator(first), std::make_move_iterator(works_.end()));
    works_.erase(first, works_.end());
  }

 private:
  struct Work {
    std::weak_ptr<runtime::Exchange> exchange;
    std::vector<at::Tensor> kept;
  };

  std::mutex mutex_;
  std::vector<Work> works_;
};

// Exchanges that were begun together. Waiting makes the current stream wait, not the host.
class ExchangeWork final : public c10d::Work {
 public:
  struct Parts {
    std::vector<runtime::ExchangePointer> exchanges;
    std::vector<at::Tensor> kept;  // whose memory is read and written until the end
    std::vector<at::Tensor> outputs;
    std::shared_ptr<std::atomic<int>> source;
    bool blocks_host = false;  // in wait()
  };

  ExchangeWork(int rank, c10d::OpType type, const char* title, uint64_t sequence, c10::DeviceIndex device,
               runtime::StreamId stream, Parts parts)
      : c10d::Work(rank, type, title, parts.kept),
        sequence_(sequence),
        device_(device),
        stream_(stream),
        parts_(std::move(parts)) {}

  ~ExchangeWork() override {
    if (!event_) DroppedWorks::all().add(parts_.exchanges, parts_.kept);
  }
  ExchangeWork(const ExchangeWork&) = delete;
  ExchangeWork& operator=(const ExchangeWork&) = delete;

  // Asking ends it in chip time as waiting does.
  bool isCompleted() override {
    end();
    return torch_backend::device_of(device_).is_complete(ended_);
  }
  bool isSuccess() const override { return exception() == nullptr; }
  std::exception_ptr exception() const override {
    torch_backend::device_of(device_).wait(ended_);
    for (const runtime::ExchangePointer& exchange : parts_.exchanges) {
      if (exchange->failure) return exchange->failure;
    }
    return nullptr;
  }
  std::vector<at::Tensor> result() override { return parts_.outputs; }
  uint64_t getSequencenumber() const override { return sequence_; }

  int sourceRank() const override {
    torch_backend::device_of(device_).wait(ended_);
    return parts_.source ? parts_.source->load() : -1;
  }

  void synchronize() override {
    end();
    torch_backend::device_of(device_).wait_event(current_stream_id(device_), event_);
  }
  void blockCurrentStream() override { synchronize(); }

  bool wait(std::chrono::milliseconds) override {
    synchronize();
    if (parts_.blocks_host) surfacing_errors([&] { torch_backend::device_of(device_).synchronize_stream(stream_); });
    return true;
  }

  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override {
    if (future_) return future_;
    end();
    const c10::Device device(device_type, device_);
    future_ = c10::make_intrusive<c10::ivalue::Future>(c10::ListType::create(c10::TensorType::get()),
                                                       std::vector<c10::Device>{device});
    // What waits for the future waits for the stream on which it was completed.
    const c10::StreamGuard on_stream(as_c10_stream(device_, stream_));
    future_->markCompleted(c10::IValue(parts_.outputs));
    return future_;
  }

 private:
  void end() {
    const std::lock_guard lock(mutex_);
    if (event_) return;
    runtime::Device& device = torch_backend::device_of(device_);
    for (const runtime::ExchangePointer& exchange : parts_.exchanges) device.end_exchange(stream_, exchange);
    event_ = device.record_event(stream_);
    ended_ = event_->ticket;
    parts_.kept.clear();
    completed_ = true;
    if (recordFunctionEndCallback_) recordFunctionEndCallback_();
  }

  uint64_t sequence_;
  c10::DeviceIndex device_;
  runtime::StreamId stream_;
  Parts parts_;
  runtime::EventRecordPointer event_;
  runtime::Ticket ended_ = 0;
  c10::intrusive_ptr<c10::ivalue::Future> future_;
};

using ExchangeWorkPointer = c10::intrusive_ptr<ExchangeWork>;

// What was started between startCoalescing and endCoalescing.
class BatchWork final : public c10d::Work {
 public:
  BatchWork(int rank, std::vector<WorkPointer> works)
      : c10d::Work(rank, c10d::OpType::COALESCED), works_(std::move(works)) {}
  bool isCompleted() override {
    return std::all_of(works_.begin(), works_.end(), [](const WorkPointer& work) { return work->isCompleted(); });
  }
  bool isSuccess() const override {
    return std::all_of(works_.begin(), works_.end(), [](const WorkPointer& work) { return work->isSuccess(); });
  }
  void synchronize() override {
    for (const WorkPointer& work : works_) work->synchronize();
  }
  void blockCurrentStream() override { synchronize(); }
  bool wait(std::chrono::milliseconds timeout) override {
    for (const WorkPointer& work : works_) work->wait(timeout);
    return true;
  }

 private:
  std::vector<WorkPointer> works_;
};

}  // namespace mtia::torch_backend
