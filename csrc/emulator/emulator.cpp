// Launches: deals the programs of a grid to PEs and PEs to host threads, and adds up what they cost.
#include "emulator/emulator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <span>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/checks/checker.h"
#include "emulator/grid/arena.h"
#include "emulator/grid/program_turns.h"
#include "emulator/grid/worker_pool.h"
#include "emulator/inspection/call_observer.h"
#include "emulator/inspection/instruction_observer.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/pe/dot_product_engine/operand_packs.h"
#include "emulator/pe/processing_element.h"
#include "emulator/refusal.h"
#include "emulator/tile_kernels/grid_run.h"
#include "emulator/timing/launch_totals.h"
#include "emulator/timing_mode/alike_pes.h"
#include "emulator/timing_mode/remembered_launches.h"
#include "emulator/timing_mode/shared_work.h"
#include "emulator/timing_mode/timed_program.h"
#include "emulator/tolerance.h"
#include "emulator/trace.h"
#include "program/disassemble.h"

namespace mtia::emulator {

namespace {

// The first fault of a launch in program order; later programs stop when they see one before them.
struct Fault {
  std::mutex mutex;
  std::atomic<uint64_t> program{UINT64_MAX};
  std::exception_ptr error;

  void record(uint64_t number, std::exception_ptr caught) {
    std::lock_guard lock(mutex);
    if (number >= program.load()) return;
    program.store(number);
    error = std::move(caught);
  }
};

}  // namespace

namespace {

// Whether its programs may wait for one another, which they can only where they start in order.
bool may_wait(const TileProgram& program) {
  return std::any_of(program.instructions.begin(), program.instructions.end(),
                     [](const Instruction& instruction) { return instruction.opcode == Opcode::while_begin; });
}

}  // namespace

struct Emulator::State {
  State(const ChipSpec& spec, WorkerPool& workers)
      : chip(spec),
        costs(spec),
        pool(workers),
        memory(spec.dram_bytes),
        cache(std::make_unique<SramCache>(spec.sram_cache_bytes)),
        arenas(workers.threads()),
        pes(spec.pe_count()),
        tolerated(spec.pe_count()) {
    for (uint32_t i = 0; i < pes.size(); ++i) {
      pes[i].pe = i;
      pes[i].chip = &chip;
      pes[i].costs = &costs;
      pes[i].memory = &memory;
      pes[i].cache = cache.get();
    }
    kernel_layout.overlap_first.push_back(0);
    kernel_layout.takes_turns = costs.takes_turns();
  }

  ChipSpec chip;
  CostModel costs;
  WorkerPool& pool;
  DeviceMemory memory;
  std::unique_ptr<SramCache> cache;
  std::vector<Arena> arenas;
  std::deque<Arena> waiting_arenas;  // of programs that run while others wait for them
  StackPool stacks;
  std::vector<PeState> pes;
  SlotLayout kernel_layout;
  PrintSink print;
  AccessListener* journal = nullptr;
  CallObserver* calls = nullptr;
  std::mutex launching;
  static constexpr size_t few_windows = 16;
  std::vector<Window> windows;  // of the launch that runs
  bool sorted_windows = false;
  LaunchTotals totals;  // of the launch that ran last
  RoleGrid roles;
  OperandPacks packs;
  Checker* checker = nullptr;
  LaunchTrace* trace = nullptr;       // of the launch that runs
  TimedLaunch* timed = nullptr;       // of one in timing mode
  SharedWork* shared_work = nullptr;  // of one of a C++ kernel
  std::vector<Tolerated> tolerated;   // by PE
  uint32_t used = 0;                  // PEs of the launch that ran last

  void begin_pe(PeState& pe, const Launch& launch, const SlotLayout& layout) {
    pe.board.reset(&layout, costs.issue_cost(), costs.scalar_cost());
    pe.board.set_trace(trace == nullptr ? nullptr : trace->of(pe.pe));
    pe.issuing = &pe.board;
    pe.log = checker == nullptr ? nullptr : &checker->log_of(pe.pe);
    pe.fixed_windows = !launch.extents.empty();
    pe.sorted_windows = sorted_windows;
    tolerated[pe.pe].program = UINT64_MAX;
    pe.last_window = 0;
    pe.journal = journal;
    pe.calls = calls;
    pe.packs = timed == nullptr ? &packs : nullptr;
    pe.host_work = timed == nullptr ? HostWork::all : timed->work;
    pe.timed = timed == nullptr ? TimedValues{} : TimedValues{timed->known, timed->stand_ins};
    pe.shared_work = shared_work;
    pe.cache = cache.get();
    pe.windows = windows;
  }

  // What every PE of a launch finds before its first access: a window for each extent. Many are put in order, each
  // once, so that one is found by halving.
  void prepare_windows(const Launch& launch) {
    windows.clear();
    sorted_windows = false;
    SmallArray<AddressRange, 8> ranges = launch.extents;
    if (ranges.size() > few_windows) {
      std::sort(ranges.begin(), ranges.end(), [](const AddressRange& a, const AddressRange& b) {
        return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
      });
      const auto* end = std::unique(ranges.begin(), ranges.end(), [](const AddressRange& a, const AddressRange& b) {
        return a.begin == b.begin && a.end == b.end;
      });
      ranges.resize(static_cast<size_t>(end - ranges.begin()));
      sorted_windows =
          std::adjacent_find(ranges.begin(), ranges.end(), [](const AddressRange& a, const AddressRange& b) {
            return a.end > b.begin;
          }) == ranges.end();
    }
    for (const AddressRange& range : ranges) {
      Window window;
      window.range = range;
      window.resident = cache->resident_fraction(range.begin, range.end) >= 0.5;
      windows.push_back(window);
    }
  }

  Frame make_frame(const LoadedProgram& program, const Launch& launch, Arena& arena) {
    Frame frame;
    frame.base[0] = arena.local.get(std::max<uint64_t>(chip.local_memory_bytes, program.program.local_memory_bytes));
    frame.base[1] = arena.scalars.get(program.scalars.size() * 8 + 8);
    frame.strips = arena.strips.get(program.strip_bytes + 64);
    frame.scratch = arena.scratch.get(program.scratch_bytes + 64);
    frame.loops = reinterpret_cast<LoopState*>(arena.loops.get((program.loop_count + 1) * sizeof(LoopState)));
    frame.lazy = reinterpret_cast<LazyTile*>(arena.lazy.get((program.program.values.size() + 1) * sizeof(LazyTile)));
    frame.program = &program;
    frame.grid = launch.grid;
    frame.print = print;
    std::copy(program.scalars.begin(), program.scalars.end(), frame.scalars());
    for (size_t i = 0; i < launch.arguments.size(); ++i)
      frame.scalars()[program.program.arguments[i].value] = launch.arguments[i];
    return frame;
  }

  // Runs one program; a fault is described with kernel, program, PE, instruction and source line.
  bool run_program(Frame& frame, PeState& pe, uint64_t number, uint64_t loop_limit, Fault& fault) {
    frame.pe = &pe;
    frame.tolerated = frame.program->tolerates_out_of_bounds ? &tolerated[pe.pe] : nullptr;
    frame.loop_limit = frame.loops_left = loop_limit;
    frame.id = {static_cast<uint32_t>(number % frame.grid[0]),
                static_cast<uint32_t>(number / frame.grid[0] % frame.grid[1]),
                static_cast<uint32_t>(number / frame.grid[0] / frame.grid[1])};
    pe.board.begin_program(costs.program_cost());
    if (pe.log != nullptr) pe.log->begin(number, frame.id);
    if (PeTrace* pe_trace = pe.board.trace()) pe_trace->begin_program(number);
    const LoadedProgram& program = *frame.program;
    // Arguments are parameters, which a program may overwrite like any register.
    const Op* op = program.ops.data();
    try {
      if (program.observer != nullptr) {
        while (op != nullptr) op = observed_step(op, frame);
      }
      // What the next instruction reads was driven out of the first-level cache by the tiles since it last ran.
      const Op* const last = &program.ops.back();
      while (op != nullptr) {
        if (op != last) {
          __builtin_prefetch(op[1].detail);
          __builtin_prefetch(op[1].tick);
        }
        op = op->run(op, frame);
      }
      if (pe.log != nullptr) pe.log->end();
      return true;
    } catch (const Abandoned&) {
      return false;
    } catch (const StoppedByCheck& stopped) {
      frame.fault = UINT32_MAX;
      fault.record(number, stopped.error);
    } catch (const Error& error) {
      const uint32_t index = frame.fault != UINT32_MAX ? frame.fault : op->instruction;
      frame.fault = UINT32_MAX;
      const Instruction& instruction = program.program.instructions[index];
      const std::string line = program.program.location_of(instruction);
      const std::string where = concat("kernel ", program.program.name, ", program (", frame.id[0], ", ", frame.id[1],
                                       ", ", frame.id[2], ") on PE ", pe.pe, line.empty() ? "" : ", ", line,
                                       ", instruction ", index, " `", disassemble(program.program, instruction), "`");
      try {
        if (dynamic_cast<const Refusal*>(&error) != nullptr)
          throw Refusal(error.category(), error.problem(), where, error.remedy());
        throw_error(error.category(), error.problem(), where, error.remedy());
      } catch (...) {
        fault.record(number, std::current_exception());
      }
    } catch (...) {
      fault.record(number, std::current_exception());
    }
    return false;
  }

  // Runs all Ops of one instruction: waits for its operands stand before it, a delay behind it.
  static const Op* observed_step(const Op* op, Frame& frame) {
    const LoadedProgram& program = *frame.program;
    if (op == &program.ops.back()) return nullptr;  // the end of the program is no instruction
    InstructionObserver& observer = *program.observer;
    const Step step(frame, op->instruction);
    observer.before(step);
    const Op* next = op->run(op, frame);
    for (; next == op + 1 && next->instruction == op->instruction && next != &program.ops.back(); op = next)
      next = next->run(next, frame);
    observer.after(step);
    return next;
  }

  struct Job {
    State* state;
    const Launch* launch;
    const LoadedProgram* program;
    Fault* fault;
    uint64_t programs;
    uint32_t pes;
    std::span<const uint32_t> walked{};  // the PEs that run; empty: all of them
    AlikePes* alike = nullptr;
  };

  // The programs of an ordered or observed launch, each on its own PE, those that wait with an arena of their own.
  struct Ordered final : ProgramTurns::Client {
    State& state;
    const Launch& launch;
    const LoadedProgram& program;
    Fault& fault;
    ProgramTurns turns;
    std::deque<Frame> frames{};  // by place

    Ordered(State& of, const Job& job, uint64_t shuffle)
        : state(of),
          launch(*job.launch),
          program(*job.program),
          fault(*job.fault),
          turns(*this, of.stacks, job.programs, job.pes, shuffle) {}

    bool wants(uint64_t number) override { return program.observer == nullptr || program.observer->wants(number); }

    bool run(uint64_t number, size_t place) override {
      while (state.waiting_arenas.size() < place) state.waiting_arenas.emplace_back();
      while (frames.size() <= place) {
        Arena& arena = frames.empty() ? state.arenas[0] : state.waiting_arenas[frames.size() - 1];
        Frame& frame = frames.emplace_back(state.make_frame(program, launch, arena));
        if (program.ordered) frame.starvation = {[](void* all) { static_cast<ProgramTurns*>(all)->spin(); }, &turns};
      }
      return state.run_program(frames[place], state.pes[number % turns.pes()], number, launch.loop_limit, fault);
    }

    void resumed(uint32_t pe, uint32_t after) override { state.pes[pe].board.wait_until(state.pes[after].board.now()); }
  };

  // One PE: its programs in order.
  static void run_pe(void* context, uint64_t item, unsigned thread) {
    const Job& job = *static_cast<const Job*>(context);
    State& state = *job.state;
    const uint32_t index = job.walked.empty() ? static_cast<uint32_t>(item) : job.walked[item];
    PeState& pe = state.pes[index];
    try {
      state.begin_pe(pe, *job.launch, job.program->layout);
      Frame frame = state.make_frame(*job.program, *job.launch, state.arenas[thread]);
      for (uint64_t number = index; number < job.programs; number += job.pes) {
        if (job.fault->program.load(std::memory_order_relaxed) < number) return;
        if (job.alike != nullptr) pe.timed.ranges = job.alike->ranges_of(index, number);
        if (!state.run_program(frame, pe, number, job.launch->loop_limit, *job.fault)) return;
      }
    } catch (...) {
      job.fault->record(item, std::current_exception());
    }
  }

  // Whether PEs that do the same may be walked once.
  bool can_multiply(const Launch& launch) const {
    return timed != nullptr && timed->multiplies && trace == nullptr && journal == nullptr && calls == nullptr &&
           !launch.extents.empty() && (sorted_windows || are_apart(launch));
  }

  // In timing mode: walks one of the PEs that do the same and gives the others its account. False where that cannot be
  // told, or something faults: then nothing was done.
  bool run_alike(Job job) {
    if (!can_multiply(*job.launch) || timed->program == nullptr || job.program->tolerates_out_of_bounds) return false;
    AlikePes alike(*timed->program, job.programs, job.pes);
    if (!alike.is_worthwhile()) return false;
    PeState numbering;
    numbering.board.reset(&job.program->layout, 0, 0);
    Frame frame = make_frame(*job.program, *job.launch, arenas[0]);
    frame.pe = &numbering;
    alike.find(frame);
    if (alike.walked().size() == job.pes) return false;
    Fault fault;
    job.fault = &fault;
    job.alike = &alike;
    job.walked = alike.walked();
    pool.run(job.walked.size(), run_pe, &job);
    if (fault.error != nullptr) return false;
    const std::vector<uint32_t> left = alike.share(std::span(pes).first(job.pes));
    job.alike = nullptr;
    job.walked = left;
    if (!left.empty()) pool.run(left.size(), run_pe, &job);
    timed->multiplied = alike.walked().size() + left.size() < job.pes;
    return fault.error == nullptr;
  }

  static void run_kernel_pe(void* context, uint64_t item, unsigned thread) {
    const Job& job = *static_cast<const Job*>(context);
    State& state = *job.state;
    PeState& pe = state.pes[item];
    if (job.fault->program.load(std::memory_order_relaxed) < item) return;
    try {
      state.begin_pe(pe, *job.launch, state.kernel_layout);
      if (state.calls != nullptr && !state.calls->wants(static_cast<uint32_t>(item))) return;
      pe.local = state.arenas[thread].local.get(state.chip.local_memory_bytes);
      pe.local_used = 0;
      pe.pages.clear();
      pe.page_floor = 0;
      pe.board.begin_program(0);
      if (pe.log != nullptr) pe.log->begin(item, {});
      if (PeTrace* pe_trace = pe.board.trace()) pe_trace->begin_program(item);
      ProcessingElement element(pe, static_cast<uint32_t>(item), job.pes);
      job.launch->kernel->entry(element, job.launch->arguments.data());
      if (pe.log != nullptr) pe.log->end();
    } catch (const StoppedByCheck& stopped) {
      job.fault->record(item, stopped.error);
    } catch (const Error& error) {
      const std::string where = concat("kernel ", job.launch->kernel->name, " on PE ", pe.pe,
                                       error.where().empty() ? "" : ", ", error.where());
      try {
        throw_error(error.category(), error.problem(), where, error.remedy());
      } catch (...) {
        job.fault->record(item, std::current_exception());
      }
    } catch (...) {
      job.fault->record(item, std::current_exception());
    }
  }

  void run_kernel_pes(Job& job) {
    SharedWork shared;
    if (can_multiply(*job.launch) && timed->work == HostWork::none) shared_work = &shared;
    pool.run(job.pes, run_kernel_pe, &job);
    shared_work = nullptr;
    if (job.fault->error != nullptr) return;
    if (timed != nullptr) timed->multiplied = shared.followers() > 0;
    shared.share(std::span(pes).first(job.pes));
  }

  // A kernel of roles; returns the number of PEs that took part.
  uint32_t run_roles(const Launch& launch, Fault& fault) {
    struct Start {
      State* state;
      const Launch* launch;
    } start{this, &launch};
    GridRun run(roles, launch, pes,
                {[](void* context, PeState& pe) {
                   const Start& of = *static_cast<Start*>(context);
                   of.state->begin_pe(pe, *of.launch, of.state->kernel_layout);
                 },
                 &start},
                checker);
    fault.error = run.run(pool);
    return run.pe_count();
  }

  // Tells of the first access of a launch that was outside of its memory.
  void warn_of_tolerated(const LoadedProgram& program, uint32_t used) {
    const Tolerated* first = nullptr;
    for (uint32_t i = 0; i < used; ++i) {
      if (first == nullptr || tolerated[i].program < first->program) first = &tolerated[i];
    }
    if (first != nullptr && first->program != UINT64_MAX) warn_of(program, *first);
  }

  void add_up(uint32_t used) {
    totals.counts = LaunchAccount{};
    totals.counts.launches = 1;
    totals.longest = 0;
    totals.femtojoules = 0;
    totals.windows.clear();  // keeps its memory: one is filled for each launch
    std::vector<Window>& merged = totals.windows;
    if (sorted_windows) merged = windows;  // distinct, and the same ones in every PE
    for (uint32_t i = 0; i < used; ++i) {
      const PeState& pe = pes[i];
      const PeCounters counters = pe.board.counters();
      totals.counts.instructions += counters.instructions;
      totals.counts.flops += counters.flops;
      totals.counts.dot_flops += counters.dot_flops;
      totals.counts.bytes.local_memory += counters.local_bytes;
      totals.femtojoules += counters.femtojoules;
      for (size_t unit = 0; unit < unit_count; ++unit) totals.counts.busy_cycles[unit] += counters.busy[unit] / cycle;
      totals.longest = std::max(totals.longest, pe.board.finish());
      for (size_t number = 0; number < pe.windows.size(); ++number) {
        const Window& window = pe.windows[number];
        if (window.high == 0) continue;
        if (sorted_windows) {
          merged[number].merge(window);
          continue;
        }
        const auto same = std::find_if(merged.begin(), merged.end(), [&](const Window& w) {
          return w.range.begin == window.range.begin && w.range.end == window.range.end;
        });
        same == merged.end() ? merged.push_back(window) : same->merge(window);
      }
    }
    std::sort(merged.begin(), merged.end(), [](const Window& a, const Window& b) {
      return a.range.begin != b.range.begin ? a.range.begin < b.range.begin : a.range.end < b.range.end;
    });
  }
};

Emulator::Emulator(const ChipSpec& chip, WorkerPool& pool) : state_(std::make_unique<State>(chip, pool)) {}
Emulator::~Emulator() = default;

const ChipSpec& Emulator::chip() const { return state_->chip; }
DeviceMemory& Emulator::memory() { return state_->memory; }

void Emulator::set_print_sink(void (*sink)(std::string_view, void*), void* context) { state_->print = {sink, context}; }

void Emulator::set_checker(Checker* checker) {
  std::lock_guard lock(state_->launching);
  state_->checker = checker;
}

void Emulator::set_journal(AccessListener* journal) { state_->journal = journal; }
void Emulator::set_call_observer(CallObserver* observer) { state_->calls = observer; }

LaunchAccount Emulator::run(const Launch& launch, LaunchTrace* trace, const CommandOrder* order) {
  const std::lock_guard lock(state_->launching);
  return run_locked(launch, trace, order);
}

LaunchAccount Emulator::estimate(const Launch& launch, TimedLaunch& timed_launch, LaunchTrace* trace) {
  State& state = *state_;
  const std::lock_guard lock(state.launching);
  state.timed = &timed_launch;
  const auto done = [&state](void*) { state.timed = nullptr; };
  const std::unique_ptr<void, decltype(done)> guard(&state, done);
  LaunchAccount account;
  if (launch.program != nullptr) {
    Launch twin = launch;
    timed_launch.program = &timed(*launch.program);
    twin.program = timed_launch.program->program;
    account = run_locked(twin, trace, nullptr);
  } else {
    account = run_locked(launch, trace, nullptr);
  }
  for (const PeState& pe : std::span(state.pes).first(state.used)) {
    timed_launch.reads_contents |= pe.timed.reads_contents;
    timed_launch.uses_stand_ins |= pe.timed.uses_stand_ins;
  }
  return account;
}

LaunchAccount Emulator::charge(const LaunchTotals& totals) {
  const std::lock_guard lock(state_->launching);
  return charged(totals, *state_->cache, state_->chip);
}

const LaunchTotals& Emulator::last_totals() const { return state_->totals; }

std::shared_ptr<const SramCache> Emulator::cache() const { return std::make_shared<SramCache>(*state_->cache); }

void Emulator::set_cache(std::shared_ptr<const SramCache> contents) {
  state_->cache = std::make_unique<SramCache>(*contents);
}

bool Emulator::is_resident(AddressRange range) const {
  return state_->cache->resident_fraction(range.begin, range.end) >= 0.5;
}

LaunchAccount Emulator::run_locked(const Launch& launch, LaunchTrace* trace, const CommandOrder* order) {
  State& state = *state_;
  state.trace = trace;
  state.prepare_windows(launch);
  if (state.checker != nullptr) state.checker->begin_launch(order != nullptr ? *order : CommandOrder{}, launch);
  state.packs.clear();
  Fault fault;
  State::Job job{&state, &launch, launch.program.get(), &fault, 0, state.chip.pe_count()};
  uint32_t used = 0;
  if (launch.kernel != nullptr) {
    const size_t words = (launch.kernel->argument_bytes + 7) / 8;
    if (launch.arguments.size() != words) {
      throw InvalidArgument(concat("kernel ", launch.kernel->name, " takes ", launch.kernel->argument_bytes,
                                   " bytes of arguments, the launch has ", launch.arguments.size() * 8));
    }
    if (launch.kernel->entry == nullptr) {
      used = state.run_roles(launch, fault);
    } else {
      used = launch.grid[0] == 0 ? job.pes : std::min(launch.grid[0], job.pes);
      job.pes = used;
      job.programs = used;
      state.run_kernel_pes(job);
    }
  } else {
    if (launch.program == nullptr) throw InvalidArgument("a launch needs a program or a kernel");
    const LoadedProgram& program = *launch.program;
    if (launch.arguments.size() != program.parameters.size()) {
      throw InvalidArgument(concat("kernel ", program.program.name, " takes ", program.parameters.size(),
                                   " arguments, the launch has ", launch.arguments.size()));
    }
    if (program.costs.chip() != state.chip) {
      throw InvalidArgument(concat("kernel ", program.program.name, " was loaded for ", program.costs.chip().name,
                                   ", this device is ", state.chip.name),
                            "", "load the program for the device's chip");
    }
    const unsigned __int128 wide = static_cast<unsigned __int128>(launch.grid[0]) * launch.grid[1] * launch.grid[2];
    if (wide > uint64_t{1} << 40)
      throw InvalidArgument(
          concat("grid of ", launch.grid[0], " x ", launch.grid[1], " x ", launch.grid[2], " programs is too large"));
    job.programs = static_cast<uint64_t>(wide);
    used = static_cast<uint32_t>(std::min<uint64_t>(job.programs, job.pes));
    if (program.observer != nullptr) program.observer->begin_launch(used);
    if (program.observer != nullptr || (program.ordered && job.programs > 1)) {
      for (uint32_t i = 0; i < used; ++i) state.begin_pe(state.pes[i], launch, program.layout);
      const bool shuffle = state.checker != nullptr && program.observer == nullptr && !may_wait(program.program);
      State::Ordered(state, job, shuffle ? state.checker->seed() : 0).turns.run();
    } else {
      job.pes = used;
      if (!state.run_alike(job)) state.pool.run(used, State::run_pe, &job);
    }
  }
  if (state.checker != nullptr) state.checker->end_launch(fault.error != nullptr);
  if (launch.program != nullptr && launch.program->tolerates_out_of_bounds)
    state.warn_of_tolerated(*launch.program, used);
  if (fault.error) std::rethrow_exception(fault.error);
  state.used = used;
  state.add_up(used);
  LaunchAccount account = charged(state.totals, *state.cache, state.chip);
  if (launch.program != nullptr && launch.program->observer != nullptr)
    launch.program->observer->end_launch(state.pes.data(), account);
  return account;
}

LaunchAccount Emulator::account_transfer(uint64_t address, uint64_t bytes, bool write) {
  State& state = *state_;
  std::lock_guard lock(state.launching);
  Window window;
  window.range = {address, address + bytes};
  window.low = address;
  window.high = address + bytes;
  (write ? window.bytes_written : window.bytes_read) = bytes;
  LaunchAccount account;
  state.cache->use(window, account.bytes);
  finish(account, 0, 0, 0, state.chip);
  return account;
}

LaunchAccount Emulator::flush_cache() {
  State& state = *state_;
  std::lock_guard lock(state.launching);
  LaunchAccount account;
  state.cache->flush(account.bytes);
  finish(account, 0, 0, 0, state.chip);
  return account;
}

}  // namespace mtia::emulator
