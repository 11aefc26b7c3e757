// The scheduler of roles: fibers that wait give their thread to others, and what nobody can run any more has failed.
#include "emulator/tile_kernels/grid_run.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "base/error.h"
#include "base/fault_chain.h"
#include "chip/chip_spec.h"
#include "emulator/checks/access_log.h"
#include "emulator/checks/checker.h"
#include "emulator/grid/random_order.h"
#include "emulator/grid/worker_pool.h"
#include "emulator/inspection/call_observer.h"
#include "emulator/tile_kernels/host_fault.h"
#include "emulator/tile_kernels/interface.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mtia::emulator {
namespace {

// Read and written in functions that the compiler may not merge: a fiber's frame must not keep its address.
thread_local Role* running_role = nullptr;

constexpr int spin_rounds = 2000;
constexpr int patience = 100'000;  // rounds, milliseconds: the thread that has PEs to begin does not come

void pause_briefly(int round) {
#if defined(__x86_64__)
  if (round < spin_rounds) return _mm_pause();
#endif
  if (round % 64 == 0) sched_yield();
}

}  // namespace

std::byte* RoleGrid::take_memory(size_t bytes) {
  const std::lock_guard lock(mutex);
  if (free_memories.empty()) {
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096));
    if (memory == nullptr) throw std::bad_alloc();
    memories.emplace_back(memory);
    return memory;
  }
  std::byte* memory = free_memories.back();
  free_memories.pop_back();
  return memory;
}

void RoleGrid::give_memory(std::byte* memory) {
  const std::lock_guard lock(mutex);
  free_memories.push_back(memory);
}

GridRun::Extents GridRun::extents_of(const Launch& launch, const ChipSpec& chip) {
  const auto chip_rows = static_cast<uint32_t>(chip.pe_rows);
  const auto chip_columns = static_cast<uint32_t>(chip.pe_columns);
  const auto [rows, columns, unused] = launch.grid;
  if (rows == 0) return {chip_rows * chip_columns, chip_rows, chip_columns};
  if (columns == 0) {
    if (rows > chip_rows * chip_columns) {
      throw InvalidArgument(concat("a grid of ", rows, " PEs, ", chip.name, " has ", chip_rows * chip_columns),
                            "launch of a C++ kernel", "launch on fewer");
    }
    const uint32_t width = std::min(rows, chip_columns);
    return {rows, (rows + width - 1) / width, width};
  }
  if (rows > chip_rows || columns > chip_columns) {
    throw InvalidArgument(
        concat("a grid of ", rows, " x ", columns, " PEs, ", chip.name, " has ", chip_rows, " x ", chip_columns),
        "launch of a C++ kernel", "launch on fewer rows or columns");
  }
  return {rows * columns, rows, columns};
}

GridRun::GridRun(RoleGrid& grid, const Launch& launch, std::span<PeState> states, Starter starter, Checker* checker)
    : grid_(grid),
      launch_(launch),
      kernel_(*static_cast<const TileKernel*>(launch.kernel)->roles),
      states_(states),
      starter_(starter),
      checker_(checker),
      extents_(extents_of(launch, *states.front().chip)),
      count_(extents_.count),
      between_(extents_.count, extents_.rows, extents_.columns) {
  while (grid_.pes.size() < count_) grid_.pes.push_back(std::make_unique<PeContext>());
  while (grid_.roles.size() < static_cast<size_t>(count_) * kernel_.role_count)
    grid_.roles.push_back(std::make_unique<Role>());
  // Of earlier launches, which dealt the roles otherwise.
  for (const auto& pe : grid_.pes) {
    pe->roles.clear();
    pe->unfinished = 0;
  }
}

GridRun::~GridRun() = default;

std::exception_ptr GridRun::run(WorkerPool& pool) {
  renew_fault_chain();
  const unsigned threads = pool.threads();
  while (grid_.packs.size() < threads) grid_.packs.push_back(std::make_unique<PackCache>());
  for (const auto& pack : grid_.packs) pack->clear();
  for (uint64_t i = 0; i < threads; ++i) {
    Worker& worker = *workers_.emplace_back(std::make_unique<Worker>());
    worker.next_pe = static_cast<uint32_t>(i * count_ / threads);
    worker.end_pe = static_cast<uint32_t>((i + 1) * count_ / threads);
  }
  if (const uint64_t seed = checker_ == nullptr ? 0 : checker_->seed(); seed != 0) {
    uint64_t state = seed;
    for (uint32_t i = 0; i < count_; ++i) order_.push_back(i);
    for (uint32_t i = count_; i > 1; --i) std::swap(order_[i - 1], order_[random_below(state, i)]);
    for (unsigned i = 0; i < threads; ++i) workers_[i]->shuffle = seed + 0x9E3779B97F4A7C15U * (i + 1);
  }
  unfinished_.store(static_cast<uint64_t>(count_) * kernel_.role_count);
  active_.store(unfinished_.load());
  pool.run(std::min<uint64_t>(threads, count_), &GridRun::work, this);
  return fault_;
}

void GridRun::work(void* context, uint64_t, unsigned thread) { static_cast<GridRun*>(context)->work(thread); }

void GridRun::work(unsigned thread) {
  prepare_thread_for_faults();
  Worker& worker = *workers_[thread];
  for (int idle = 0; !done_.load(std::memory_order_acquire);) {
    if (Role* role = next_ready(worker)) {
      resume(*role, thread);
      idle = 0;
    } else if (start_next(thread, idle)) {
      idle = 0;
    } else {
      pause_briefly(++idle);
    }
  }
}

Role* GridRun::next_ready(Worker& worker) {
  if (worker.ready.empty()) {
    if (worker.inbox_size.load(std::memory_order_acquire) == 0) return nullptr;
    const std::lock_guard lock(worker.mutex);
    worker.ready.swap(worker.inbox);
    worker.inbox_size.store(0, std::memory_order_relaxed);
  }
  if (worker.shuffle != 0)
    std::swap(worker.ready.front(), worker.ready[random_below(worker.shuffle, worker.ready.size())]);
  Role* role = worker.ready.front();
  worker.ready.pop_front();
  return role;
}

void GridRun::make_ready(Role& role) {
  active_.fetch_add(1, std::memory_order_acq_rel);
  role.state.store(RoleState::ready, std::memory_order_relaxed);
  Worker& worker = *workers_[role.pe->worker];
  if (running_role != nullptr && running_role->pe->worker == role.pe->worker) {
    worker.ready.push_back(&role);
    return;
  }
  const std::lock_guard lock(worker.mutex);
  worker.inbox.push_back(&role);
  worker.inbox_size.store(static_cast<uint32_t>(worker.inbox.size()), std::memory_order_release);
}

std::optional<uint32_t> GridRun::next_pe(unsigned thread, int idle) {
  const auto take = [](Worker& of) -> std::optional<uint32_t> {
    if (of.next_pe.load(std::memory_order_relaxed) >= of.end_pe) return std::nullopt;
    const uint32_t index = of.next_pe.fetch_add(1);
    return index < of.end_pe ? std::optional(index) : std::nullopt;
  };
  Worker& own = *workers_[thread];
  if (const auto index = take(own)) return index;
  // PEs that wait for each other are quickly begun, and all of them would be this thread's before the others wake.
  if (own.unfinished_pes != 0 && idle < patience && count_ >= workers_.size()) return std::nullopt;
  for (const auto& other : workers_) {
    if (const auto index = take(*other)) return index;
  }
  return std::nullopt;
}

bool GridRun::start_next(unsigned thread, int idle) {
  const std::optional<uint32_t> taken = next_pe(thread, idle);
  if (!taken) return false;
  const uint32_t index = order_.empty() ? *taken : order_[*taken];
  // What comes after a failure need not begin.
  if (fault_order_.load() / PeContext::max_roles < index) {
    pass_over();
  } else {
    start(*grid_.pes[index], index, thread);
  }
  return true;
}

void GridRun::pass_over() {
  unfinished_.fetch_sub(kernel_.role_count);
  for (uint32_t i = 0; i < kernel_.role_count; ++i) one_less_active();
}

void GridRun::start(PeContext& pe, uint32_t index, unsigned thread) {
  PeState& state = states_[index];
  starter_.start(starter_.context, state);
  if (state.calls != nullptr && !state.calls->wants(index)) return pass_over();
  if (state.log != nullptr) state.log->begin(index, {});
  pe.run = this;
  pe.state = &state;
  pe.worker = thread;
  ++workers_[thread]->unfinished_pes;
  pe.unfinished = kernel_.role_count;
  pe.rings.clear();
  pe.roles.clear();
  pe.shared = nullptr;
  pe.shared_made = false;
  pe.checks = checker_ == nullptr ? nullptr : std::make_unique<TileChecks>(*checker_);
  pe.memory.begin(state, grid_.take_memory(state.chip->local_memory_bytes), pe.checks.get());
  for (uint32_t i = 0; i < kernel_.role_count; ++i) {
    Role& role = *grid_.roles[static_cast<size_t>(index) * kernel_.role_count + i];
    static_cast<mtia_role&>(role) = {index,         count_,          index / extents_.columns, index % extents_.columns,
                                     extents_.rows, extents_.columns};
    role.pe = &pe;
    role.number = i;
    role.board = state.board;  // as the launch found it: all free
    role.line = kernel_.line;
    role.operation = "";
    role.abandoned = false;
    role.blocks_left = launch_.loop_limit;
    role.waits_for = nullptr;
    role.stack = nullptr;
    pe.roles.push_back(&role);
  }
  // On a fiber, so that a constructor that loops for ever can be left.
  switch_to(*pe.roles.front(), thread, &GridRun::enter_constructor);
  if (!pe.shared_made) {
    for (Role* role : pe.roles) role->state.store(RoleState::finished, std::memory_order_relaxed);
    pe.unfinished = 0;
    end_pe(pe);
    return pass_over();
  }
  for (Role* role : pe.roles) {
    role->state.store(RoleState::ready, std::memory_order_relaxed);
    workers_[thread]->ready.push_back(role);
  }
}

void GridRun::construct(PeContext& pe) {
  try {
    const size_t bytes = kernel_.shared_bytes + kernel_.shared_alignment;
    if (pe.shared_capacity < bytes) {
      pe.shared_memory = std::make_unique<std::byte[]>(bytes);
      pe.shared_capacity = bytes;
    }
    void* memory = pe.shared_memory.get();
    size_t space = bytes;
    pe.shared = std::align(kernel_.shared_alignment, kernel_.shared_bytes, memory, space);
    kernel_.construct(pe.shared, pe.roles.front(), launch_.arguments.data());
    pe.shared_made = true;
  } catch (...) {
    record(nullptr, pe, std::current_exception());
  }
}

void GridRun::switch_to(Role& role, unsigned thread, Fiber::Entry entry) {
  if (role.stack == nullptr) {
    {
      const std::lock_guard lock(grid_.mutex);
      role.stack = grid_.stacks.take();
    }
    role.fiber.prepare(*role.stack, entry, &role);
  }
  running_role = &role;
  role.state.store(RoleState::ready, std::memory_order_relaxed);
  Fiber::change(workers_[thread]->fiber, role.fiber);
  running_role = nullptr;
  if (role.state.load(std::memory_order_relaxed) != RoleState::finished) return;
  const std::lock_guard lock(grid_.mutex);
  grid_.stacks.give(role.stack);
  role.stack = nullptr;
}

void GridRun::resume(Role& role, unsigned thread) {
  switch_to(role, thread, &GridRun::enter);
  if (role.state.load(std::memory_order_relaxed) == RoleState::finished) {
    PeContext& pe = *role.pe;
    unfinished_.fetch_sub(1);
    if (--pe.unfinished == 0) end_pe(pe);
  }
  one_less_active();
}

void GridRun::enter_constructor(void* context) {
  Role& role = *static_cast<Role*>(context);
  GridRun& run = *role.pe->run;
  run.construct(*role.pe);
  run.leave(role, true);
}

void GridRun::enter(void* context) {
  Role& role = *static_cast<Role*>(context);
  GridRun& run = *role.pe->run;
  run.execute(role);
  run.leave(role, true);
}

void GridRun::execute(Role& role) {
  try {
    kernel_.roles[role.number].run(&role, launch_.arguments.data(), role.pe->shared);
  } catch (const Abandoned&) {
  } catch (...) {
    record(&role, *role.pe, std::current_exception());
  }
}

void GridRun::leave(Role& role, bool finished) {
  if (finished) role.state.store(RoleState::finished, std::memory_order_relaxed);
  Fiber::change(role.fiber, workers_[role.pe->worker]->fiber, finished);
}

void GridRun::kill(Role& role, std::exception_ptr error) {
  record(&role, *role.pe, std::move(error));
  leave(role, true);
  __builtin_unreachable();
}

void GridRun::end_pe(PeContext& pe) {
  if (pe.shared_made) kernel_.destroy(pe.shared);
  if (fault_order_.load() / PeContext::max_roles > pe.roles.front()->index) {
    try {
      if (pe.state->log != nullptr) pe.state->log->end();
      check_rings_drained(pe);
    } catch (...) {
      record(nullptr, pe, std::current_exception());
    }
  }
  for (const Role* role : pe.roles) pe.state->board.absorb(role->board);
  pe.state->role = nullptr;
  --workers_[pe.worker]->unfinished_pes;
  grid_.give_memory(pe.state->local);
}

void GridRun::one_less_active() {
  while (active_.fetch_sub(1, std::memory_order_acq_rel) == 1 && all_wait()) {
  }
}

// Every role waits or has ended, so this thread is alone until it wakes somebody. True: it did, and counts itself as
// active.
bool GridRun::all_wait() {
  if (unfinished_.load() == 0) {
    done_.store(true, std::memory_order_release);
    return false;
  }
  active_.fetch_add(1);
  if (fault_order_.load() == UINT64_MAX && between_.grant()) return true;
  if (fault_order_.load() == UINT64_MAX) {
    const PeContext* first = nullptr;
    for (uint32_t i = 0; i < count_ && first == nullptr; ++i) {
      if (grid_.pes[i]->unfinished != 0) first = grid_.pes[i].get();
    }
    const Role* waiting = *std::find_if(first->roles.begin(), first->roles.end(),
                                        [](const Role* role) { return role->state == RoleState::waiting; });
    record(waiting, *first,
           std::make_exception_ptr(Deadlock(
               deadlock_report(), "", "let every page that a role waits for be pushed, and every page be popped")));
  }
  abandon_all();
  return true;
}

void GridRun::abandon_all() {
  std::vector<Role*> waiting;
  for (uint32_t i = 0; i < count_; ++i) {
    for (Role* role : grid_.pes[i]->roles) {
      if (role->state == RoleState::waiting) waiting.push_back(role);
    }
  }
  for (Role* role : waiting) {
    role->abandoned = true;
    make_ready(*role);
  }
}

void GridRun::record(const Role* role, const PeContext& pe, std::exception_ptr error) {
  const uint64_t order =
      static_cast<uint64_t>(pe.roles.front()->index) * PeContext::max_roles + (role == nullptr ? 0 : role->number);
  error = described(role, pe, std::move(error));
  const std::lock_guard lock(fault_mutex_);
  if (order >= fault_order_.load()) return;
  fault_order_.store(order);
  fault_ = std::move(error);
}

__attribute__((noinline)) Role* GridRun::running() { return running_role; }

void wait(Role& role) {
  role.pe->run->leave(role, false);
  if (role.abandoned) throw Abandoned();
}

void wake(Role& role) { role.pe->run->make_ready(role); }

}  // namespace mtia::emulator
