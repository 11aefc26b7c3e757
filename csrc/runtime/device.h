// A device as its driver sees it: memory, streams, events, asynchronous launches and copies, errors that surface when
// somebody waits.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/timing/power_limit.h"
#include "runtime/counters.h"
#include "runtime/deferred_error.h"
#include "runtime/event.h"
#include "runtime/monitors/launch_monitor.h"
#include "runtime/observers/command_observer.h"
#include "runtime/stream_order.h"
#include "runtime/timeline.h"
#include "runtime/work_queue.h"

namespace mtia::emulator {
class Checker;
class TimingMode;
struct StandInSettings;
}  // namespace mtia::emulator

namespace mtia::runtime {

// Whether a device computes, or only says what computing would take.
enum class Mode : uint8_t { functional, timing };

// What a device in timing mode has met since its counters were reset.
struct TimingSummary {
  uint64_t launches = 0;
  uint64_t computed = 0;    // as in functional mode, because their values were known or decide what they do
  uint64_t remembered = 0;  // costed before
  uint64_t multiplied = 0;  // of which one of several PEs that do the same was walked
  uint64_t stood_in = 0;    // whose account rests on values that are not known
  double stand_in_seconds = 0;
  double stand_in_joules = 0;
  uint64_t unknown_reads = 0;  // copies to the host of values that are not known
};

// Commands of all streams run on one dispatcher thread in submission order. That is one of the orders which any program
// of streams and events allows, and the same one on every host; concurrency between streams exists in chip time, which
// the Timeline accounts.
class Device {
 public:
  Device(int index, const ChipSpec& chip, emulator::WorkerPool& pool, Mode mode = Mode::functional);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  int index() const { return index_; }
  const ChipSpec& chip() const { return emulator_.chip(); }
  emulator::DeviceMemory& memory() { return emulator_.memory(); }
  emulator::Emulator& emulator() { return emulator_; }

  // ---- asynchronous: failures are thrown by the next synchronising call
  Ticket launch(StreamId stream, emulator::Launch&& launch);
  // The caller may reuse `source` on return: it is copied now where small, and waited for where large.
  void copy_to_device(StreamId stream, uint64_t destination, const void* source, size_t bytes);
  // Reads `source` when its turn in the stream comes, and waits for that.
  void copy_to_device_in_order(StreamId stream, uint64_t destination, const void* source, size_t bytes);
  // `source` must stay as it is until the ticket is complete.
  Ticket copy_to_device_async(StreamId stream, uint64_t destination, const void* source, size_t bytes);
  // The queue keeps the source alive until it was read. `decides`: timing mode keeps it whatever its size, since
  // launches do what it says.
  Ticket copy_to_device_owned(StreamId stream, uint64_t destination, std::shared_ptr<const void> source, size_t bytes,
                              bool decides = false);
  // `destination` holds the bytes once the ticket is complete.
  Ticket copy_from_device_async(StreamId stream, void* destination, uint64_t source, size_t bytes);
  Ticket copy_on_device(StreamId stream, uint64_t destination, uint64_t source, size_t bytes);
  Ticket fill(StreamId stream, uint64_t destination, uint8_t value, size_t bytes);
  // Empties the SRAM's cache, so that what follows finds all its data in DRAM, and lets `rest_seconds` of chip time
  // pass.
  Ticket flush_cache(StreamId stream, double rest_seconds);
  EventRecordPointer record_event(StreamId stream, bool is_free = false);
  // What the exchange sends is read when the stream gets there; what it receives is there behind end_exchange, which
  // may come later and on the same stream. synchronize() ends what nobody has.
  void begin_exchange(StreamId stream, ExchangePointer exchange);
  // At most once for each; later calls do nothing.
  void end_exchange(StreamId stream, const ExchangePointer& exchange);
  void wait_event(StreamId stream, EventRecordPointer event);

  // ---- synchronising: they block the calling host thread (release the GIL before), then throw a deferred failure
  void copy_from_device(StreamId stream, void* destination, uint64_t source, size_t bytes);
  void synchronize();
  void synchronize_stream(StreamId stream);
  void synchronize_event(const EventRecord& event);
  Counters counters();
  void reset_counters();
  // The next work finds the chip as after a long time at its power limit. Any thread.
  void spend_saved_power() { spends_saved_power_ = true; }

  // As the last executed command left them, without waiting: what the device did since it was made, the chip time that
  // it had reached, and the host's time that its dispatcher took for it, both in seconds.
  Counters lifetime_counters();
  double chip_seconds();
  double dispatcher_seconds();
  Ticket completed() const { return queue_.completed(); }

  // ---- what observers are told begins with commands that are submitted after add_observer
  void add_observer(ObserverPointer observer) { observers_.add(std::move(observer)); }
  void remove_observer(const CommandObserver& observer) { observers_.remove(observer); }

  // ---- they neither block nor throw
  bool is_complete(Ticket ticket) const { return queue_.is_complete(ticket); }
  bool is_stream_idle(StreamId stream) const { return is_complete(last_ticket(stream)); }
  Ticket last_ticket(StreamId stream) const;
  Ticket submitted() const { return queue_.submitted(); }
  void wait(Ticket ticket) { queue_.wait(ticket); }

  // Waits for all work, then runs launches through `monitor` (see there); nullptr: as usual.
  void set_monitor(std::shared_ptr<LaunchMonitor> monitor);
  // Of a monitored launch: pthread_self() of the thread that waits for it.
  uint64_t launching_thread() const { return launching_thread_.load(); }

  // ---- checked mode (runtime/checking.h)
  // Does what is_checking() says from now on. The device is idle.
  void follow_checking();
  // The findings' place; nullptr where the device was never checked.
  emulator::Checker* checker() { return checker_.load(std::memory_order_acquire); }
  // Memory becomes a tensor's, and nobody's again, in the order of the queue. `block_bytes`: rounded up.
  void note_allocated(StreamId stream, uint64_t address, size_t bytes, size_t block_bytes, uint32_t location);
  void note_freed(StreamId stream, uint64_t address, size_t block_bytes, uint32_t location);
  // The host found a stream's commands up to a ticket complete.
  void note_host_waited(StreamId stream, Ticket ticket);

  // ---- timing mode (docs/timing_mode.md)
  Mode mode() const { return timing_ == nullptr ? Mode::functional : Mode::timing; }
  // They wait for all work. Of functional devices: zeros, and InvalidArgument.
  TimingSummary timing_summary();
  void set_stand_ins(const emulator::StandInSettings& settings);
  const emulator::StandInSettings& stand_ins() const;
  // Copies to the host so far whose values were not known; the host was given zeros.
  uint64_t unknown_reads() const { return unknown_reads_.load(std::memory_order_acquire); }
  void count_unknown_read() { unknown_reads_.fetch_add(1, std::memory_order_release); }
  // Whether all values of [address, address + bytes) are known. Waits for all work.
  bool knows(uint64_t address, size_t bytes);
  // Lets a byte that is not known read as 1, which it does until it is written. Waits for all work.
  void assume_one(uint64_t address);

  // ---- for exchanges, on the dispatcher
  // Copies to the host what is known of a range; false, and nothing, where timing mode does not know it or it is more
  // than it keeps.
  bool fetch(uint64_t address, size_t bytes, std::byte* destination);
  // `source` is nullptr where the values are not known.
  void deliver(uint64_t address, size_t bytes, const std::byte* source);
  // Whether a range's bytes may be used where they are, beside the queue, until the exchange ends: not where timing
  // mode or checked mode has to be told of each access.
  bool exchanges_in_place() const { return timing_ == nullptr && !is_checked_; }
  std::byte* exchanged_bytes(uint64_t address, size_t bytes);

  // Stops the dispatcher after the command that runs now; drops the others. For the exit of the process.
  void stop();
  DeferredError& deferred_error() { return error_; }

  friend void copy_between_devices(Device& destination_device, StreamId destination_stream, uint64_t destination,
                                   Device& source_device, StreamId source_stream, uint64_t source, size_t bytes);

 private:
  // Fills and pushes one command: fill(command, ticket).
  template <typename Fill>
  Ticket submit(CommandKind kind, StreamId stream, Fill&& fill);
  void note_host_waited_for_all(Ticket ticket);

  // Chip time passes for the host too: what it submits after it waited starts no earlier than what it waited for ended.
  template <typename Note>
  void note_host_wait(Note&& note);

  void wait_as_monitored(Ticket ticket);
  void dispatch();
  void execute(Command& command);
  void execute_note(Command& command);
  void execute_exchange(Command& command);
  void record(int stream, EventRecord& event);
  void end_all_exchanges();
  void check_transfer(const Command& command);
  void check_access(const Command& command, std::string_view name, emulator::AddressRange read,
                    emulator::AddressRange written, bool moves);
  void surface_findings();
  void execute_observed(Command& command, const std::vector<ObserverPointer>& observers);
  void execute_transfer(Command& command);
  // The part of a transfer that moves bytes; of a device in timing mode only where they are known and few.
  void move_bytes(Command& command);
  void move_known_bytes(Command& command);
  // Time and energy of a transfer over a link off the chip, and of the memory behind it.
  void charge_link(Command& command, Engine engine, double bytes_per_second, bool writes_device);
  void occupy(int stream, Engine engine, double seconds, const emulator::LaunchAccount& account);
  void charge_launch(int stream, const emulator::LaunchAccount& account);
  void charge_memory(int stream, emulator::LaunchAccount account);

  const int index_;
  const uint64_t loop_limit_;
  emulator::Emulator emulator_;
  WorkQueue queue_;
  std::array<std::atomic<Ticket>, stream_count> last_tickets_{};
  DeferredError error_;
  ObserverList observers_;

  std::mutex exchanges_mutex_;
  std::vector<std::pair<StreamId, ExchangePointer>> open_exchanges_;  // begun, and not ended by anybody

  std::atomic<bool> host_waited_{false};
  std::mutex host_waits_mutex_;
  HostWaits host_waits_;  // since the last submission

  // Dispatcher only.
  Timeline timeline_;
  emulator::PowerLimit power_limit_;
  std::atomic<bool> spends_saved_power_{false};
  emulator::LaunchTrace* trace_ = nullptr;  // of the launch that runs
  const Command* exchanging_ = nullptr;     // the exchange that begins or ends
  Execution* execution_ = nullptr;          // of the command at work, while somebody observes
  std::shared_ptr<LaunchMonitor> monitor_;  // dispatcher only
  std::atomic<bool> monitored_{false};
  std::atomic<uint64_t> launching_thread_{0};

  StreamOrder order_;
  bool many_streams_ = false;
  Ticket ticket_ = 0;  // of the command that the dispatcher executes
  bool is_checked_ = false;
  std::unique_ptr<emulator::Checker> checker_owner_;
  std::atomic<emulator::Checker*> checker_{nullptr};
  std::unique_ptr<emulator::TimingMode> timing_;  // nullptr: functional
  std::atomic<uint64_t> unknown_reads_{0};
  uint64_t unknown_reads_before_reset_ = 0;

  std::mutex counters_mutex_;
  Counters counters_;
  Counters before_reset_;
  double counters_origin_ = 0.0;  // chip time of the last reset

  std::thread dispatcher_;  // last: it uses all of the above
};

// Copies between two devices, ordered after both streams' earlier work and before their later work.
void copy_between_devices(Device& destination_device, StreamId destination_stream, uint64_t destination,
                          Device& source_device, StreamId source_stream, uint64_t source, size_t bytes);

}  // namespace mtia::runtime
