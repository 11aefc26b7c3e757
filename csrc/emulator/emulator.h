// One emulated device: its DRAM, its PE grid, and the launch that runs a tile program or a C++ kernel on it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/memory/device_memory.h"
#include "emulator/small_array.h"
#include "emulator/timing/account.h"

namespace mtia {
struct ChipSpec;
struct TileProgram;
}  // namespace mtia

namespace mtia::emulator {

class CallObserver;
class AccessListener;
class WorkerPool;
class ProcessingElement;
class Checker;
class KnownMemory;
class SramCache;
class StandIns;
struct TimedProgram;
struct CommandOrder;
struct LaunchNotes;
struct LaunchTotals;
class LaunchTrace;
enum class HostWork : uint8_t;

// A verified tile program decoded for fast execution on one chip. Immutable: launches of any thread and device of that
// chip share it.
class LoadedProgram;

// What a launch passes to one parameter of a program.
struct ParameterInfo {
  std::string name;
  bool is_pointer = false;
  uint8_t dtype = 0;  // mtia::DType of a scalar, of the pointed-to elements where the compiler knows them
};

// Reads, verifies and decodes a serialised tile program (docs of the format: program/serialise.h).
// Throws InvalidProgram for a corrupted or ill-typed one, OutOfLocalMemory where a PE of `chip` has too little.
std::shared_ptr<const LoadedProgram> load_program(std::span<const std::byte> bytes, const ChipSpec& chip);
std::shared_ptr<const LoadedProgram> load_program(const TileProgram& program, const ChipSpec& chip);

std::string_view name_of(const LoadedProgram& program);
const std::vector<ParameterInfo>& parameters_of(const LoadedProgram& program);
std::string disassembly_of(const LoadedProgram& program);

// A host-compiled kernel of kernels/cpp: `entry` runs once on every PE of the launch grid (see
// pe/processing_element.h).
struct CppKernel {
  std::string_view name;
  void (*entry)(ProcessingElement& pe, const void* arguments);
  size_t argument_bytes;
  // Which values lie in memory decides what it does, so that it has to be computed in timing mode too.
  bool reads_contents = false;
  // It charges something usual for values that are not known, which what stands in for them would not cost.
  bool charges_unknown = false;
  // Leaves out of a copy of the arguments what the account does not depend on; nullptr: it may depend on all of them.
  void (*keep_sizes)(void* arguments) = nullptr;
};

// The kernel registered under a name by MTIA_CPP_KERNEL. Throws InvalidArgument with the names that exist.
const CppKernel& cpp_kernel(std::string_view name);
std::vector<std::string_view> cpp_kernel_names();

// More loop iterations than a program that does any work makes, and no more than seconds of them.
inline constexpr uint64_t default_loop_limit = uint64_t{1} << 28;

struct Launch {
  // Exactly one of the two.
  std::shared_ptr<const LoadedProgram> program;
  const CppKernel* kernel = nullptr;

  // Programs of the grid. For a C++ kernel grid[0] is the number of PEs that run it, at most the chip's; 0: all of
  // them.
  std::array<uint32_t, 3> grid{1, 1, 1};

  // One 64-bit word a parameter of a tile program, in order: a device address, or a scalar's bits (floats in their own
  // dtype's bits in the low end, integers sign-extended, i1 0 or 1). For a C++ kernel: its argument struct, set by
  // set_arguments.
  SmallArray<uint64_t, 32> arguments;

  // The device memory this launch may touch, normally one range a tensor argument: an access outside of all of them is
  // OutOfBounds. Empty: any live allocation. Ranges travel with the launch because the allocator may reuse a freed
  // tensor's memory in stream order while the launch is still queued.
  SmallArray<AddressRange, 8> extents;

  // What checked mode knows of the tensors behind the addresses (checks/launch_notes.h); null outside of it.
  std::shared_ptr<const LaunchNotes> notes;

  // Loop iterations that one program may make before it is taken to hang: Deadlock.
  uint64_t loop_limit = default_loop_limit;

  template <typename Arguments>
  void set_arguments(const Arguments& value) {
    static_assert(std::is_trivially_copyable_v<Arguments>);
    arguments.resize((sizeof(Arguments) + 7) / 8);
    std::memcpy(static_cast<void*>(arguments.data()), &value, sizeof(Arguments));
  }
};

// A launch in timing mode: what it costs, without its values (docs/timing_mode.md).
struct TimedLaunch {
  const KnownMemory* known = nullptr;
  const StandIns* stand_ins = nullptr;
  HostWork work{};  // of C++ kernels
  // Whether PEs that do the same are walked once; it changes no number.
  bool multiplies = true;
  const TimedProgram* program = nullptr;  // of a tile program, set by the emulator
  // Found by the launch: whether some PEs were not walked, and whether its account depends on what lies in memory, and
  // on values that are not known.
  bool multiplied = false;
  bool reads_contents = false;
  bool uses_stand_ins = false;
};

class Emulator {
 public:
  // `chip` is copied. Emulators of one process share a pool.
  Emulator(const ChipSpec& chip, WorkerPool& pool);
  ~Emulator();
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  const ChipSpec& chip() const;
  DeviceMemory& memory();

  // Runs every program of the grid; blocks until all have run. One launch at a time. Returns what it cost on the chip:
  // the same for any number of host threads. Throws an mtia::Error with the kernel, program id, PE, instruction and
  // source line of the first faulting program (lowest program id); the device stays usable. `trace` records what the
  // PEs that it names do (emulator/trace.h). In checked mode `order` says where the launch stands among other commands.
  LaunchAccount run(const Launch& launch, LaunchTrace* trace = nullptr, const CommandOrder* order = nullptr);

  // The account of a launch that reads and writes no values but those that the account depends on. Throws as run(), and
  // NeedsValues where a C++ kernel asks for a value that it was not to compute.
  LaunchAccount estimate(const Launch& launch, TimedLaunch& timed, LaunchTrace* trace = nullptr);

  // What the last launch did, and the account of a launch that does the same now: to remember launches by.
  const LaunchTotals& last_totals() const;
  LaunchAccount charge(const LaunchTotals& totals);
  // Whether a launch that names this range would find it in the SRAM.
  bool is_resident(AddressRange range) const;
  // What the SRAM holds, and its putting back: to cost a launch twice.
  std::shared_ptr<const SramCache> cache() const;
  void set_cache(std::shared_ptr<const SramCache> contents);

  // Accounts of a copy or fill by the host link or the DMA engines, so that the cache of the SRAM knows what they
  // touched. `write`: the device's memory is written. Returns the account of DRAM and SRAM traffic and the seconds at
  // DRAM bandwidth.
  LaunchAccount account_transfer(uint64_t address, uint64_t bytes, bool write);

  // Empties the cache of the SRAM; what was written goes to DRAM. Returns the account of that.
  LaunchAccount flush_cache();

  // Tells `checker` of every access of the launches that follow; nullptr: nobody. Not while a launch runs.
  void set_checker(Checker* checker);

  // Where `print` instructions go: one whole line a call. nullptr: standard output.
  void set_print_sink(void (*sink)(std::string_view line, void* context), void* context);

  // Who is told of each access and of each call of a C++ kernel by the next launches; nullptr: nobody. Not while one
  // runs.
  void set_journal(AccessListener* journal);
  void set_call_observer(CallObserver* observer);

 private:
  LaunchAccount run_locked(const Launch& launch, LaunchTrace* trace, const CommandOrder* order);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mtia::emulator
