// Recording of submissions and executions for torch.profiler.
#include "torch_backend/profiling/profiler_recorder.h"

#include <atomic>

#include "chip/chip_spec.h"
#include "runtime/runtime.h"

#pragma GCC visibility push(default)
#include <ThreadUtil.h>
#pragma GCC visibility pop

namespace mtia::torch_backend {
namespace {

std::atomic<uint64_t> sessions{0};

}  // namespace

Correlations& Correlations::of_this_thread(uint64_t session) {
  thread_local Correlations correlations;
  // A profiler that ended within an operator left its numbers behind.
  if (correlations.session != session) correlations = {session, {}, {}};
  return correlations;
}

ProfilerRecorder::ProfilerRecorder() : session_(++sessions) {}

void ProfilerRecorder::submitted(const runtime::Submission& submission) {
  const Correlations& correlations = Correlations::of_this_thread(session_);
  RecordedSubmission recorded;
  recorded.began = submission.began;
  recorded.ended = submission.ended;
  recorded.process = libkineto::processId();
  recorded.thread = libkineto::systemThreadId();
  recorded.correlated_operator = correlations.operators.empty() ? 0 : correlations.operators.back();
  recorded.range = correlations.ranges.empty() ? 0 : correlations.ranges.back();
  const std::lock_guard lock(mutex_);
  submissions_.emplace(key(submission.device, submission.ticket), recorded);
}

void ProfilerRecorder::executed(const runtime::Execution& execution) {
  const runtime::Command& command = *execution.command;
  if (execution.failed) return;
  RecordedExecution recorded;
  recorded.device = execution.device;
  recorded.ticket = execution.ticket;
  recorded.stream = execution.stream;
  recorded.kind = command.kind;
  recorded.name = execution.name;
  if (command.kind == runtime::CommandKind::launch) {
    recorded.grid = command.launch.grid;
    if (recorded.grid[0] == 0) recorded.grid[0] = runtime::chip().pe_count();  // a C++ kernel on all PEs
  } else {
    recorded.bytes = command.bytes;
  }
  recorded.start = execution.start;
  recorded.end = execution.end;
  recorded.account = execution.account;
  const std::lock_guard lock(mutex_);
  executions_.push_back(std::move(recorded));
}

const RecordedSubmission* ProfilerRecorder::submission_of(int device, runtime::Ticket ticket) const {
  const std::lock_guard lock(mutex_);
  const auto found = submissions_.find(key(device, ticket));
  return found == submissions_.end() ? nullptr : &found->second;
}

}  // namespace mtia::torch_backend
