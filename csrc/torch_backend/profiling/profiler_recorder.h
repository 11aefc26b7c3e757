// What torch.profiler records of the devices: submissions by host threads with the operators that made them, and the
// executions they led to in chip time.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/observers/command_observer.h"

namespace mtia::torch_backend {

// The operators, and the ranges of record_function, within which this host thread is, innermost last, by the
// profiler's number of them.
struct Correlations {
  uint64_t session = 0;  // of the profiler that they belong to
  std::vector<uint64_t> operators;
  std::vector<uint64_t> ranges;

  static Correlations& of_this_thread(uint64_t session);
};

struct RecordedSubmission {
  int64_t began = 0;  // host clock, nanoseconds since the epoch
  int64_t ended = 0;
  int32_t process = 0;
  int32_t thread = 0;
  uint64_t correlated_operator = 0;  // 0: none
  uint64_t range = 0;
};

struct RecordedExecution {
  int device = 0;
  runtime::Ticket ticket = 0;
  int stream = 0;
  runtime::CommandKind kind = runtime::CommandKind::empty;
  std::string name;
  std::array<uint32_t, 3> grid{};
  double start = 0;  // seconds of chip time
  double end = 0;
  uint64_t bytes = 0;  // of a copy or fill
  emulator::LaunchAccount account;
};

class ProfilerRecorder final : public runtime::CommandObserver {
 public:
  ProfilerRecorder();

  uint64_t session() const { return session_; }
  void submitted(const runtime::Submission& submission) override;
  void executed(const runtime::Execution& execution) override;

  // For after the recorder was removed from the devices.
  const std::vector<RecordedExecution>& executions() const { return executions_; }
  // nullptr: unknown.
  const RecordedSubmission* submission_of(int device, runtime::Ticket ticket) const;

 private:
  static uint64_t key(int device, runtime::Ticket ticket) { return static_cast<uint64_t>(device) << 56 | ticket; }

  const uint64_t session_;
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, RecordedSubmission> submissions_;
  std::vector<RecordedExecution> executions_;
};

}  // namespace mtia::torch_backend
