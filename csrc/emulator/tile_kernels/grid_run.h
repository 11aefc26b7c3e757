// One launch of a C++ kernel of roles: deals PEs to host threads, runs their roles as fibers, and notices when all
// wait.
//
// A PE starts when a thread has nothing else to run, and stays with that thread; each thread has an equal share of the
// grid, and takes of another's when it has nothing left. PEs that wait for none but their own roles so run one after
// the other in one local memory a thread; where roles wait for other PEs, all of them live at once. What happens in
// chip time is carried by pages, messages and barriers and does not depend on any of this.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/fibers/fiber.h"
#include "emulator/tile_kernels/between_pes.h"
#include "emulator/tile_kernels/pack_cache.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {

class Checker;
class WorkerPool;

// What launches of one device reuse: PEs' contexts, local memories, stacks.
struct RoleGrid {
  // Local memory of a PE; taken when it starts, given back when it ends.
  std::byte* take_memory(size_t bytes);
  void give_memory(std::byte* memory);

  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::mutex mutex;
  std::vector<std::unique_ptr<PeContext>> pes;
  std::vector<std::unique_ptr<Role>> roles;
  std::vector<std::unique_ptr<std::byte, Free>> memories;
  std::vector<std::byte*> free_memories;
  StackPool stacks;
  std::vector<std::unique_ptr<PackCache>> packs;  // by thread
};

class GridRun {
 public:
  // `start`(context, pe) makes a PE's state ready for the launch.
  struct Starter {
    void (*start)(void* context, PeState& pe);
    void* context;
  };
  // `checker`: of checked mode, or nullptr.
  GridRun(RoleGrid& grid, const Launch& launch, std::span<PeState> pes, Starter starter, Checker* checker);
  ~GridRun();
  GridRun(const GridRun&) = delete;
  GridRun& operator=(const GridRun&) = delete;

  // Runs the launch to its end; the first failure in the order of PEs and roles, described, or nullptr.
  std::exception_ptr run(WorkerPool& pool);
  uint32_t pe_count() const { return count_; }
  const mtia_kernel& kernel() const { return kernel_; }
  BetweenPes& between() { return between_; }

  // ---- for roles
  void make_ready(Role& role);
  PackCache& pack_cache(const Role& role) { return *grid_.packs[role.pe->worker]; }
  // The role that runs on the calling thread, or nullptr.
  static Role* running();
  // Stops the running role for good without unwinding it.
  [[noreturn]] void kill(Role& role, std::exception_ptr error);
  void leave(Role& role, bool finished);

 private:
  struct Extents {
    uint32_t count;
    uint32_t rows;
    uint32_t columns;
  };
  static Extents extents_of(const Launch& launch, const ChipSpec& chip);

  struct Worker {
    Fiber fiber;  // the thread's own side of switches
    std::deque<Role*> ready;
    std::mutex mutex;
    std::deque<Role*> inbox;  // made ready by other threads
    std::atomic<uint32_t> inbox_size{0};
    // PEs that it has yet to begin, or that another thread takes from it; and of those that it began.
    std::atomic<uint32_t> next_pe{0};
    uint32_t end_pe = 0;
    uint32_t unfinished_pes = 0;
    uint64_t shuffle = 0;  // state of the random order of checked mode; 0: in order
  };

  static void work(void* context, uint64_t item, unsigned thread);
  void work(unsigned thread);
  Role* next_ready(Worker& worker);
  bool start_next(unsigned thread, int idle);
  std::optional<uint32_t> next_pe(unsigned thread, int idle);
  void start(PeContext& pe, uint32_t index, unsigned thread);
  // A PE that does not run.
  void pass_over();
  void resume(Role& role, unsigned thread);
  // Runs a role until it waits or ends; entry(&role) where it has not begun.
  void switch_to(Role& role, unsigned thread, Fiber::Entry entry);
  static void enter_constructor(void* role);
  static void enter(void* role);
  void construct(PeContext& pe);
  void execute(Role& role);
  void end_pe(PeContext& pe);
  void one_less_active();
  bool all_wait();
  void abandon_all();
  std::string deadlock_report() const;
  void record(const Role* role, const PeContext& pe, std::exception_ptr error);
  std::exception_ptr described(const Role* role, const PeContext& pe, std::exception_ptr error) const;

  RoleGrid& grid_;
  const Launch& launch_;
  const mtia_kernel& kernel_;
  std::span<PeState> states_;
  Starter starter_;
  Checker* checker_;
  Extents extents_;
  uint32_t count_;
  BetweenPes between_;

  std::vector<std::unique_ptr<Worker>> workers_;
  std::atomic<uint64_t> active_{0};  // roles that are ready, running or not yet started
  std::atomic<uint64_t> unfinished_{0};
  std::atomic<bool> done_{false};

  std::mutex fault_mutex_;
  std::atomic<uint64_t> fault_order_{UINT64_MAX};
  std::exception_ptr fault_;
  std::vector<uint32_t> order_;  // in which PEs start, where checked mode shuffles
};

}  // namespace mtia::emulator
