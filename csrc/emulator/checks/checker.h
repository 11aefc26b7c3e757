// Checked mode of one device: finds what the chip would not notice. The runtime tells it of every command in the order
// of the queue, the fabric interface of every access of a launch.
//
// Memory of its own, per byte of device memory that was touched: 1 bit that says whether the byte was ever written, and
// those of race_shadow.h. See docs/checks.md.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "emulator/checks/access_log.h"
#include "emulator/checks/bit_plane.h"
#include "emulator/checks/finding.h"
#include "emulator/checks/launch_notes.h"
#include "emulator/checks/memory_registry.h"
#include "emulator/checks/race_shadow.h"

namespace mtia::emulator {

struct Launch;

// Where a command stands among those of other lanes. Commands of one lane happen in order.
struct CommandOrder {
  uint32_t lane = 0;
  uint64_t number = 0;      // ascending within the lane
  bool concurrent = false;  // more than one lane is in use
  uint32_t location = 0;
  // Whether command `number` of `lane` happened before this one.
  bool (*happened_before)(const void* context, uint32_t lane, uint64_t number) = nullptr;
  const void* context = nullptr;
};

class Checker {
 public:
  static constexpr size_t most_findings = 1000;  // that are kept, the latest; all are counted

  Checker(const DeviceMemory& memory, uint32_t pes);
  ~Checker();

  // Whether errors stop the program that they are found in.
  void set_stopping(bool stopping) { stopping_ = stopping; }
  // A random order of roles, PEs and programs; 0: the usual one.
  void set_seed(uint64_t seed) { seed_ = seed; }
  uint64_t seed() const { return seed_; }
  // Forgets what is known of memory: nothing is then uninitialised, freed or touched.
  void reset();

  // ---- commands, by the one thread that runs them
  void allocated(uint64_t address, uint64_t bytes, uint64_t block_bytes, uint32_t location);
  void freed(uint64_t address, uint64_t block_bytes, uint32_t location);
  // As after allocated(): nothing wrote it.
  void mark_unwritten(AddressRange range) { unwritten_.set(range.begin, range.bytes()); }
  // A plain copy or fill; an empty range is no access. What is copied on the device keeps its state; what leaves it is
  // used, unless the copy only `moves` it.
  void transfer(const CommandOrder& order, std::string_view name, AddressRange read, AddressRange written,
                bool moves = false);
  void begin_launch(const CommandOrder& order, const Launch& launch);
  // Of what a failed launch did not come to write, no later read is a finding.
  void end_launch(bool failed);

  // ---- a launch's programs, by the threads that run them
  AccessLog& log_of(uint32_t pe) { return *logs_[pe]; }
  bool may_touch(uint32_t instruction, uint64_t low, uint64_t high) const;
  bool has_volatile_loads() const;
  bool is_volatile_load(uint32_t instruction) const;
  void report_outside(AccessLog& log, AccessKind kind, uint32_t instruction, uint64_t address, uint64_t bytes);
  void note_contents(AccessLog& log, AccessKind kind, uint32_t instruction, const ByteRows& rows);
  void finish(AccessLog& log);
  void report_undefined_lane(const AccessLog& log, uint32_t instruction, uint64_t address, uint32_t load);
  const std::byte* backing_of(uint64_t address) const { return memory_.backing_of(address); }
  uint64_t tick();
  // A finding of a program: fills in kernel, program, instruction and tensor, and stops the program where findings do.
  void report(const AccessLog& log, Check check, uint32_t instruction, uint64_t address, uint64_t bytes,
              std::string problem, std::string before);
  // A finding that is complete.
  void report(Finding finding);
  // A finding of a C++ kernel in local memory: fills in kernel, PE, the line and what launched it.
  void report_local(const AccessLog& log, uint32_t location, Finding finding);

  // ---- any thread
  std::vector<Finding> findings() const;
  uint64_t finding_count() const { return count_.load(); }
  void clear_findings();
  bool has_new(Severity severity) const { return count_.load() != seen_[static_cast<size_t>(severity)].load(); }
  // Findings of errors (or of warnings) that have not been taken before.
  std::vector<Finding> take(Severity severity);

 private:
  struct Launching;  // of the launch at work
  struct Command {
    uint32_t epoch = 0;
    uint32_t lane = 0;
    uint64_t number = 0;
    std::string name;
    uint32_t location = 0;
  };

  void begin(const CommandOrder& order, std::string name);
  static bool happened_before(const void* context, uint32_t epoch);
  const Command* command_of(uint32_t epoch) const;
  const TensorNote* note_of(uint32_t instruction, uint64_t address) const;
  Finding describe(const AccessLog& log, Check check, uint32_t instruction, uint64_t address, uint64_t bytes) const;
  void conflict(const AccessLog& log, const AccessRecord& record, const RaceShadow::Conflict& found);
  std::string other_access(const AccessLog& log, const RaceShadow::Conflict& found) const;
  std::string command_text(const RaceShadow::Conflict& found) const;
  static std::string place_text(const Finding& finding);
  Finding describe_transfer(Check check, AddressRange range, uint64_t address) const;
  void report_transfer(AccessKind kind, AddressRange range, const RaceShadow::Conflict& found);
  void report_unwritten_transfer(AddressRange range);
  void report_clock_races();
  void note_gaps(AccessLog& log, uint32_t instruction, const ByteRows& rows);
  // Once for each instruction of a launch: of programs that run side by side, the first in the order of the grid is
  // told of. With the lock held, as add.
  bool is_new(Check check, uint32_t instruction, uint64_t program);
  void add(Finding finding);

  const DeviceMemory& memory_;
  bool stopping_ = true;
  uint64_t seed_ = 0;
  BitPlane unwritten_;
  RaceShadow races_;
  MemoryRegistry registry_;
  std::vector<std::unique_ptr<AccessLog>> logs_;
  std::unique_ptr<Launching> launching_;

  CommandOrder order_;
  uint32_t epoch_ = 0;
  std::vector<Command> commands_;  // the last ones, by epoch modulo their number
  std::atomic<uint64_t> clock_{0};

  mutable std::mutex mutex_;  // of the race shadow, the launch's history, and the findings
  std::deque<Finding> findings_;
  size_t taken_[2] = {0, 0};  // by severity
  std::atomic<uint64_t> count_{0};
  std::atomic<uint64_t> seen_[2] = {0, 0};  // count_ at the last take
};

}  // namespace mtia::emulator
