// The course of commands and launches under checked mode; checker_reports.cpp makes the findings.
#include "emulator/checks/checker.h"

#include <algorithm>

#include "emulator/checks/launching.h"
#include "emulator/checks/provenance.h"
#include "emulator/pe/command_processor/loaded_program.h"

namespace mtia::emulator {
namespace {

constexpr size_t remembered_commands = 1 << 14;
// Of an allocation, the bytes whose writes are followed: marking them costs host memory before any is touched.
constexpr uint64_t followed_bytes = uint64_t{256} << 20;

bool has_atomics(const LoadedProgram& program) {
  return std::any_of(program.program.instructions.begin(), program.program.instructions.end(),
                     [](const auto& i) { return i.opcode == Opcode::atomic_rmw || i.opcode == Opcode::atomic_cas; });
}

std::vector<bool> volatile_loads_of(const TileProgram& program) {
  std::vector<bool> result;
  for (size_t i = 0; i < program.instructions.size(); ++i) {
    if (!program.instructions[i].is_volatile_load()) continue;
    result.resize(program.instructions.size());
    result[i] = true;
  }
  return result;
}

}  // namespace

Checker::Checker(const DeviceMemory& memory, uint32_t pes)
    : memory_(memory),
      unwritten_(memory.base(), memory.capacity()),
      races_(memory.base(), memory.capacity()),
      launching_(std::make_unique<Launching>()),
      commands_(remembered_commands) {
  for (uint32_t pe = 0; pe < pes; ++pe) logs_.push_back(std::make_unique<AccessLog>(*this, pe));
}

Checker::~Checker() = default;

void Checker::reset() {
  unwritten_.reset();
  races_.reset();
  registry_.clear();
  commands_.assign(remembered_commands, Command{});
}

void Checker::allocated(uint64_t address, uint64_t bytes, uint64_t block_bytes, uint32_t location) {
  registry_.allocate(address, bytes, block_bytes, location);
  unwritten_.set(address, std::min(bytes, followed_bytes));
  if (bytes > followed_bytes) unwritten_.clear(address + followed_bytes, bytes - followed_bytes);
}

void Checker::freed(uint64_t address, uint64_t block_bytes, uint32_t location) {
  registry_.free(address, block_bytes, location);
}

void Checker::begin(const CommandOrder& order, std::string name) {
  order_ = order;
  ++epoch_;
  commands_[epoch_ % remembered_commands] = {epoch_, order.lane, order.number, std::move(name), order.location};
  races_.begin(epoch_, order.concurrent, {&happened_before, this});
}

const Checker::Command* Checker::command_of(uint32_t epoch) const {
  const Command& command = commands_[epoch % remembered_commands];
  return command.epoch == epoch ? &command : nullptr;
}

bool Checker::happened_before(const void* context, uint32_t epoch) {
  const auto& self = *static_cast<const Checker*>(context);
  const Command* command = self.command_of(epoch);
  // What is too old to be known is taken to be in order.
  if (command == nullptr || command->lane == self.order_.lane) return true;
  return self.order_.happened_before(self.order_.context, command->lane, command->number);
}

void Checker::transfer(const CommandOrder& order, std::string_view name, AddressRange read, AddressRange written,
                       bool moves) {
  begin(order, std::string(name));
  if (order.concurrent) {
    for (const auto& [range, kind] : {std::pair(read, AccessKind::read), std::pair(written, AccessKind::write)}) {
      if (const auto found = races_.test(kind, range.begin, range.bytes(), false)) report_transfer(kind, range, *found);
      races_.paint(kind, range.begin, range.bytes());
    }
  }
  if (read.bytes() != 0 && written.bytes() != 0) {
    unwritten_.copy(written.begin, read.begin, written.bytes());
  } else if (written.bytes() != 0) {
    unwritten_.clear(written.begin, written.bytes());
  } else if (!moves && unwritten_.any(read.begin, read.bytes())) {
    report_unwritten_transfer(read);
  }
}

void Checker::begin_launch(const CommandOrder& order, const Launch& launch) {
  Launching& now = *launching_;
  now.launch = &launch;
  now.notes = launch.notes.get();
  now.origins = nullptr;
  now.confined = !launch.extents.empty();
  now.uses_clocks = false;
  now.volatile_loads.clear();
  now.history.clear();
  now.next_past = 0;
  now.timed.clear();
  now.timed_overflow = false;
  now.reported.clear();
  std::string name;
  if (launch.program != nullptr) {
    const LoadedProgram& program = *launch.program;
    std::call_once(program.origins_found, [&] { program.origins = origins_of(program.program); });
    now.origins = &program.origins;
    now.volatile_loads = volatile_loads_of(program.program);
    now.uses_clocks = has_atomics(program) || !now.volatile_loads.empty();
    name = program.program.name;
  } else if (launch.kernel != nullptr) {
    name = launch.kernel->name;
  }
  begin(order, "kernel " + name);
}

void Checker::end_launch(bool failed) {
  Launching& now = *launching_;
  if (now.uses_clocks && !now.timed_overflow) report_clock_races();
  if (failed && now.notes != nullptr) {
    for (const TensorNote& tensor : now.notes->tensors) unwritten_.clear(tensor.reach.begin, tensor.reach.bytes());
  }
  now.timed.clear();
  now.launch = nullptr;
  now.notes = nullptr;
}

bool Checker::may_touch(uint32_t instruction, uint64_t low, uint64_t high) const {
  const Launching& now = *launching_;
  const auto holds = [&](const AddressRange& range) { return low >= range.begin && high <= range.end; };
  if (const uint32_t tensor = now.tensor_of(instruction); tensor != LaunchNotes::no_tensor)
    return holds(now.notes->tensors[tensor].reach);
  if (now.notes != nullptr) {
    for (const TensorNote& tensor : now.notes->tensors) {
      if (holds(tensor.reach)) return true;
    }
    if (now.confined) return false;
  } else if (now.confined) {
    return true;  // the extents are all that is known
  }
  const auto* block = registry_.find(low);
  return block == nullptr || (block->second.is_live && high <= block->second.end);
}

bool Checker::has_volatile_loads() const { return !launching_->volatile_loads.empty(); }

bool Checker::is_volatile_load(uint32_t instruction) const {
  return has_volatile_loads() && launching_->volatile_loads[instruction];
}

void Checker::note_contents(AccessLog& log, AccessKind kind, uint32_t instruction, const ByteRows& rows) {
  const bool uses = kind != AccessKind::write && !(launching_->notes != nullptr && launching_->notes->moves);
  for_each_row(rows, [&](uint64_t address, uint64_t bytes) {
    if (uses) {
      const uint64_t found = unwritten_.first_set(address, bytes);
      if (found != address + bytes) {
        report(log, Check::uninitialised_read, instruction, found, bytes, "read", registry_.history(found));
        unwritten_.clear(address, bytes);
      }
    }
    if (kind != AccessKind::read) unwritten_.clear(address, bytes);
    return true;
  });
  if (kind == AccessKind::write) note_gaps(log, instruction, rows);
}

void Checker::finish(AccessLog& log) {
  Launching& now = *launching_;
  const bool clocks = now.uses_clocks;
  const std::lock_guard lock(mutex_);
  // An order that hangs on an access that was not kept would be missed.
  if (has_volatile_loads() && log.has_lost_records()) now.timed_overflow = true;
  for (const AccessRecord& record : log.records()) {
    for_each_row(record.rows(), [&](uint64_t address, uint64_t bytes) {
      const auto found = races_.test(record.kind, address, bytes, !clocks);
      if (found) conflict(log, record, *found);
      return !found;
    });
  }
  for (const AccessRecord& record : log.records()) {
    for_each_row(record.rows(), [&](uint64_t address, uint64_t bytes) {
      races_.paint(record.kind, address, bytes);
      return true;
    });
    if (!clocks) {
      now.remember(log, record);
    } else if (now.timed.size() < Launching::timed_records) {
      now.timed.push_back({record, log.number(), log.id(), log.pe()});
    } else {
      now.timed_overflow = true;
    }
  }
}

uint64_t Checker::tick() {
  launching_->uses_clocks = true;
  return clock_.fetch_add(1) + 1;
}

std::vector<Finding> Checker::findings() const {
  const std::lock_guard lock(mutex_);
  return {findings_.begin(), findings_.end()};
}

void Checker::clear_findings() {
  const std::lock_guard lock(mutex_);
  findings_.clear();
  taken_[0] = taken_[1] = 0;
  seen_[0] = seen_[1] = 0;
  count_ = 0;
}

std::vector<Finding> Checker::take(Severity severity) {
  const std::lock_guard lock(mutex_);
  seen_[static_cast<size_t>(severity)] = count_.load();
  size_t& taken = taken_[static_cast<size_t>(severity)];
  std::vector<Finding> result;
  for (; taken < findings_.size(); ++taken) {
    if (info_of(findings_[taken].check).severity == severity) result.push_back(findings_[taken]);
  }
  return result;
}

}  // namespace mtia::emulator
