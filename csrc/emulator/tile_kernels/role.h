// A role of a C++ kernel on one PE: its fiber, its issue timeline, where in the source it is and what it waits for.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/fibers/fiber.h"
#include "emulator/pe/pe_state.h"
#include "emulator/tile_kernels/circular_buffer.h"
#include "emulator/tile_kernels/local_memory.h"
#include "emulator/tile_kernels/tile_checks.h"
#include "emulator/trace.h"
#include "include/mtia/abi.h"

namespace mtia::emulator {

class GridRun;
struct Role;

// Thrown through what waits for something that can no longer happen, because the launch has failed.
struct Abandoned {};

enum class RoleState : uint8_t { ready, waiting, finished };

// For what a role waits: pages of a circular buffer, or something of between_pes.h.
enum class WaitKind : uint8_t { pages, barrier, multicast, message, link, item };

struct PeContext {
  static constexpr uint32_t max_roles = LocalShadow::most_roles;
  GridRun* run = nullptr;
  PeState* state = nullptr;
  uint32_t worker = 0;  // the host thread that runs all of this PE's roles
  uint32_t unfinished = 0;
  LocalMemory memory;
  std::unique_ptr<TileChecks> checks;  // in checked mode
  std::deque<Ring> rings;              // roles keep pointers to them
  std::vector<Role*> roles;
  std::unique_ptr<std::byte[]> shared_memory;
  size_t shared_capacity = 0;
  void* shared = nullptr;
  bool shared_made = false;
};

struct Role : mtia_role {
  PeContext* pe = nullptr;
  uint32_t number = 0;  // among the kernel's roles
  Fiber fiber;
  FiberStack* stack = nullptr;
  Scoreboard board;
  mtia_line line{};                                   // of the call that it is in, or was in last
  const char* operation = "";                         // that call
  std::atomic<RoleState> state{RoleState::finished};  // other threads wake it
  bool abandoned = false;
  uint64_t blocks_left = 0;  // until it is taken to loop for ever
  WaitKind waits = WaitKind::pages;
  const Ring* waits_for = nullptr;
  uint32_t waits_for_pages = 0;  // or PEs, or the number of a queue
  uint8_t waits_along = 0;
  // What it was given when the wait ended.
  SubCycles granted_time = 0;
  int64_t granted_item = -1;

  // Before it gives its thread away; where other threads may wake it, under the lock by which they find it, and before
  // they can. Throws InvalidArgument where what the roles share is being made: there is nobody yet to wait for.
  void begin_wait(WaitKind kind, uint32_t number, const Ring* ring = nullptr) {
    if (!pe->shared_made) refuse_to_wait();
    waits = kind;
    waits_for = ring;
    waits_for_pages = number;
    state.store(RoleState::waiting, std::memory_order_relaxed);
  }

  std::string_view name() const;
  // "role load on PE 3, gemm.cpp:42"
  std::string place() const;

 private:
  [[noreturn]] static void refuse_to_wait();
};

// "gemm.cpp:42"
std::string text_of(const mtia_line& line);
// The line itself, without the blanks around it, or nothing where the file cannot be read.
std::string source_of(const mtia_line& line);

// Called by a role behind begin_wait: gives the thread away until somebody wakes it. Throws Abandoned.
void wait(Role& role);
// Makes a role that waits run again; of the same launch, from any thread.
void wake(Role& role);

// The beginning of every function of the interface.
class Call {
 public:
  static constexpr uint64_t blocks = 32;  // that a call counts for

  Call(mtia_role* handle, const char* operation, mtia_line line) : role(*static_cast<Role*>(handle)) {
    role.line = line;
    role.operation = operation;
    resume();
    if (role.blocks_left < blocks) loops_for_ever();
    role.blocks_left -= blocks;
  }
  // After a wait, in which other roles of the PE ran.
  void resume() {
    role.pe->state->issuing = &role.board;
    role.pe->state->role = &role;
    if (PeTrace* trace = role.board.trace()) [[unlikely]]
      trace->begin_call(role.operation, role.line.file, role.line.line);
  }
  PeState& state() { return *role.pe->state; }
  LocalMemory& memory() { return role.pe->memory; }

  Role& role;

 private:
  [[noreturn]] void loops_for_ever();
};

}  // namespace mtia::emulator
