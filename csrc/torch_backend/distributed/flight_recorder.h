// The last calls of this process's groups, for who looks for a rank that did not come: the field's format, read by
// torch.distributed.flight_recorder. libtorch has a recorder of its own and does not export it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "runtime/exchange.h"

namespace mtia::torch_backend {

// A group as the format has it: its name, its description, and its ranks' numbers in the job.
struct RecordedGroup {
  int64_t number = 0;
  std::string name;
  std::string description;
  std::vector<int64_t> ranks;
  int64_t own_rank = 0;  // in the job
};

// One call. Of numbers each kind counts from 1 in each group.
struct RecordedCall {
  // Nanoseconds since 1970; 0: not yet.
  struct Progress {
    std::atomic<int64_t> started = 0;
    std::atomic<int64_t> completed = 0;
  };
  struct Shape {
    std::vector<int64_t> sizes;
    std::string dtype;
  };

  std::shared_ptr<const RecordedGroup> group;
  std::string name;  // "mccl:all_reduce", "mccl:send 0->1"
  bool is_message = false;
  int64_t collective = 0, message = 0, operation = 0;
  std::vector<Shape> inputs, outputs;
  int64_t timeout_milliseconds = 0;
  std::string file;  // of the line that called
  int64_t line = 0;
  int64_t created = 0;
  int64_t id = 0;
  std::shared_ptr<Progress> progress;
};

class FlightRecorder {
 public:
  // Never destroyed: groups record while the process ends.
  static FlightRecorder& get();

  // TORCH_FR_BUFFER_SIZE calls are kept, 2,000 where it is not set; with 0 nothing is recorded.
  bool is_enabled() const { return capacity_ > 0; }

  void add_group(std::shared_ptr<const RecordedGroup> group);
  // Completes the call with its time and number, and hands back what its exchanges are to tell.
  std::shared_ptr<RecordedCall::Progress> add(RecordedCall call);

  // A pickle of {"version", "pg_config", "pg_status", "entries"}; of all calls, or of those that are not completed.
  std::string dump(bool only_active);
  // The same to what torch's writer chooses: the file TORCH_FR_DUMP_TEMP_FILE with the rank in the job behind it.
  void write();
  // Where that variable is set and TORCH_NCCL_DUMP_ON_TIMEOUT is not 0; the first failure of a process alone.
  void write_on_failure();

  // Which line of the program calls; where Python is, in the thread that calls. Given once, before the first group.
  using CallerLine = std::pair<std::string, int64_t> (*)();
  void set_caller_line(CallerLine function) { caller_line_ = function; }

 private:
  FlightRecorder();

  const size_t capacity_;
  CallerLine caller_line_ = nullptr;
  std::mutex mutex_;
  std::vector<RecordedCall> calls_;
  size_t next_ = 0;
  int64_t recorded_ = 0;
  std::map<std::string, std::shared_ptr<const RecordedGroup>> groups_;
  int64_t own_rank_ = 0;
  std::atomic<bool> is_written_ = false;
};

// Tells how far an exchange is, and leaves the rest to it. What fails stays as it was.
class RecordedExchange final : public runtime::Exchange {
 public:
  RecordedExchange(runtime::ExchangePointer exchange, std::shared_ptr<RecordedCall::Progress> progress)
      : exchange_(std::move(exchange)), progress_(std::move(progress)) {}

  std::string_view name() const override { return exchange_->name(); }
  void begin(runtime::Device& device, double chip_seconds) override;
  runtime::ExchangeEnd finish(runtime::Device& device) override;

 private:
  const runtime::ExchangePointer exchange_;
  const std::shared_ptr<RecordedCall::Progress> progress_;
};

}  // namespace mtia::torch_backend
