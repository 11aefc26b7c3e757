// The journal knows what a launch touched, and what lay there before.
#include "runtime/recording/recording.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/inspection/call_observer.h"
#include "emulator/inspection/instruction_observer.h"
#include "emulator/tile_kernels/interface.h"
#include "program/disassemble.h"
#include "program/serialise.h"
#include "program/tile_program.h"
#include "runtime/checking.h"
#include "runtime/device.h"
#include "runtime/monitors/launch_watch.h"

namespace mtia::runtime {

using emulator::AddressRange;
using emulator::MemoryJournal;

namespace {

constexpr uint64_t page_bytes = MemoryJournal::page_bytes;

std::string name_of(const emulator::Launch& launch) {
  return std::string(launch.program != nullptr ? emulator::name_of(*launch.program) : launch.kernel->name);
}

// Where the host found a kernel's code.
std::string shared_object_of(const emulator::CppKernel& kernel) {
  if (kernel.entry != nullptr) return {};
  Dl_info info{};
  const auto* loaded = static_cast<const emulator::TileKernel&>(kernel).roles;
  return dladdr(loaded, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

const emulator::CppKernel* kernel_of(const Recording& recording) {
  if (recording.shared_object.empty()) return &emulator::cpp_kernel(recording.kernel);
  for (const emulator::TileKernel* kernel : emulator::load_tile_kernels(recording.shared_object)) {
    if (kernel->name == recording.kernel) return kernel;
  }
  throw InvalidArgument(concat("its shared object has no kernel ", recording.kernel), "replay", "record it again");
}

// Runs chosen programs and shows their instructions.
class Stepper : public emulator::InstructionObserver {
 public:
  Stepper(const ReplayOptions& options, const std::array<uint32_t, 3>& grid, uint32_t pes)
      : options_(options), grid_(grid), pes_(pes) {}

  bool wants(uint64_t program) const override {
    if (options_.pe && program % pes_ != *options_.pe) return false;
    if (!options_.program) return true;
    const auto& [x, y, z] = *options_.program;
    return program == x + uint64_t{grid_[0]} * (y + uint64_t{grid_[1]} * z);
  }
  void before(const emulator::Step& step) override {
    if (!options_.step) return;
    options_.step(step.program_id(), step.pe(), step.index(), step.program().location_of(step.instruction()),
                  disassemble(step.program(), step.instruction()));
  }

 private:
  const ReplayOptions& options_;
  std::array<uint32_t, 3> grid_;
  uint32_t pes_;
};

// Runs the calls of one PE of a C++ kernel alone.
class OnePe : public emulator::CallObserver {
 public:
  explicit OnePe(uint32_t pe) : pe_(pe) {}
  bool wants(uint32_t pe) const override { return pe == pe_; }

 private:
  uint32_t pe_;
};

// Neighbours joined, ends at multiples of 64 bytes.
std::vector<AddressRange> joined(std::vector<AddressRange> ranges) {
  for (AddressRange& range : ranges) range = {range.begin / 64 * 64, (range.end + 63) / 64 * 64};
  std::sort(ranges.begin(), ranges.end(),
            [](const AddressRange& a, const AddressRange& b) { return a.begin < b.begin; });
  std::vector<AddressRange> result;
  for (const AddressRange& range : ranges) {
    if (range.begin == range.end) continue;
    if (!result.empty() && range.begin <= result.back().end) {
      result.back().end = std::max(result.back().end, range.end);
    } else {
      result.push_back(range);
    }
  }
  return result;
}

}  // namespace

bool RecordMonitor::is_chosen(const std::string& name) {
  if (!choice_.kernel && !choice_.number) return false;
  if (choice_.kernel && *choice_.kernel != name) return false;
  const uint64_t number = matching_++;
  return !choice_.number || *choice_.number == number;
}

emulator::LaunchAccount RecordMonitor::run(Device& device, const emulator::Launch& launch) {
  ++launches_;
  const std::string name = name_of(launch);
  const bool chosen = is_chosen(name);
  if (recorded_ >= choice_.most) return device.emulator().run(launch);
  if (!journal_) journal_ = std::make_unique<MemoryJournal>(device.memory(), choice_.most_bytes);
  journal_->clear();
  emulator::LaunchAccount account;
  const bool stops = is_checking() && on_finding() == OnFinding::raise;
  const emulator::Checker* checker = stops ? device.checker() : nullptr;
  const LaunchFindings found(checker);
  const auto checks = [&] {
    return checker == nullptr ? std::nullopt : std::optional<RecordedChecks>(found.checks(launch));
  };
  try {
    const LaunchWatch watch(device.emulator(), journal_.get());
    account = device.emulator().run(launch);
  } catch (const Error& error) {
    record(device, launch, name, found.error(error.what()), checks());
    throw;
  }
  const std::string error = found.error("");
  if (chosen || !error.empty()) record(device, launch, name, error, checks());
  return account;
}

void RecordMonitor::record(Device& device, const emulator::Launch& launch, const std::string& name,
                           const std::string& error, std::optional<RecordedChecks> checks) {
  const uint64_t bytes = journal_->pages().size() * page_bytes;
  if (!journal_->complete() || bytes > choice_.most_bytes) {
    throw InvalidArgument(concat("kernel ", name, " touches at least ", bytes, " bytes of memory, a recording holds ",
                                 choice_.most_bytes, error.empty() ? "" : "; it failed: ", error),
                          "record", "raise max_bytes, or record a smaller problem");
  }
  Recording recording;
  recording.kernel = name;
  recording.grid = launch.grid;
  recording.arguments.assign(launch.arguments.begin(), launch.arguments.end());
  recording.extents.assign(launch.extents.begin(), launch.extents.end());
  recording.loop_limit = launch.loop_limit;
  recording.number = launches_ - 1;
  recording.launched_by = launcher_ ? launcher_() : "";
  recording.error = error;
  recording.checks = std::move(checks);
  if (launch.kernel != nullptr) recording.shared_object = shared_object_of(*launch.kernel);
  if (launch.program != nullptr) recording.program = serialise(emulator::source_of(*launch.program));
  const emulator::DeviceMemory& memory = device.memory();
  std::map<uint64_t, size_t> place;
  std::vector<AddressRange> allocations = recording.extents;
  for (const uint64_t address : journal_->pages()) {
    const std::byte* now = memory.backing_of(address);
    place[address] = recording.pages.size();
    recording.pages.push_back({address, {now, now + page_bytes}, {}});
    if (launch.extents.size() != 0) continue;
    // A page may hold the ends of several allocations.
    for (uint64_t part = address; part < address + page_bytes; part += MemoryJournal::granule_bytes) {
      const AddressRange range = memory.allocation_of(part);
      if (range.end != 0)
        allocations.push_back({std::max(range.begin, address), std::min(range.end, address + page_bytes)});
    }
  }
  for (const MemoryJournal::Saved& saved : journal_->saved()) {
    RecordedPage& page = recording.pages[place[saved.address]];
    page.after = std::move(page.before);
    page.before.assign(saved.contents, saved.contents + page_bytes);
  }
  recording.allocations = joined(std::move(allocations));
  ++recorded_;
  keep_(recording);
}

ReplayResult replay(Device& device, const Recording& recording, const ReplayOptions& options) {
  emulator::DeviceMemory& memory = device.memory();
  for (const AddressRange& range : recording.allocations) memory.allocate_at(range.begin, range.end - range.begin);
  for (const RecordedPage& page : recording.pages)
    std::memcpy(memory.backing_of(page.address), page.before.data(), page_bytes);
  emulator::Launch launch;
  launch.grid = recording.grid;
  launch.arguments.assign(recording.arguments.data(), recording.arguments.size());
  for (const AddressRange& range : recording.extents) launch.extents.push_back(range);
  launch.loop_limit = recording.loop_limit;
  std::optional<OnePe> one_pe;
  if (recording.program.empty()) {
    launch.kernel = kernel_of(recording);
    if (options.program || options.step) {
      throw InvalidArgument(concat(recording.kernel, " is a C++ kernel: it has no programs and no instructions"),
                            "replay", "choose a PE, or replay the whole launch");
    }
    if (options.pe) one_pe.emplace(*options.pe);
  } else {
    launch.program = emulator::load_program(std::span<const std::byte>(recording.program), device.chip());
    if (options.program || options.pe || options.step) {
      launch.program = emulator::observed(*launch.program,
                                          std::make_shared<Stepper>(options, recording.grid, device.chip().pe_count()));
    }
  }
  ReplayResult result;
  std::unique_ptr<emulator::Checker> checker;
  if (recording.checks) {
    checker = checker_of(*recording.checks, memory, device.chip().pe_count());
    launch.notes = recording.checks->notes;
  }
  const LaunchFindings found(checker.get());
  device.emulator().set_checker(checker.get());
  try {
    const LaunchWatch watch(device.emulator(), nullptr, one_pe ? &*one_pe : nullptr);
    const emulator::LaunchAccount account = device.emulator().run(launch);
    result.cycles = account.cycles;
    result.seconds = account.seconds;
  } catch (const Error& error) {
    result.error = error.what();
  }
  result.error = found.error(result.error);
  device.emulator().set_checker(nullptr);
  for (const RecordedPage& page : recording.pages) {
    const std::vector<std::byte>& wanted = page.after.empty() ? page.before : page.after;
    const std::byte* now = memory.backing_of(page.address);
    result.compared_bytes += page_bytes;
    if (std::memcmp(now, wanted.data(), page_bytes) == 0) continue;
    for (uint64_t i = 0; i < page_bytes; ++i) {
      if (now[i] == wanted[i]) continue;
      ++result.differences;
      if (result.first_differences.size() < 16) result.first_differences.push_back(page.address + i);
    }
  }
  return result;
}

}  // namespace mtia::runtime
