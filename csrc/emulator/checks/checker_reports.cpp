// What findings say.
#include <algorithm>
#include <utility>

#include "emulator/checks/checker.h"
#include "emulator/checks/flag_order.h"
#include "emulator/checks/launching.h"
#include "emulator/checks/locations.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "program/disassemble.h"

namespace mtia::emulator {
namespace {

std::string_view verb(AccessKind kind) {
  constexpr std::string_view verbs[] = {"read", "write", "atomic operation"};
  return verbs[static_cast<size_t>(kind)];
}

std::string_view past_verb(AccessKind kind) {
  constexpr std::string_view verbs[] = {"read", "wrote", "updated atomically"};
  return verbs[static_cast<size_t>(kind)];
}

bool holds(const AccessRecord& record, uint64_t address) {
  return !for_each_row(record.rows(),
                       [&](uint64_t begin, uint64_t bytes) { return address < begin || address >= begin + bytes; });
}

std::string program_text(bool is_tile_program, const std::array<uint32_t, 3>& id, uint32_t pe, uint32_t instruction) {
  if (is_tile_program) return concat("program (", id[0], ", ", id[1], ", ", id[2], ")");
  const std::string role = location_role(instruction);
  return role.empty() ? concat("PE ", pe) : concat("role ", role, " on PE ", pe);
}

// Of a C++ kernel the number is a location's.
std::string line_of(const Launch& launch, uint32_t instruction) {
  if (launch.program == nullptr) return location_text(instruction);
  const TileProgram& program = launch.program->program;
  if (instruction >= program.instructions.size()) return {};
  return program.location_of(program.instructions[instruction]);
}

}  // namespace

const TensorNote* Checker::note_of(uint32_t instruction, uint64_t address) const {
  const Launching& now = *launching_;
  if (now.notes == nullptr) return nullptr;
  if (const uint32_t tensor = now.tensor_of(instruction); tensor != LaunchNotes::no_tensor)
    return &now.notes->tensors[tensor];
  const TensorNote* nearest = nullptr;
  uint64_t best = UINT64_MAX;
  for (const TensorNote& tensor : now.notes->tensors) {
    const AddressRange& range = tensor.reach;
    const uint64_t distance =
        address < range.begin ? range.begin - address : (address >= range.end ? address - range.end + 1 : 0);
    if (distance < best) {
      best = distance;
      nearest = &tensor;
    }
  }
  return nearest;
}

Finding Checker::describe(const AccessLog& log, Check check, uint32_t instruction, uint64_t address,
                          uint64_t bytes) const {
  const Launching& now = *launching_;
  Finding finding;
  finding.check = check;
  finding.has_program = true;
  finding.program = log.id();
  finding.pe = log.pe();
  finding.address = address;
  finding.bytes = bytes;
  finding.launched = location_text(order_.location);
  finding.is_tile_program = now.launch->program != nullptr;
  if (finding.is_tile_program) {
    const TileProgram& program = now.launch->program->program;
    finding.kernel = program.name;
    if (instruction < program.instructions.size()) {
      finding.instruction = instruction;
      finding.disassembly = disassemble(program, program.instructions[instruction]);
      finding.line = program.location_of(program.instructions[instruction]);
    }
  } else {
    finding.kernel = now.launch->kernel->name;
    finding.line = location_text(instruction);
    finding.role = location_role(instruction);
  }
  if (const TensorNote* note = note_of(instruction, address)) {
    finding.tensor = note->name;
    finding.sizes = note->sizes;
    finding.strides = note->strides;
    finding.index = note->index_of(address);
  }
  return finding;
}

bool Checker::is_new(Check check, uint32_t instruction, uint64_t program) {
  auto& reported = launching_->reported;
  const auto entry = std::find_if(reported.begin(), reported.end(), [&](const Launching::Reported& other) {
    return other.check == check && other.instruction == instruction;
  });
  if (entry == reported.end()) {
    reported.push_back({check, instruction, program, count_ + 1});
    return true;
  }
  if (program >= entry->program) return false;
  entry->program = program;
  launching_->replaced = entry->finding;
  return true;
}

void Checker::add(Finding finding) {
  if (const uint64_t number = std::exchange(launching_->replaced, 0); number != 0) {
    const uint64_t later = count_ - number;
    if (later >= findings_.size()) return;
    const size_t place = findings_.size() - 1 - later;
    const bool was_taken = place < taken_[static_cast<size_t>(info_of(finding.check).severity)];
    if (!was_taken && findings_[place].check == finding.check) findings_[place] = std::move(finding);
    return;
  }
  ++count_;
  // The oldest goes: a new error must be raised however many findings came before.
  if (findings_.size() == most_findings) {
    findings_.pop_front();
    for (size_t& taken : taken_) taken -= taken != 0 ? 1 : 0;
  }
  findings_.push_back(std::move(finding));
}

void Checker::report(Finding finding) {
  const std::lock_guard lock(mutex_);
  add(std::move(finding));
}

void Checker::report_local(const AccessLog& log, uint32_t location, Finding finding) {
  const std::lock_guard lock(mutex_);
  if (!is_new(finding.check, location, log.number())) return;
  finding.kernel = launching_->launch->kernel->name;
  finding.has_program = true;
  finding.is_tile_program = false;
  finding.pe = log.pe();
  finding.line = location_text(location);
  finding.role = location_role(location);
  finding.launched = location_text(order_.location);
  add(std::move(finding));
}

void Checker::report(const AccessLog& log, Check check, uint32_t instruction, uint64_t address, uint64_t bytes,
                     std::string problem, std::string before) {
  const std::lock_guard lock(mutex_);
  if (!is_new(check, instruction, log.number())) return;
  Finding finding = describe(log, check, instruction, address, bytes);
  problem += place_text(finding);
  finding.problem = std::move(problem);
  finding.before = std::move(before);
  add(std::move(finding));
}

// " of element (3, 5) of x of shape (4, 128), which nothing wrote"
std::string Checker::place_text(const Finding& finding) {
  std::string text;
  if (finding.tensor.empty()) {
    text = concat(" of device address ", finding.address);
  } else if (finding.index.empty() && !finding.sizes.empty()) {
    text = concat(" of memory between the elements of ", describe_tensor(finding.tensor, finding.sizes));
  } else {
    text =
        concat(" of element ", describe_tuple(finding.index), " of ", describe_tensor(finding.tensor, finding.sizes));
  }
  if (finding.check == Check::uninitialised_read) text += ", which nothing wrote";
  return text;
}

void Checker::report_outside(AccessLog& log, AccessKind kind, uint32_t instruction, uint64_t address, uint64_t bytes) {
  const Launching& now = *launching_;
  const auto* block = registry_.find(address);
  const bool known = now.tensor_of(instruction) != LaunchNotes::no_tensor || now.confined;
  const Check check =
      !known && block != nullptr && !block->second.is_live ? Check::use_after_free : Check::out_of_bounds;
  std::unique_lock lock(mutex_);
  Finding finding = describe(log, check, instruction, address, bytes);
  if (check == Check::use_after_free) {
    // No tensor of this launch lies there, the nearest one is none of the matter.
    finding.tensor.clear();
    finding.sizes.clear();
    finding.strides.clear();
  }
  if (known && now.notes != nullptr && !finding.tensor.empty()) {
    const TensorNote& note = *note_of(instruction, address);
    // The first byte outside.
    const uint64_t bad = address < note.reach.begin ? address : std::max(address, note.reach.end);
    finding.address = bad;
    finding.index.clear();
    const auto item = static_cast<int64_t>(note.item_bytes);
    const int64_t offset = static_cast<int64_t>(bad - note.reach.begin);
    const int64_t position = offset >= 0 ? offset / item : -((-offset + item - 1) / item);
    finding.problem = concat(verb(kind), " at position ", position, " of ", describe_tensor(note.name, note.sizes));
    if (!note.strides.empty() && note.has_gaps())
      finding.problem += concat(" and strides ", describe_tuple(note.strides));
    finding.problem += note.reach.bytes() == 0 ? ", which is empty"
                                               : concat(", whose elements lie at positions 0 to ",
                                                        note.reach.bytes() / note.item_bytes - 1);
    for (const TensorNote& other : now.notes->tensors) {
      if (&other == &note || bad < other.reach.begin || bad >= other.reach.end) continue;
      finding.before = concat("there lies ", describe_tensor(other.name, other.sizes));
    }
  } else if (block != nullptr && block->second.is_live) {
    finding.problem = concat(verb(kind), " ", std::max(address, block->second.end) - block->second.end,
                             " bytes past the end of an allocation");
  } else {
    finding.problem = concat(verb(kind), " of ", bytes, " bytes at device address ", address);
    if (check == Check::use_after_free) finding.problem += ", which is freed";
  }
  if (finding.before.empty()) finding.before = registry_.history(finding.address);
  const bool fresh = is_new(check, instruction, log.number());
  if (fresh) add(finding);
  lock.unlock();
  if (!stopping_) return;
  try {
    throw_finding(finding, 0);
  } catch (...) {
    throw StoppedByCheck{std::current_exception()};
  }
}

void Checker::note_gaps(AccessLog& log, uint32_t instruction, const ByteRows& rows) {
  const Launching& now = *launching_;
  const uint32_t tensor = now.tensor_of(instruction);
  if (tensor == LaunchNotes::no_tensor || !now.notes->tensors[tensor].has_gaps()) return;
  const TensorNote& note = now.notes->tensors[tensor];
  for_each_row(rows, [&](uint64_t address, uint64_t bytes) {
    const uint64_t gap = note.first_gap(address, bytes);
    if (gap == address + bytes) return true;
    report(log, Check::between_rows, instruction, gap, bytes, "write", "");
    return false;
  });
}

void Checker::report_undefined_lane(const AccessLog& log, uint32_t instruction, uint64_t address, uint32_t load) {
  const std::string line = line_of(*launching_->launch, load);
  report(log, Check::undefined_lanes, instruction, address, 0, "write",
         concat("lanes were left undefined by the load", line.empty() ? "" : " at ", line));
}

// Called with the lock held.
void Checker::conflict(const AccessLog& log, const AccessRecord& record, const RaceShadow::Conflict& found) {
  const Check check = found.epoch == epoch_ ? Check::race_between_programs : Check::race_between_streams;
  if (!is_new(check, record.instruction, log.number())) return;
  Finding finding = describe(log, check, record.instruction, found.address, record.run);
  finding.problem = concat(verb(record.kind), place_text(finding));
  finding.before = other_access(log, found);
  add(std::move(finding));
}

std::string Checker::other_access(const AccessLog& log, const RaceShadow::Conflict& found) const {
  const Launching& now = *launching_;
  if (found.epoch != epoch_) return command_text(found);
  const Launching::Past* past = nullptr;
  for (const Launching::Past& candidate : now.history) {
    if (candidate.program != log.number() && candidate.record.kind == found.kind &&
        holds(candidate.record, found.address))
      past = &candidate;
  }
  if (past == nullptr) return concat("another program of the launch ", past_verb(found.kind), " it");
  const std::string line = line_of(*now.launch, past->record.instruction);
  return concat(program_text(now.launch->program != nullptr, past->id, past->pe, past->record.instruction), " ",
                past_verb(found.kind), " it", line.empty() ? "" : " at ", line);
}

std::string Checker::command_text(const RaceShadow::Conflict& found) const {
  const Command* command = command_of(found.epoch);
  if (command == nullptr) return concat("an earlier command ", past_verb(found.kind), " it");
  std::string text = concat(command->name, " on stream ", command->lane, " ", past_verb(found.kind), " it");
  if (command->location != 0) text += ", launched at " + location_text(command->location);
  const std::string history = registry_.history(found.address);
  return history.empty() ? text : concat(text, "; ", history);
}

void Checker::report_clock_races() {
  Launching& now = *launching_;
  if (has_volatile_loads() && !order_by_flags(now.timed)) return;
  const bool tile = now.launch->program != nullptr;
  const Check check = Check::race_between_programs;
  for (const ClockRace& race : find_clock_races(now.timed, 16)) {
    const std::lock_guard lock(mutex_);
    const AccessRecord& record = race.second->record;
    if (!is_new(check, record.instruction, race.second->program)) continue;
    AccessLog log(*this, race.second->pe);
    log.begin(race.second->program, race.second->id);
    Finding finding = describe(log, check, record.instruction, race.address, record.run);
    finding.problem = concat(verb(record.kind), place_text(finding));
    const std::string line = line_of(*now.launch, race.first->record.instruction);
    finding.before = concat(program_text(tile, race.first->id, race.first->pe, race.first->record.instruction), " ",
                            past_verb(race.first->record.kind), " it", line.empty() ? "" : " at ", line);
    add(std::move(finding));
  }
}

Finding Checker::describe_transfer(Check check, AddressRange range, uint64_t address) const {
  Finding finding;
  finding.check = check;
  finding.kernel = command_of(epoch_)->name;
  finding.launched = location_text(order_.location);
  finding.address = address;
  finding.bytes = range.bytes();
  return finding;
}

void Checker::report_transfer(AccessKind kind, AddressRange range, const RaceShadow::Conflict& found) {
  const std::lock_guard lock(mutex_);
  Finding finding = describe_transfer(Check::race_between_streams, range, found.address);
  finding.problem = concat(verb(kind), " of byte ", found.address - range.begin, " of ", range.bytes(), " bytes");
  finding.before = command_text(found);
  add(std::move(finding));
}

void Checker::report_unwritten_transfer(AddressRange range) {
  const std::lock_guard lock(mutex_);
  const uint64_t address = unwritten_.first_set(range.begin, range.bytes());
  Finding finding = describe_transfer(Check::uninitialised_read, range, address);
  finding.problem =
      concat("read of byte ", address - range.begin, " of ", range.bytes(), " bytes, which nothing wrote");
  finding.before = registry_.history(address);
  add(std::move(finding));
  unwritten_.clear(range.begin, range.bytes());
}

}  // namespace mtia::emulator
