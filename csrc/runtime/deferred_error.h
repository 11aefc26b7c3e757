// The first failure of asynchronous work on a device, kept until the next synchronising call throws it.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <utility>

namespace mtia::runtime {

class DeferredError {
 public:
  // Later failures often follow from the first, which is the one to report.
  void store(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
    present_.store(true, std::memory_order_release);
  }

  std::exception_ptr take() {
    if (!present_.load(std::memory_order_acquire)) return nullptr;
    const std::lock_guard lock(mutex_);
    present_.store(false, std::memory_order_release);
    return std::exchange(error_, nullptr);
  }

  // Throws the failure, if there is one, and forgets it.
  void rethrow() {
    if (std::exception_ptr error = take()) std::rethrow_exception(std::move(error));
  }

 private:
  std::atomic<bool> present_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace mtia::runtime
