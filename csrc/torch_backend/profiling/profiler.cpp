// The devices as a source of torch.profiler's events (ProfilerActivity.PrivateUse1), through Kineto's interface for
// accelerators. docs/tracing.md says how chip time is put on the host's time axis.
#include <Python.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "chip/chip_spec.h"
#include "runtime/runtime.h"
#include "torch_backend/profiling/profiler_recorder.h"

#pragma GCC visibility push(default)
#define FMT_HEADER_ONLY 1
#include <libkineto.h>
#include <output_base.h>
#include <torch/csrc/profiler/standalone/privateuse1_profiler.h>
#pragma GCC visibility pop

namespace mtia::torch_backend {
namespace {

using libkineto::ActivityType;
using libkineto::GenericTraceActivity;
using runtime::CommandKind;

ActivityType activity_of(CommandKind kind) {
  switch (kind) {
    case CommandKind::launch:
    case CommandKind::flush_cache:
    case CommandKind::end_exchange:
      return ActivityType::CONCURRENT_KERNEL;
    case CommandKind::fill:
      return ActivityType::GPU_MEMSET;
    default:
      return ActivityType::GPU_MEMCPY;
  }
}

int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

class Session final : public libkineto::IActivityProfilerSession {
 public:
  explicit Session(std::set<ActivityType> wanted) : wanted_(std::move(wanted)) {}
  ~Session() override {
    if (status_ == libkineto::TraceStatus::RECORDING) stop();
  }

  void start() override {
    runtime::add_observer(recorder_);
    status_ = libkineto::TraceStatus::RECORDING;
  }

  void stop() override {
    // The devices finish what they were given; that must not wait for a thread that waits for the interpreter.
    PyThreadState* suspended = PyGILState_Check() != 0 ? PyEval_SaveThread() : nullptr;
    runtime::remove_observer(*recorder_);
    if (suspended != nullptr) PyEval_RestoreThread(suspended);
    status_ = libkineto::TraceStatus::PROCESSING;
  }

  std::vector<std::string> errors() override { return {}; }

  void processTrace(libkineto::ActivityLogger& logger) override { processTrace(logger, nullptr, 0, 0); }

  void processTrace(libkineto::ActivityLogger& logger, libkineto::getLinkedActivityCallback linked_activity,
                    int64_t window_start, int64_t window_end) override {
    buffer_ = std::make_unique<libkineto::CpuTraceBuffer>();
    buffer_->span = libkineto::TraceSpan(window_start, window_end, "mtia_sim");
    buffer_->gpuOpCount = static_cast<int>(recorder_->executions().size());
    const std::map<int, int64_t> origins = device_origins(window_start);
    for (const auto& [device, origin] : origins) {
      if (device != 0) logger.handleDeviceInfo(device_info(device), window_start);
    }
    std::set<std::pair<int, int>> streams;
    int32_t correlation = 0;
    for (const RecordedExecution& execution : recorder_->executions()) {
      if (streams.emplace(execution.device, execution.stream).second) {
        logger.handleResourceInfo(
            {execution.stream, execution.stream, execution.device,
             execution.stream == 0 ? std::string("default stream") : "stream " + std::to_string(execution.stream)},
            window_start);
      }
      const RecordedSubmission* submission = recorder_->submission_of(execution.device, execution.ticket);
      const auto link = [&](uint64_t id) {
        return id == 0 || !linked_activity ? nullptr : linked_activity(static_cast<int32_t>(id));
      };
      const libkineto::ITraceActivity* made_by =
          submission == nullptr ? nullptr : link(submission->correlated_operator);
      ++correlation;
      if (submission != nullptr) add_submission(execution, *submission, made_by, correlation);
      GenericTraceActivity* activity = add_execution(execution, made_by, correlation, origins.at(execution.device));
      if (activity != nullptr && submission != nullptr) {
        extend_range(*activity, submission->range, link(submission->range));
      }
    }
    // Kineto writes a range from 1 ns before its start to 1 ns after its end, across what runs right before and after.
    for (const auto& [key, range] : ranges_) {
      range->startTime += 1;
      range->endTime -= 1;
      range->log(logger);
    }
    for (const auto& activity : buffer_->activities) {
      if (activity->type() != ActivityType::GPU_USER_ANNOTATION) activity->log(logger);
    }
  }

  // Kineto takes one device; processTrace tells of the others.
  std::unique_ptr<libkineto::DeviceInfo> getDeviceInfo() override {
    return std::make_unique<libkineto::DeviceInfo>(device_info(0));
  }
  std::vector<libkineto::ResourceInfo> getResourceInfos() override { return {}; }
  std::unique_ptr<libkineto::CpuTraceBuffer> getTraceBuffer() override { return std::move(buffer_); }

  void pushCorrelationId(uint64_t id) override { correlations().operators.push_back(id); }
  void popCorrelationId() override { pop(correlations().operators); }
  void pushUserCorrelationId(uint64_t id) override { correlations().ranges.push_back(id); }
  void popUserCorrelationId() override { pop(correlations().ranges); }

  std::string getDeviceProperties() override {
    if (!runtime::is_configured()) return "";
    const ChipSpec& chip = runtime::chip();
    std::string all;
    for (int index = 0; index < runtime::device_count(); ++index) {
      if (runtime::device_if_made(index) == nullptr) continue;
      if (!all.empty()) all += ", ";
      all += "{\"id\": " + std::to_string(index) + ", \"name\": \"" + std::string(chip.name) +
             "\", \"totalGlobalMem\": " + std::to_string(chip.dram_bytes) +
             ", \"numSms\": " + std::to_string(chip.pe_count()) + "}";
    }
    return all;
  }

 private:
  static libkineto::DeviceInfo device_info(int device) {
    return {device, libkineto::kExceedMaxPid + device, "mtia_sim",
            "mtia_sim:" + std::to_string(device) + ", chip time"};
  }

  Correlations& correlations() const { return Correlations::of_this_thread(recorder_->session()); }
  static void pop(std::vector<uint64_t>& stack) {
    if (!stack.empty()) stack.pop_back();
  }

  bool wants(ActivityType type) const { return wanted_.contains(type); }

  // Host time of chip time 0, of each device: the least for which nothing starts before it was submitted.
  std::map<int, int64_t> device_origins(int64_t window_start) const {
    std::map<int, int64_t> origins;
    for (const RecordedExecution& execution : recorder_->executions()) {
      const RecordedSubmission* submission = recorder_->submission_of(execution.device, execution.ticket);
      const int64_t earliest = submission == nullptr ? window_start : submission->ended;
      const int64_t origin = earliest - nanoseconds(execution.start);
      const auto [entry, is_first] = origins.emplace(execution.device, origin);
      if (!is_first) entry->second = std::max(entry->second, origin);
    }
    return origins;
  }

  GenericTraceActivity& add(ActivityType type, const std::string& name) {
    buffer_->emplace_activity(buffer_->span, type, name);
    return *buffer_->activities.back();
  }

  void add_submission(const RecordedExecution& execution, const RecordedSubmission& submission,
                      const libkineto::ITraceActivity* made_by, int32_t correlation) {
    if (!wants(ActivityType::PRIVATEUSE1_RUNTIME)) return;
    const bool is_launch = execution.kind == CommandKind::launch;
    GenericTraceActivity& activity =
        add(ActivityType::PRIVATEUSE1_RUNTIME, is_launch ? "mtia_sim::launch" : "mtia_sim::" + execution.name);
    activity.startTime = submission.began;
    activity.endTime = submission.ended;
    activity.device = submission.process;
    activity.resource = activity.threadId = submission.thread;
    activity.id = correlation;
    activity.linked = made_by;
    activity.flow.id = static_cast<uint32_t>(correlation);
    activity.flow.type = libkineto::kLinkAsyncCpuGpu;
    activity.flow.start = 1;
    activity.addMetadata("correlation", correlation);
  }

  GenericTraceActivity* add_execution(const RecordedExecution& execution, const libkineto::ITraceActivity* made_by,
                                      int32_t correlation, int64_t origin) {
    const ActivityType type = activity_of(execution.kind);
    if (!wants(type)) return nullptr;
    GenericTraceActivity& activity = add(type, execution.name);
    activity.startTime = origin + nanoseconds(execution.start);
    activity.endTime = origin + nanoseconds(execution.end);
    activity.device = execution.device;
    activity.resource = activity.threadId = execution.stream;
    activity.id = correlation;
    activity.linked = made_by;
    activity.flow.id = static_cast<uint32_t>(correlation);
    activity.flow.type = libkineto::kLinkAsyncCpuGpu;
    activity.flow.start = 0;
    const emulator::LaunchAccount& account = execution.account;
    activity.addMetadata("device", execution.device);
    activity.addMetadata("stream", execution.stream);
    activity.addMetadata("correlation", correlation);
    activity.addMetadata("chip start (us)", execution.start * 1e6);
    if (execution.kind == CommandKind::launch) {
      activity.addMetadata("grid",
                           fmt::format("[{}, {}, {}]", execution.grid[0], execution.grid[1], execution.grid[2]));
      activity.addMetadata("flops", account.flops);
      activity.addMetadata("instructions", account.instructions);
    } else {
      activity.addMetadata("bytes", execution.bytes);
    }
    activity.addMetadata("DRAM bytes", account.bytes.dram_read + account.bytes.dram_written);
    activity.addMetadata("SRAM bytes", account.bytes.sram_read + account.bytes.sram_written);
    activity.addMetadata("joules", account.joules);
    return &activity;
  }

  // The span on a stream of what one range of record_function submitted.
  void extend_range(const GenericTraceActivity& activity, uint64_t range, const libkineto::ITraceActivity* annotation) {
    if (annotation == nullptr || !wants(ActivityType::GPU_USER_ANNOTATION)) return;
    GenericTraceActivity*& span = ranges_[{activity.device, activity.resource, range}];
    if (span == nullptr) {
      span = &add(ActivityType::GPU_USER_ANNOTATION, annotation->name());
      span->startTime = activity.startTime;
      span->device = activity.device;
      span->resource = span->threadId = activity.resource;
      span->id = static_cast<int32_t>(range);
    }
    span->startTime = std::min(span->startTime, activity.startTime);
    span->endTime = std::max(span->endTime, activity.endTime);
  }

  const std::set<ActivityType> wanted_;
  std::shared_ptr<ProfilerRecorder> recorder_ = std::make_shared<ProfilerRecorder>();
  std::unique_ptr<libkineto::CpuTraceBuffer> buffer_;
  std::map<std::tuple<int32_t, int32_t, uint64_t>, GenericTraceActivity*> ranges_;
};

class Profiler final : public libkineto::IActivityProfiler {
 public:
  const std::string& name() const override { return name_; }
  const std::set<ActivityType>& availableActivities() const override { return available_; }

  std::unique_ptr<libkineto::IActivityProfilerSession> configure(const std::set<ActivityType>& types,
                                                                 const libkineto::Config&) override {
    std::set<ActivityType> wanted;
    std::set_intersection(types.begin(), types.end(), available_.begin(), available_.end(),
                          std::inserter(wanted, wanted.end()));
    // The host's side alone is what the profiler of the CPU asks for.
    if (std::none_of(wanted.begin(), wanted.end(), [](ActivityType type) {
          return type != ActivityType::PRIVATEUSE1_RUNTIME && type != ActivityType::GPU_USER_ANNOTATION;
        })) {
      return nullptr;
    }
    return std::make_unique<Session>(std::move(wanted));
  }

  std::unique_ptr<libkineto::IActivityProfilerSession> configure(int64_t, int64_t, const std::set<ActivityType>& types,
                                                                 const libkineto::Config& config) override {
    return configure(types, config);
  }

 private:
  const std::string name_ = "mtia_sim";
  const std::set<ActivityType> available_{ActivityType::CONCURRENT_KERNEL, ActivityType::GPU_MEMCPY,
                                          ActivityType::GPU_MEMSET, ActivityType::GPU_USER_ANNOTATION,
                                          ActivityType::PRIVATEUSE1_RUNTIME};
};

REGISTER_PRIVATEUSE1_PROFILER(Profiler);

}  // namespace
}  // namespace mtia::torch_backend
