// The ring of calls, and its pickle.
#include "torch_backend/distributed/flight_recorder.h"

#include <torch/csrc/distributed/c10d/TraceUtils.h>
#include <torch/csrc/distributed/c10d/FlightRecorder.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <initializer_list>
#include <optional>
#include <tuple>

#include "base/error.h"

namespace mtia::torch_backend {
namespace {

// Of the format, as torch/csrc/distributed/c10d/FlightRecorder.hpp of torch 2.13 writes it.
constexpr const char* format_version = "2.10";
constexpr int64_t default_capacity = 2000;

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::optional<std::string> variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const char* value = std::getenv(name); value != nullptr && *value != '\0') return value;
  }
  return std::nullopt;
}

size_t capacity_from_environment() {
  const std::optional<std::string> text = variable({"TORCH_FR_BUFFER_SIZE", "TORCH_NCCL_TRACE_BUFFER_SIZE"});
  const int64_t number = text.has_value() ? std::strtoll(text->c_str(), nullptr, 10) : default_capacity;
  return static_cast<size_t>(std::max<int64_t>(number, 0));
}

c10::IValue sizes_of(const std::vector<RecordedCall::Shape>& shapes) {
  auto all = c10d::new_list();
  for (const RecordedCall::Shape& shape : shapes) {
    auto sizes = c10d::new_list();
    for (const int64_t size : shape.sizes) sizes.push_back(size);
    all.push_back(sizes);
  }
  return all;
}

c10::IValue dtypes_of(const std::vector<RecordedCall::Shape>& shapes) {
  std::vector<std::string> all;
  for (const RecordedCall::Shape& shape : shapes) all.push_back(shape.dtype);
  return all;
}

c10::IValue time_or_none(int64_t time) { return time == 0 ? c10::IValue() : c10::IValue(time); }

c10::IValue entry_of(const RecordedCall& call) {
  auto entry = c10d::new_dict();
  auto frames = c10d::new_list();
  if (!call.file.empty()) {
    auto frame = c10d::new_dict();
    frame.insert("name", "<module>");
    frame.insert("filename", call.file);
    frame.insert("line", call.line);
    frames.push_back(frame);
  }
  const int64_t started = call.progress->started, completed = call.progress->completed;
  entry.insert("frames", frames);
  entry.insert("record_id", call.id);
  entry.insert("pg_id", call.group->number);
  entry.insert("process_group", std::make_tuple(call.group->name, call.group->description));
  entry.insert("collective_seq_id", call.collective);
  entry.insert("p2p_seq_id", call.message);
  entry.insert("op_id", call.operation);
  entry.insert("profiling_name", call.name);
  entry.insert("time_created_ns", call.created);
  if (completed != 0) entry.insert("duration_ms", static_cast<double>(completed - started) * 1e-6);
  entry.insert("input_sizes", sizes_of(call.inputs));
  entry.insert("input_dtypes", dtypes_of(call.inputs));
  entry.insert("output_sizes", sizes_of(call.outputs));
  entry.insert("output_dtypes", dtypes_of(call.outputs));
  entry.insert("state", completed != 0 ? "completed" : started != 0 ? "started" : "scheduled");
  entry.insert("time_discovered_started_ns", time_or_none(started));
  entry.insert("time_discovered_completed_ns", time_or_none(completed));
  entry.insert("retired", completed != 0);
  entry.insert("timeout_ms", call.timeout_milliseconds);
  entry.insert("is_p2p", call.is_message);
  return entry;
}

}  // namespace

void RecordedExchange::begin(runtime::Device& device, double chip_seconds) {
  progress_->started = now();
  exchange_->begin(device, chip_seconds);
}

runtime::ExchangeEnd RecordedExchange::finish(runtime::Device& device) {
  try {
    const runtime::ExchangeEnd end = exchange_->finish(device);
    progress_->completed = now();
    return end;
  } catch (const std::exception&) {
    FlightRecorder::get().write_on_failure();
    throw;
  }
}

FlightRecorder& FlightRecorder::get() {
  static auto* recorder = new FlightRecorder;
  return *recorder;
}

FlightRecorder::FlightRecorder() : capacity_(capacity_from_environment()) {}

void FlightRecorder::add_group(std::shared_ptr<const RecordedGroup> group) {
  const std::lock_guard lock(mutex_);
  own_rank_ = group->own_rank;
  groups_[group->name] = std::move(group);
}

std::shared_ptr<RecordedCall::Progress> FlightRecorder::add(RecordedCall call) {
  if (caller_line_ != nullptr) std::tie(call.file, call.line) = caller_line_();
  call.created = now();
  call.progress = std::make_shared<RecordedCall::Progress>();
  std::shared_ptr<RecordedCall::Progress> progress = call.progress;
  const std::lock_guard lock(mutex_);
  call.id = recorded_++;
  if (calls_.size() < capacity_) {
    calls_.push_back(std::move(call));
  } else {
    calls_[next_] = std::move(call);
    next_ = (next_ + 1) % capacity_;
  }
  return progress;
}

std::string FlightRecorder::dump(bool only_active) {
  std::vector<RecordedCall> calls;
  std::map<std::string, std::shared_ptr<const RecordedGroup>> groups;
  {
    const std::lock_guard lock(mutex_);
    calls.insert(calls.end(), calls_.begin() + static_cast<std::ptrdiff_t>(next_), calls_.end());
    calls.insert(calls.end(), calls_.begin(), calls_.begin() + static_cast<std::ptrdiff_t>(next_));
    groups = groups_;
  }
  auto entries = c10d::new_list();
  struct Last {
    int64_t enqueued = 0, started = 0, completed = 0;
  };
  std::map<int64_t, Last> last;
  for (const RecordedCall& call : calls) {
    if (!call.is_message) {
      Last& of_group = last[call.group->number];
      of_group.enqueued = call.collective;
      if (call.progress->started != 0) of_group.started = call.collective;
      if (call.progress->completed != 0) of_group.completed = call.collective;
    }
    if (!only_active || call.progress->completed == 0) entries.push_back(entry_of(call));
  }
  auto config = c10d::new_dict(), status = c10d::new_dict();
  for (const auto& [name, group] : groups) {
    auto described = c10d::new_dict(), reached = c10d::new_dict();
    std::string ranks;
    for (const int64_t rank : group->ranks) ranks += concat(ranks.empty() ? "" : ", ", rank);
    described.insert("name", name);
    described.insert("desc", group->description);
    described.insert("ranks", concat("[", ranks, "]"));
    config.insert(name, described);
    reached.insert("last_enqueued_collective", last[group->number].enqueued);
    reached.insert("last_started_collective", last[group->number].started);
    reached.insert("last_completed_collective", last[group->number].completed);
    status.insert(std::to_string(group->number), reached);
  }
  auto all = c10d::new_dict();
  all.insert("version", format_version);
  all.insert("pg_config", config);
  all.insert("pg_status", status);
  all.insert("entries", entries);
  return c10d::pickle_str(all);
}

void FlightRecorder::write() {
  int64_t rank = 0;
  {
    const std::lock_guard lock(mutex_);
    rank = own_rank_;
  }
  c10d::DebugInfoWriter::getWriter(static_cast<int>(rank)).write(dump(false));
}

void FlightRecorder::write_on_failure() {
  if (!is_enabled() || !variable({"TORCH_FR_DUMP_TEMP_FILE", "TORCH_NCCL_DEBUG_INFO_TEMP_FILE"}).has_value()) return;
  if (variable({"TORCH_NCCL_DUMP_ON_TIMEOUT"}).value_or("1") != "0" && !is_written_.exchange(true)) write();
}

}  // namespace mtia::torch_backend
