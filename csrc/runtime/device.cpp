// Submission of commands (any host thread) and their waits; dispatch.cpp executes them.
#include "runtime/device.h"

#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/checks/checker.h"
#include "emulator/refusal.h"
#include "emulator/timing_mode/timing_mode.h"
#include "runtime/checking.h"
#include "runtime/runtime.h"
#include "runtime/schedule_seed.h"

namespace mtia::runtime {
namespace {

constexpr size_t queue_capacity = 512;
// Pageable sources up to this size are copied aside, so that the caller need not wait for the queue to drain.
constexpr size_t staging_limit = size_t{1} << 20;

int checked_stream(StreamId stream) {
  if (stream < 0 || stream >= stream_count) {
    throw InvalidArgument(concat("stream ", stream, " does not exist"), "",
                          concat("streams are numbered 0 to ", stream_count - 1));
  }
  return static_cast<int>(stream);
}

std::atomic<LockFreeWait> lock_free_wait{nullptr};

}  // namespace

void set_lock_free_wait(LockFreeWait function) { lock_free_wait = function; }

Device::Device(int index, const ChipSpec& chip, emulator::WorkerPool& pool, Mode mode)
    : index_(index),
      loop_limit_(loop_limit_from_environment()),
      emulator_(chip, pool),
      queue_(queue_capacity),
      power_limit_(emulator_.chip()) {
  if (mode == Mode::timing) {
    if (is_checking()) {
      throw InvalidArgument(concat("mtia_sim:", index, " is to be in timing mode and in checked mode"), "",
                            "checks look at values: leave MTIA_SIM_CHECK or MTIA_SIM_MODE=timing out");
    }
    const char* remember = std::getenv("MTIA_SIM_TIMING_REMEMBER");
    timing_ = std::make_unique<emulator::TimingMode>(
        emulator_, remember == nullptr || std::string_view(remember) != "0", kept_bytes_from_environment());
  }
  follow_checking();
  dispatcher_ = std::thread([this] { dispatch(); });
}

Device::~Device() { stop(); }

void Device::stop() {
  queue_.stop();
  if (dispatcher_.joinable()) dispatcher_.join();
}

template <typename Fill>
Ticket Device::submit(CommandKind kind, StreamId stream, Fill&& fill) {
  const int checked = checked_stream(stream);
  if (is_in_bad_fork()) {
    throw InvalidArgument(concat("mtia_sim:", index_, " belongs to the parent of this forked process"), "",
                          "start workers with the 'spawn' method, or use the device in the child only");
  }
  // May take Python's lock, which must come before all others: notes come from under the allocator's.
  const uint32_t location = is_work(kind) && is_checking() ? present_location() : 0;
  const bool is_note = kind >= CommandKind::note_allocated;
  // Of events and of what the runtime tells itself there is nothing to show.
  const bool takes_time = is_work(kind) || kind == CommandKind::flush_cache || kind == CommandKind::end_exchange;
  const bool observed = takes_time && !observers_.empty();
  const int64_t began = observed ? host_clock() : 0;
  const Ticket submitted = queue_.push([&](Command& command, Ticket ticket) {
    command.kind = kind;
    command.stream = checked;
    command.location = location;
    command.is_observed = observed;
    command.follows_wait = !is_note && host_waited_.load(std::memory_order_acquire);
    if (command.follows_wait) {
      const std::lock_guard lock(host_waits_mutex_);
      command.host_waits = std::exchange(host_waits_, HostWaits{});
      host_waited_.store(false, std::memory_order_release);
    }
    fill(command, ticket);
    // Notes are no work that anybody waits for.
    if (!is_note) last_tickets_[static_cast<size_t>(checked)].store(ticket, std::memory_order_release);
  });
  if (observed) {
    const Submission submission{index_, submitted, kind, began, host_clock()};
    for (const ObserverPointer& observer : observers_.all()) observer->submitted(submission);
  }
  return submitted;
}

template <typename Note>
void Device::note_host_wait(Note&& note) {
  const std::lock_guard lock(host_waits_mutex_);
  note(host_waits_);
  host_waited_.store(true, std::memory_order_release);
}

Ticket Device::last_ticket(StreamId stream) const {
  return last_tickets_[static_cast<size_t>(checked_stream(stream))].load(std::memory_order_acquire);
}

Ticket Device::launch(StreamId stream, emulator::Launch&& launch) {
  launch.loop_limit = loop_limit_;
  // A kernel that may refuse what its caller gave it names the caller. In checked mode submit() asks for all.
  const bool names_caller = launch.program != nullptr && emulator::checks_operands(*launch.program) && !is_checking();
  const uint32_t location = names_caller ? present_location() : 0;
  if (monitored_.load(std::memory_order_relaxed)) launching_thread_ = pthread_self();
  const Ticket ticket = submit(CommandKind::launch, stream, [&](Command& command, Ticket) {
    command.launch = std::move(launch);
    if (names_caller) command.location = location;
  });
  if (monitored_.load(std::memory_order_relaxed)) wait_as_monitored(ticket);
  return ticket;
}

void Device::wait_as_monitored(Ticket ticket) {
  struct Waiting {
    WorkQueue& queue;
    Ticket ticket;
  } waiting{queue_, ticket};
  const auto wait = [](void* context) {
    const auto& what = *static_cast<const Waiting*>(context);
    what.queue.wait(what.ticket);
  };
  const LockFreeWait lock_free = lock_free_wait.load();
  lock_free != nullptr ? lock_free(wait, &waiting) : wait(&waiting);
  error_.rethrow();
}

TimingSummary Device::timing_summary() {
  synchronize();
  if (timing_ == nullptr) return {};
  const emulator::TimingMode::Statistics& found = timing_->statistics();
  return {found.launches,        found.computed,
          found.remembered,      found.multiplied,
          found.stood_in,        found.stand_in_seconds,
          found.stand_in_joules, unknown_reads_.load() - unknown_reads_before_reset_};
}

void Device::set_stand_ins(const emulator::StandInSettings& settings) {
  if (timing_ == nullptr) {
    throw InvalidArgument(concat("stand-ins for mtia_sim:", index_, ", which is in functional mode"), "",
                          "set MTIA_SIM_MODE=timing, or call torch.mtia_sim.set_mode('timing') first");
  }
  queue_.wait(submitted());
  timing_->set_stand_ins(settings);
}

const emulator::StandInSettings& Device::stand_ins() const {
  if (timing_ == nullptr) throw InternalError("stand-ins of a device in functional mode");
  return timing_->stand_ins();
}

bool Device::knows(uint64_t address, size_t bytes) {
  if (timing_ == nullptr) return true;
  queue_.wait(submitted());
  return timing_->knows({address, address + bytes});
}

void Device::assume_one(uint64_t address) {
  if (!knows(address, 1)) *emulator_.memory().backing_of(address) = std::byte{1};
}

void Device::set_monitor(std::shared_ptr<LaunchMonitor> monitor) {
  const bool present = monitor != nullptr;
  if (present && timing_ != nullptr) {
    throw Unsupported("breakpoints, numerics and recordings look at values, which timing mode does not compute", "",
                      "use them on a device in functional mode");
  }
  queue_.wait(
      submit(CommandKind::set_monitor, 0, [&](Command& command, Ticket) { command.monitor = std::move(monitor); }));
  monitored_ = present;
}

Ticket Device::flush_cache(StreamId stream, double rest_seconds) {
  if (!(rest_seconds >= 0 && rest_seconds <= 1e6)) {
    throw InvalidArgument(concat("a rest of ", rest_seconds, " seconds"), "flush_cache", "give 0 or more");
  }
  return submit(CommandKind::flush_cache, stream,
                [&](Command& command, Ticket) { command.rest_seconds = rest_seconds; });
}

void Device::copy_to_device(StreamId stream, uint64_t destination, const void* source, size_t bytes) {
  if (bytes == 0) return;
  if (bytes > staging_limit) return copy_to_device_in_order(stream, destination, source, bytes);
  const bool is_inline = bytes <= Command::inline_capacity;
  std::shared_ptr<std::byte[]> staged;
  if (!is_inline) {
    staged = std::make_shared_for_overwrite<std::byte[]>(bytes);
    std::memcpy(staged.get(), source, bytes);
  }
  submit(CommandKind::copy_to_device, stream, [&](Command& command, Ticket) {
    command.device_address = destination;
    command.bytes = bytes;
    command.is_inline = is_inline;
    command.decides = false;
    if (is_inline) {
      std::memcpy(command.inline_bytes.data(), source, bytes);
    } else {
      command.host = staged.get();
      command.owner = std::move(staged);
    }
  });
}

void Device::copy_to_device_in_order(StreamId stream, uint64_t destination, const void* source, size_t bytes) {
  const Ticket ticket = copy_to_device_async(stream, destination, source, bytes);
  queue_.wait(ticket);
  if (is_checking()) note_host_waited(stream, ticket);
  error_.rethrow();
}

Ticket Device::copy_to_device_async(StreamId stream, uint64_t destination, const void* source, size_t bytes) {
  if (bytes == 0) return 0;
  return submit(CommandKind::copy_to_device, stream, [&](Command& command, Ticket) {
    command.device_address = destination;
    command.bytes = bytes;
    command.is_inline = false;
    command.decides = false;
    command.host = const_cast<void*>(source);  // only read
  });
}

Ticket Device::copy_to_device_owned(StreamId stream, uint64_t destination, std::shared_ptr<const void> source,
                                    size_t bytes, bool decides) {
  if (bytes == 0) return 0;
  return submit(CommandKind::copy_to_device, stream, [&](Command& command, Ticket) {
    command.device_address = destination;
    command.bytes = bytes;
    command.is_inline = false;
    command.decides = decides;
    command.host = const_cast<void*>(source.get());  // only read
    command.owner = std::move(source);
  });
}

Ticket Device::copy_from_device_async(StreamId stream, void* destination, uint64_t source, size_t bytes) {
  if (bytes == 0) return 0;
  return submit(CommandKind::copy_from_device, stream, [&](Command& command, Ticket) {
    command.device_address = source;
    command.bytes = bytes;
    command.moves = MovingScope::is_open();
    command.host = destination;
  });
}

Ticket Device::copy_on_device(StreamId stream, uint64_t destination, uint64_t source, size_t bytes) {
  if (bytes == 0) return 0;
  return submit(CommandKind::copy_on_device, stream, [&](Command& command, Ticket) {
    command.device_address = destination;
    command.source_address = source;
    command.bytes = bytes;
  });
}

Ticket Device::fill(StreamId stream, uint64_t destination, uint8_t value, size_t bytes) {
  if (bytes == 0) return 0;
  return submit(CommandKind::fill, stream, [&](Command& command, Ticket) {
    command.device_address = destination;
    command.bytes = bytes;
    command.fill_value = value;
  });
}

EventRecordPointer Device::record_event(StreamId stream, bool is_free) {
  auto event = std::make_shared<EventRecord>();
  event->is_free = is_free;
  event->device = this;
  submit(CommandKind::record_event, stream, [&](Command& command, Ticket ticket) {
    event->ticket = ticket;
    event->stream = command.stream;
    command.event = event;
  });
  return event;
}

void Device::begin_exchange(StreamId stream, ExchangePointer exchange) {
  submit(CommandKind::begin_exchange, stream, [&](Command& command, Ticket) { command.exchange = exchange; });
  // Known as open from now on, so that another thread, which ends all that are, does not end it before it begins.
  const std::lock_guard lock(exchanges_mutex_);
  open_exchanges_.emplace_back(stream, std::move(exchange));
}

void Device::end_exchange(StreamId stream, const ExchangePointer& exchange) {
  {
    const std::lock_guard lock(exchanges_mutex_);
    const auto found = std::find_if(open_exchanges_.begin(), open_exchanges_.end(),
                                    [&](const auto& open) { return open.second == exchange; });
    if (found == open_exchanges_.end()) return;
    open_exchanges_.erase(found);
  }
  submit(CommandKind::end_exchange, stream, [&](Command& command, Ticket) { command.exchange = exchange; });
}

void Device::end_all_exchanges() {
  std::vector<std::pair<StreamId, ExchangePointer>> open;
  {
    const std::lock_guard lock(exchanges_mutex_);
    open = open_exchanges_;
  }
  for (const auto& [stream, exchange] : open) end_exchange(stream, exchange);
}

void Device::wait_event(StreamId stream, EventRecordPointer event) {
  submit(CommandKind::wait_event, stream, [&](Command& command, Ticket) { command.event = std::move(event); });
}

void copy_between_devices(Device& destination_device, StreamId destination_stream, uint64_t destination,
                          Device& source_device, StreamId source_stream, uint64_t source, size_t bytes) {
  if (bytes == 0) return;
  // The source goes first: a command only ever waits for commands submitted before it, so two devices cannot wait for
  // each other.
  const std::shared_ptr<std::byte[]> staged = std::make_shared_for_overwrite<std::byte[]>(bytes);
  const auto known = std::make_shared<bool>(true);
  source_device.submit(CommandKind::stage_peer, source_stream, [&](Command& command, Ticket) {
    command.device_address = source;
    command.bytes = bytes;
    command.staged = staged;
    command.staged_known = known;
  });
  const EventRecordPointer staged_event = source_device.record_event(source_stream);
  destination_device.submit(CommandKind::receive_peer, destination_stream, [&](Command& command, Ticket) {
    command.device_address = destination;
    command.bytes = bytes;
    command.staged = staged;
    command.staged_known = known;
    command.event = staged_event;
  });
}

void Device::copy_from_device(StreamId stream, void* destination, uint64_t source, size_t bytes) {
  const Ticket ticket = copy_from_device_async(stream, destination, source, bytes);
  queue_.wait(ticket);
  note_host_wait([&](HostWaits& waits) { waits.streams.set(static_cast<size_t>(checked_stream(stream))); });
  if (is_checking()) note_host_waited(stream, ticket);
  error_.rethrow();
}

void Device::synchronize() {
  if (is_in_bad_fork()) return;
  end_all_exchanges();
  const Ticket ticket = queue_.submitted();
  queue_.wait(ticket);
  note_host_wait([](HostWaits& waits) { waits.streams.set(); });
  if (is_checking()) note_host_waited_for_all(ticket);
  error_.rethrow();
}

void Device::synchronize_stream(StreamId stream) {
  if (is_in_bad_fork()) return;
  const Ticket ticket = last_ticket(stream);
  queue_.wait(ticket);
  note_host_wait([&](HostWaits& waits) { waits.streams.set(static_cast<size_t>(checked_stream(stream))); });
  if (is_checking()) note_host_waited(stream, ticket);
  error_.rethrow();
}

void Device::synchronize_event(const EventRecord& event) {
  if (is_in_bad_fork()) return;
  queue_.wait(event.ticket);
  note_host_wait([&](HostWaits& waits) { waits.seconds = std::max(waits.seconds, event.chip_seconds); });
  if (is_checking()) event.device->note_host_waited(event.stream, event.ticket);
  error_.rethrow();
}

void Device::follow_checking() {
  is_checked_ = is_checking();
  if (!is_checked_) return emulator_.set_checker(nullptr);
  if (!checker_owner_) checker_owner_ = std::make_unique<emulator::Checker>(memory(), chip().pe_count());
  checker_owner_->reset();
  checker_owner_->set_stopping(on_finding() == OnFinding::raise);
  checker_owner_->set_seed(schedule_seed());
  checker_.store(checker_owner_.get(), std::memory_order_release);
  emulator_.set_checker(checker_owner_.get());
}

void Device::note_allocated(StreamId stream, uint64_t address, size_t bytes, size_t block_bytes, uint32_t location) {
  submit(CommandKind::note_allocated, stream, [&](Command& command, Ticket) {
    command.device_address = address;
    command.bytes = bytes;
    command.source_address = block_bytes;
    command.location = location;
  });
}

void Device::note_freed(StreamId stream, uint64_t address, size_t block_bytes, uint32_t location) {
  submit(CommandKind::note_freed, stream, [&](Command& command, Ticket) {
    command.device_address = address;
    command.source_address = block_bytes;
    command.location = location;
  });
}

void Device::note_host_waited(StreamId stream, Ticket ticket) {
  observe_host_wait(index_, ticket);
  surface_findings();
  submit(CommandKind::host_waited, stream, [&](Command& command, Ticket) {
    command.source_address = ticket;
    command.bytes = 0;
  });
}

void Device::note_host_waited_for_all(Ticket ticket) {
  observe_host_wait(index_, ticket);
  surface_findings();
  submit(CommandKind::host_waited, 0, [&](Command& command, Ticket) {
    command.source_address = ticket;
    command.bytes = 1;
  });
}

Counters Device::counters() {
  synchronize();
  const std::lock_guard lock(counters_mutex_);
  return counters_;
}

Counters Device::lifetime_counters() {
  const std::lock_guard lock(counters_mutex_);
  Counters sum = before_reset_;
  sum += counters_;
  return sum;
}

double Device::dispatcher_seconds() {
  if (!dispatcher_.joinable()) return 0.0;
  clockid_t clock{};
  timespec time{};
  if (pthread_getcpuclockid(dispatcher_.native_handle(), &clock) != 0 || clock_gettime(clock, &time) != 0) return 0.0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

double Device::chip_seconds() {
  const std::lock_guard lock(counters_mutex_);
  return counters_origin_ + counters_.elapsed_seconds;
}

void Device::reset_counters() {
  synchronize();
  const std::lock_guard lock(counters_mutex_);
  counters_origin_ += counters_.elapsed_seconds;
  before_reset_ += counters_;
  counters_ = Counters{};
  unknown_reads_before_reset_ = unknown_reads_.load();
  if (timing_ != nullptr) timing_->reset_statistics();
}

}  // namespace mtia::runtime
