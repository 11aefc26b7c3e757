// The state of one emulated PE during a launch: scoreboard, traffic, local memory, and the checked way to device
// memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/memory/device_memory.h"
#include "emulator/pe/dot_product_engine/operand_packs.h"
#include "emulator/timing/cost_model.h"
#include "emulator/timing/scoreboard.h"
#include "emulator/timing/traffic.h"

namespace mtia::emulator {

class AccessListener;  // inspection/access_listener.h
class AccessLog;       // checks/access_log.h
class CallObserver;
class KnownMemory;  // timing_mode/known_memory.h
class SharedWork;   // timing_mode/shared_work.h
class StandIns;     // timing_mode/stand_ins.h

// When a tile of a C++ kernel is ready, and when its last reader finishes.
struct PageTime {
  SubCycles ready = 0;
  SubCycles release = 0;
};

struct Role;  // tile_kernels/role.h

// What of a C++ kernel's values the host computes; the account is the same.
enum class HostWork : uint8_t { all, all_but_stores, none };

// Thrown where a kernel whose values are not computed needs one.
struct NeedsValues {};

// What the turns of one load or store of a program touched, in timing mode.
struct TransferRange {
  uint64_t low = UINT64_MAX;
  uint64_t high = 0;
  uint32_t window = 0;
  bool is_scattered = false;  // over windows, or beyond one

  void add(uint64_t from, uint64_t to, uint32_t in_window) {
    is_scattered = is_scattered || (high != 0 && in_window != window);
    window = in_window;
    low = from < low ? from : low;
    high = to > high ? to : high;
  }
};

// Of a launch in timing mode: what is known, and what was found to depend on it.
struct TimedValues {
  const KnownMemory* known = nullptr;  // nullptr: not in timing mode
  const StandIns* stand_ins = nullptr;
  bool reads_contents = false;   // the account depends on what lies in memory
  bool uses_stand_ins = false;   // of which something is not known
  bool mask_is_unknown = false;  // a DMA's mask may come from a stand-in
  // Of the program that runs, by transfer, for those that are like it (timing_mode/alike_pes.h); nullptr: nobody is.
  TransferRange* ranges = nullptr;
};

struct PeState {
  uint32_t pe = 0;
  const ChipSpec* chip = nullptr;
  const CostModel* costs = nullptr;
  const DeviceMemory* memory = nullptr;
  const SramCache* cache = nullptr;
  bool fixed_windows = false;   // the launch named its extents: no other memory may be touched
  bool sorted_windows = false;  // by address, and none overlap
  uint32_t last_window = 0;
  std::byte* local = nullptr;  // the host thread's arena of local memory
  // Of C++ kernels: what is allocated of it, the scoreboard entries of their tiles, and host buffers.
  uint64_t local_used = 0;
  std::vector<PageTime> pages;
  SubCycles page_floor = 0;           // when the memory freed by scopes was last used
  OperandPacks* packs = nullptr;      // of the launch, for all of its host threads
  AccessListener* journal = nullptr;  // told of each access before it is made
  CallObserver* calls = nullptr;      // told of each call of a C++ kernel
  std::vector<Window> windows;
  Scoreboard board;
  // Of C++ kernels: the scoreboard that the call running now issues on, which is its role's, and that role.
  Scoreboard* issuing = nullptr;
  const Role* role = nullptr;
  AccessLog* log = nullptr;  // in checked mode: is told of every access to device memory
  HostWork host_work = HostWork::all;
  TimedValues timed;
  SharedWork* shared_work = nullptr;  // of a C++ kernel in timing mode

  // The host pointer of device bytes [low, high); throws OutOfBounds. The one way from a PE to device memory.
  std::byte* span(uint64_t low, uint64_t high, Access access) {
    if (last_window < windows.size() && inside(windows[last_window].range, low, high)) return memory->backing_of(low);
    return find_window(low, high, access);
  }

  // Whether [low, high) may be touched; makes it the current window.
  bool reachable(uint64_t low, uint64_t high);

  // The whole range of the window that `address` lies in or behind: what accesses by stand-ins may touch. Makes it the
  // current one. Throws OutOfBounds where the launch has no memory.
  AddressRange spread_from(uint64_t address);

  // From a load's end to its data's being in local memory: DRAM's latency unless the launch found the window in SRAM.
  SubCycles load_latency() const {
    return windows[last_window].resident ? costs->sram_latency() : costs->dram_latency();
  }

  // Counts traffic of the current window, the one that span() found last.
  void count_read(uint64_t low, uint64_t high, uint64_t bytes) {
    Window& window = windows[last_window];
    window.low = low < window.low ? low : window.low;
    window.high = high > window.high ? high : window.high;
    window.bytes_read += bytes;
  }
  void count_write(uint64_t low, uint64_t high, uint64_t bytes) {
    Window& window = windows[last_window];
    window.low = low < window.low ? low : window.low;
    window.high = high > window.high ? high : window.high;
    window.bytes_written += bytes;
    if (packs != nullptr) packs->wrote(memory->backing_of(low), memory->backing_of(high));
  }

 private:
  static bool inside(const AddressRange& range, uint64_t low, uint64_t high) {
    return low >= range.begin && high <= range.end && low <= high;
  }
  std::byte* find_window(uint64_t low, uint64_t high, Access access);
};

}  // namespace mtia::emulator
