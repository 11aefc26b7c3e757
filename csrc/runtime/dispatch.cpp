// The dispatcher thread: executes a device's commands in submission order and accounts their chip time.
#include <algorithm>
#include <cstring>
#include <exception>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/checks/checker.h"
#include "emulator/checks/locations.h"
#include "emulator/grid/worker_pool.h"
#include "emulator/refusal.h"
#include "emulator/timing/launch_totals.h"
#include "emulator/timing_mode/timing_mode.h"
#include "emulator/trace.h"
#include "runtime/checking.h"
#include "runtime/device.h"
#include "runtime/exchange_waits.h"
#include "runtime/grid_sharing.h"
#include "runtime/link_calendars.h"

namespace mtia::runtime {

using emulator::Access;

namespace {

double peer_bytes_per_second(const ChipSpec& chip) {
  return chip.peer_link_bytes_per_second > 0 ? chip.peer_link_bytes_per_second : chip.host_link_bytes_per_second;
}

// Below this the threads' wake-up costs more than a second core gains.
constexpr uint64_t parallel_copy_bytes = uint64_t{1} << 20;
constexpr uint64_t copy_piece_bytes = uint64_t{256} << 10;

struct CopyJob {
  std::byte* destination;
  const std::byte* source;
  uint64_t bytes;
};

void copy_piece(void* context, uint64_t piece, unsigned) {
  const auto& job = *static_cast<const CopyJob*>(context);
  const uint64_t begin = piece * copy_piece_bytes;
  std::memcpy(job.destination + begin, job.source + begin, std::min(copy_piece_bytes, job.bytes - begin));
}

// memmove on the worker threads.
void copy_bytes(void* destination, const void* source, uint64_t bytes) {
  CopyJob job{static_cast<std::byte*>(destination), static_cast<const std::byte*>(source), bytes};
  const bool overlap = job.destination < job.source + bytes && job.source < job.destination + bytes;
  if (overlap || bytes < parallel_copy_bytes) {
    std::memmove(destination, source, bytes);
  } else {
    emulator::WorkerPool::shared().run((bytes + copy_piece_bytes - 1) / copy_piece_bytes, &copy_piece, &job);
  }
}

}  // namespace

void Device::dispatch() {
  while (Command* command = queue_.front()) {
    if (command->follows_wait) {
      double seconds = command->host_waits.seconds;
      for (int stream = 0; stream < stream_count; ++stream) {
        if (command->host_waits.streams.test(static_cast<size_t>(stream))) {
          seconds = std::max(seconds, timeline_.stream_time(stream));
        }
      }
      timeline_.host_waited(seconds);
    }
    try {
      if (command->is_observed) [[unlikely]] {
        execute_observed(*command, observers_.all());
      } else {
        execute(*command);
      }
    } catch (...) {
      error_.store(std::current_exception());
    }
    if (is_checked_) surface_findings();
    command->kind = CommandKind::empty;
    command->staged.reset();
    command->staged_known.reset();
    command->owner.reset();
    command->event.reset();
    command->exchange.reset();
    command->launch.program.reset();
    command->launch.notes.reset();
    queue_.pop();
  }
}

namespace {

struct OrderContext {
  const StreamOrder* order;
  int stream;

  static bool happened_before(const void* context, uint32_t lane, uint64_t number) {
    const auto& self = *static_cast<const OrderContext*>(context);
    return self.order->happened_before(static_cast<int>(lane), number, self.stream);
  }
};

// The operator that the user called and his line, in the place of the kernel; that where neither is known.
[[noreturn]] void throw_for_caller(const emulator::Refusal& refusal, uint32_t location) {
  std::string where = emulator::location_role(location);
  const std::string line = emulator::location_text(location);
  if (!line.empty()) where += (where.empty() ? "called at " : ", called at ") + line;
  throw_error(refusal.category(), refusal.problem(), where.empty() ? refusal.where() : where, refusal.remedy());
}

}  // namespace

void Device::execute_observed(Command& command, const std::vector<ObserverPointer>& observers) {
  std::unique_ptr<emulator::LaunchTrace> trace;
  if (command.kind == CommandKind::launch) {
    for (const ObserverPointer& observer : observers) {
      if (trace == nullptr) trace = observer->trace_of(index_, command);
    }
  }
  Execution execution;
  execution.start = execution.end = timeline_.stream_time(command.stream);
  execution_ = &execution;
  trace_ = trace.get();
  std::exception_ptr failure;
  const int64_t began = host_clock();
  try {
    execute(command);
  } catch (...) {
    failure = std::current_exception();
  }
  trace_ = nullptr;
  execution_ = nullptr;
  execution.host_nanoseconds = host_clock() - began;
  execution.device = index_;
  execution.ticket = queue_.completed() + 1;
  execution.stream = command.stream;
  execution.command = &command;
  execution.name = name_of(command);
  execution.trace = trace.get();
  execution.failed = failure != nullptr;
  for (const ObserverPointer& observer : observers) observer->executed(execution);
  if (failure) std::rethrow_exception(failure);
}

void Device::execute(Command& command) {
  ++ticket_;
  many_streams_ = many_streams_ || command.stream != 0;
  if (is_work(command.kind)) timeline_.host_dispatched(chip().host_dispatch_ns * 1e-9);
  switch (command.kind) {
    case CommandKind::launch: {
      const OrderContext context{&order_, command.stream};
      const emulator::CommandOrder order{
          static_cast<uint32_t>(command.stream), ticket_, many_streams_, command.location,
          &OrderContext::happened_before,        &context};
      try {
        if (timing_ != nullptr) return charge_launch(command.stream, timing_->run(command.launch, trace_, &order));
        return charge_launch(command.stream, monitor_ ? monitor_->run(*this, command.launch)
                                                      : emulator_.run(command.launch, trace_, &order));
      } catch (const emulator::Refusal& refusal) {
        throw_for_caller(refusal, command.location);
      } catch (const KernelAssert& failure) {
        const std::string line = emulator::location_text(command.location);
        if (line.empty()) throw;
        throw KernelAssert(failure.problem(), concat(failure.where(), ", launched at ", line), failure.remedy());
      }
    }
    case CommandKind::record_event:
      return record(command.stream, *command.event);
    case CommandKind::wait_event:
      if (command.event->device != this) command.event->device->wait(command.event->ticket);
      timeline_.wait(command.stream, command.event->chip_seconds);
      if (is_checked_ && command.event->device == this) order_.wait(command.stream, command.event->clock);
      return;
    case CommandKind::begin_exchange:
    case CommandKind::end_exchange:
      return execute_exchange(command);
    case CommandKind::set_monitor:
      monitor_ = std::move(command.monitor);
      return;
    case CommandKind::flush_cache:
      charge_memory(command.stream, emulator_.flush_cache());
      // The grid is not taken to be idle in it: a launch that follows finds it as one that follows work does.
      power_limit_.rest(command.rest_seconds);
      timeline_.occupy(command.stream, Engine::grid, command.rest_seconds);
      return;
    case CommandKind::note_allocated:
    case CommandKind::note_freed:
    case CommandKind::host_waited:
      return execute_note(command);
    default:
      return execute_transfer(command);
  }
}

void Device::record(int stream, EventRecord& event) {
  if (!event.is_free) timeline_.rest(stream, chip().event_ns * 1e-9);
  event.chip_seconds = timeline_.stream_time(stream);
  if (is_checked_) {
    const StreamClock clock = order_.clock(stream, ticket_);
    event.clock.assign(clock.begin(), clock.end());
  }
  const std::lock_guard lock(counters_mutex_);
  counters_.elapsed_seconds = timeline_.latest() - counters_origin_;
}

void Device::execute_exchange(Command& command) {
  Exchange& exchange = *command.exchange;
  if (exchange.failure) return;  // told of when it began
  exchanging_ = &command;
  ExchangeEnd end;
  try {
    if (command.kind == CommandKind::begin_exchange) {
      const double now = timeline_.stream_time(command.stream);
      exchange_began(index_, exchange, now);
      return exchange.begin(*this, now);
    }
    exchange_awaited(index_, exchange);
    end = exchange.finish(*this);
    exchange_ended(index_, exchange, end);
  } catch (...) {
    exchange.failure = std::current_exception();
    links_of(*this).forget(&exchange);
    exchange_abandoned(index_, exchange);
    throw;
  }
  links_of(*this).end(&exchange, end.begin, end.end);
  timeline_.end(command.stream, end.end);
  if (execution_ != nullptr) {
    execution_->start = end.begin;
    execution_->end = end.end;
    execution_->engine = Engine::links;
  }
  const std::lock_guard lock(counters_mutex_);
  counters_.total.dynamic_joules += end.joules;
  counters_.total.joules += end.joules;
  counters_.collectives += 1;
  counters_.bytes_to_peers += end.bytes;
  counters_.collective_seconds += end.end - end.begin;
  counters_.elapsed_seconds = timeline_.latest() - counters_origin_;
}

bool Device::fetch(uint64_t address, size_t bytes, std::byte* destination) {
  const emulator::AddressRange range{address, address + bytes};
  const void* source = memory().host_span(address, bytes, Access::read);
  if (is_checked_) check_access(*exchanging_, exchanging_->exchange->name(), range, {}, true);
  if (timing_ != nullptr && !(timing_->keeps(range) && timing_->knows(range))) return false;
  copy_bytes(destination, source, bytes);
  return true;
}

std::byte* Device::exchanged_bytes(uint64_t address, size_t bytes) {
  return static_cast<std::byte*>(memory().host_span(address, bytes, Access::write));
}

void Device::deliver(uint64_t address, size_t bytes, const std::byte* source) {
  const emulator::AddressRange range{address, address + bytes};
  void* destination = memory().host_span(address, bytes, Access::write);
  if (is_checked_) check_access(*exchanging_, exchanging_->exchange->name(), {}, range, true);
  const bool kept = timing_ == nullptr || timing_->keeps(range);
  if (source != nullptr && kept) copy_bytes(destination, source, bytes);
  if (timing_ != nullptr) timing_->arrived(range, source != nullptr && kept);
}

void Device::execute_note(Command& command) {
  if (command.kind == CommandKind::host_waited) {
    const Ticket ticket = command.source_address;
    return command.bytes != 0 ? order_.host_waited_for_all(ticket) : order_.host_waited(command.stream, ticket);
  }
  if (!is_checked_) return;
  const uint64_t block_bytes = command.source_address;
  if (command.kind == CommandKind::note_freed)
    return checker_owner_->freed(command.device_address, block_bytes, command.location);
  checker_owner_->allocated(command.device_address, command.bytes, block_bytes, command.location);
}

// Before the transfer is made: the check of its bounds comes first.
void Device::check_transfer(const Command& command) {
  const emulator::AddressRange range{command.device_address, command.device_address + command.bytes};
  switch (command.kind) {
    case CommandKind::copy_from_device:
      return check_access(command, "copy to the host", range, {}, command.moves);
    case CommandKind::stage_peer:
      return check_access(command, "copy to another device", range, {}, true);
    case CommandKind::copy_on_device:
      return check_access(command, "copy on the device",
                          {command.source_address, command.source_address + command.bytes}, range, false);
    case CommandKind::fill:
      return check_access(command, "fill", {}, range, false);
    default:
      return check_access(command, "copy to the device", {}, range, false);
  }
}

void Device::check_access(const Command& command, std::string_view name, emulator::AddressRange read,
                          emulator::AddressRange written, bool moves) {
  const OrderContext context{&order_, command.stream};
  const emulator::CommandOrder order{static_cast<uint32_t>(command.stream), ticket_, many_streams_, command.location,
                                     &OrderContext::happened_before,        &context};
  checker_owner_->transfer(order, name, read, written, moves);
}

// Any thread.
void Device::surface_findings() {
  if (checker() == nullptr) return;
  if (on_finding() != OnFinding::raise || !checker()->has_new(emulator::Severity::error)) return;
  const std::vector<emulator::Finding> found = checker()->take(emulator::Severity::error);
  if (found.empty()) return;
  try {
    emulator::throw_finding(found.front(), found.size() - 1);
  } catch (...) {
    error_.store(std::current_exception());
  }
}

void Device::execute_transfer(Command& command) {
  const uint64_t address = command.device_address;
  const uint64_t bytes = command.bytes;
  if (is_checked_) {
    emulator::DeviceMemory& memory = emulator_.memory();
    memory.host_span(address, bytes, Access::write);
    if (command.kind == CommandKind::copy_on_device) memory.host_span(command.source_address, bytes, Access::read);
    check_transfer(command);
  }
  if (command.kind == CommandKind::receive_peer) {
    command.event->device->wait(command.event->ticket);
    timeline_.wait(command.stream, command.event->chip_seconds);
  }
  timing_ == nullptr ? move_bytes(command) : move_known_bytes(command);
  switch (command.kind) {
    case CommandKind::copy_to_device:
      return charge_link(command, Engine::host_to_device, chip().host_link_bytes_per_second, true);
    case CommandKind::copy_from_device:
      return charge_link(command, Engine::device_to_host, chip().host_link_bytes_per_second, false);
    case CommandKind::copy_on_device: {
      emulator::LaunchAccount account = emulator_.account_transfer(command.source_address, bytes, false);
      account += emulator_.account_transfer(address, bytes, true);
      emulator::finish(account, 0, 0, 0, chip());  // reads and writes take turns at the DRAM
      return charge_memory(command.stream, account);
    }
    case CommandKind::stage_peer:
      return charge_link(command, Engine::device_to_host, peer_bytes_per_second(chip()), false);
    case CommandKind::receive_peer:
      return charge_link(command, Engine::host_to_device, peer_bytes_per_second(chip()), true);
    case CommandKind::fill:
      return charge_memory(command.stream, emulator_.account_transfer(address, bytes, true));
    default:
      throw InternalError(concat("command kind ", static_cast<int>(command.kind), " is no transfer"));
  }
}

void Device::move_bytes(Command& command) {
  const uint64_t bytes = command.bytes;
  emulator::DeviceMemory& memory = emulator_.memory();
  const auto reading = [&](uint64_t address) { return memory.host_span(address, bytes, Access::read); };
  const auto writing = [&] { return memory.host_span(command.device_address, bytes, Access::write); };
  switch (command.kind) {
    case CommandKind::copy_to_device:
      return copy_bytes(writing(), command.is_inline ? command.inline_bytes.data() : command.host, bytes);
    case CommandKind::copy_from_device:
      return copy_bytes(command.host, reading(command.device_address), bytes);
    case CommandKind::copy_on_device: {
      const void* source = reading(command.source_address);
      return copy_bytes(writing(), source, bytes);
    }
    case CommandKind::stage_peer:
      return copy_bytes(command.staged.get(), reading(command.device_address), bytes);
    case CommandKind::receive_peer:
      if (*command.staged_known) return copy_bytes(writing(), command.staged.get(), bytes);
      std::memset(writing(), 0, bytes);
      return;
    case CommandKind::fill:
      std::memset(writing(), command.fill_value, bytes);
      return;
    default:
      return;
  }
}

void Device::move_known_bytes(Command& command) {
  const emulator::AddressRange range{command.device_address, command.device_address + command.bytes};
  emulator_.memory().host_span(range.begin, command.bytes, Access::write);  // refuses what is no allocation
  switch (command.kind) {
    case CommandKind::copy_from_device:
      if (!timing_->knows(range)) count_unknown_read();
      if (timing_->knows(range) || timing_->keeps(range)) return move_bytes(command);
      std::memset(command.host, 0, command.bytes);
      return;
    case CommandKind::stage_peer:
      *command.staged_known = timing_->keeps(range) && timing_->knows(range);
      if (timing_->keeps(range)) move_bytes(command);
      return;
    default:
      break;
  }
  const bool kept = command.kind == CommandKind::copy_to_device ? command.decides || timing_->keeps_arriving(range)
                                                                : timing_->keeps(range);
  bool known = kept;
  if (command.kind == CommandKind::copy_on_device)
    known = known && timing_->knows({command.source_address, command.source_address + command.bytes});
  if (command.kind == CommandKind::receive_peer) known = known && *command.staged_known;
  if (kept) move_bytes(command);  // a placeholder too
  timing_->arrived(range, known);
}

void Device::occupy(int stream, Engine engine, double seconds, const emulator::LaunchAccount& account) {
  const double end = timeline_.occupy(stream, engine, seconds);
  if (execution_ == nullptr) return;
  execution_->end = end;
  execution_->start = end - seconds;
  execution_->engine = engine;
  execution_->account = account;
}

void Device::charge_launch(int stream, const emulator::LaunchAccount& account) {
  // What reaches the PEs while they work is dispatched beside it; replace_ns is in the account.
  if (timeline_.idle_before(stream, Engine::grid) > 0)
    timeline_.rest(stream, std::max(0.0, chip().launch_ns - chip().replace_ns) * 1e-9);
  charge_memory(stream, account);
}

void Device::charge_memory(int stream, emulator::LaunchAccount account) {
  if (spends_saved_power_.exchange(false)) power_limit_.spend();
  power_limit_.rest(timeline_.idle_before(stream, Engine::grid));
  power_limit_.apply(account);
  slow_beside_exchanges(*this, timeline_.occupy(stream, Engine::grid, 0), account);
  occupy(stream, Engine::grid, account.seconds, account);
  const std::lock_guard lock(counters_mutex_);
  counters_.total += account;
  counters_.elapsed_seconds = timeline_.latest() - counters_origin_;
}

void Device::charge_link(Command& command, Engine engine, double bytes_per_second, bool writes_device) {
  emulator::LaunchAccount account = emulator_.account_transfer(command.device_address, command.bytes, writes_device);
  const double link_seconds =
      chip().host_link_latency_ns * 1e-9 + static_cast<double>(command.bytes) / bytes_per_second;
  const double seconds = std::max(link_seconds, account.seconds);
  occupy(command.stream, engine, seconds, account);
  // The link works beside the grid, so its time is not added to the grid's, and static power is in the launches'
  // accounts.
  account.dynamic_joules += static_cast<double>(command.bytes) * chip().host_link_picojoules_per_byte * 1e-12;
  account.joules = account.dynamic_joules;
  account.seconds = account.core_seconds = account.sram_seconds = account.dram_seconds = 0;
  account.cycles = 0;
  account.pe_cycles = 0;
  const std::lock_guard lock(counters_mutex_);
  counters_.total += account;
  counters_.copies += 1;
  (writes_device ? counters_.bytes_to_device : counters_.bytes_from_device) += command.bytes;
  counters_.host_link_seconds += link_seconds;
  counters_.elapsed_seconds = timeline_.latest() - counters_origin_;
}

}  // namespace mtia::runtime
