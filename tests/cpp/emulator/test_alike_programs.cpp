// Programs and PEs that do the same: who is told to be alike, and that walking one of them changes no number.
#include <algorithm>

#include "base/error.h"
#include "emulator/machine.h"
#include "emulator/pe/pe_state.h"
#include "emulator/timing/launch_totals.h"
#include "emulator/timing_mode/alike_programs.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/stand_ins.h"
#include "test.h"

namespace {

using mtia::absent;
using mtia::DType;
using mtia::Opcode;
using mtia::ProgramBuilder;
using mtia::TileProgram;
using mtia::emulator::AlikePrograms;
using mtia::emulator::HostWork;
using mtia::emulator::KnownMemory;
using mtia::emulator::Launch;
using mtia::emulator::LaunchTotals;
using mtia::emulator::StandIns;
using mtia::emulator::TimedLaunch;
using mtia::emulator::Window;
using mtia::test::Machine;

constexpr uint32_t length = 64;

AlikePrograms analysed(const TileProgram& program) {
  return mtia::emulator::alike_programs(program, mtia::emulator::needed_values(program));
}

struct Numbered {
  ProgramBuilder b;
  uint32_t x, y, n, one, program;

  explicit Numbered(const char* name)
      : b(name),
        x(b.pointer("x")),
        y(b.pointer("y")),
        n(b.argument("n", DType::I64)),
        one(b.constant(DType::I64, 1)),
        program(extended(id())) {}

  uint32_t constant(int64_t value) { return b.constant(DType::I64, value); }
  uint32_t op(Opcode opcode, uint32_t left, uint32_t right) { return b.scalar_op(opcode, DType::I64, {left, right}); }
  uint32_t id() {
    const uint32_t d = b.scalar(DType::I32);
    b.emit(Opcode::program_id, {d}, {}, {0});
    return d;
  }
  uint32_t extended(uint32_t of) { return b.scalar_op(Opcode::extend_s, DType::I64, {of}); }
};

// y = x + 1, `length` elements a program, the last one fewer.
TileProgram adds() {
  Numbered p("adds");
  const uint32_t start = p.op(Opcode::mul_i, p.program, p.constant(length));
  const uint32_t left = p.op(Opcode::sub_i, p.n, start);
  const uint32_t tile = p.b.tile(DType::F32, {length}, 2);
  p.b.load(tile, p.x, {{p.one, absent, left, start}});
  p.b.emit(Opcode::add_f, {tile}, {tile, p.b.constant_f32(1.0F)});
  p.b.store(p.y, tile, {{p.one, absent, left, start}});
  return p.b.program();
}

// Sums of rows of n elements: a pointer that advances with the loop, from where the program's number says.
TileProgram row_sums() {
  Numbered p("row_sums");
  const uint32_t row = p.op(Opcode::mul_i, p.op(Opcode::mul_i, p.program, p.n), p.constant(4));
  const uint32_t pointer = p.b.scalar(DType::I64);
  const uint32_t tile = p.b.tile(DType::F32, {length}, 2);
  const uint32_t sums = p.b.tile(DType::F32, {length});
  const uint32_t index = p.b.scalar(DType::I64);
  p.b.emit(Opcode::copy, {sums}, {p.b.constant_f32(0.0F)});
  p.b.emit(Opcode::add_i, {pointer}, {p.x, row});
  p.b.emit(Opcode::for_begin, {index}, {p.constant(0), p.n, p.constant(length)}, {2});
  const uint32_t left = p.op(Opcode::sub_i, p.n, index);
  p.b.load(tile, pointer, {{p.one, absent, left}});
  p.b.emit(Opcode::add_f, {sums}, {sums, tile});
  p.b.emit(Opcode::add_i, {pointer}, {pointer, p.constant(4 * length)});
  p.b.emit(Opcode::end, {}, {});
  const uint32_t place = p.op(Opcode::mul_i, p.program, p.constant(4 * length));
  p.b.store(p.op(Opcode::add_i, p.y, place), sums, {{p.one}});
  return p.b.program();
}

// As many loads as the remainder of the program's number by three says.
TileProgram loads_by_number() {
  Numbered p("loads_by_number");
  const uint32_t count = p.op(Opcode::rem_s, p.program, p.constant(3));
  const uint32_t tile = p.b.tile(DType::F32, {length});
  const uint32_t index = p.b.scalar(DType::I64);
  p.b.emit(Opcode::copy, {tile}, {p.b.constant_f32(0.0F)});
  p.b.emit(Opcode::for_begin, {index}, {p.constant(0), count, p.one}, {1});
  p.b.load(tile, p.x, {{p.one}});
  p.b.emit(Opcode::end, {}, {});
  p.b.store(p.y, tile, {{p.one}});
  return p.b.program();
}

// y = x, with x's coordinates modulo n: programs that reach beyond n begin anew.
TileProgram wraps() {
  Numbered p("wraps");
  const uint32_t start = p.op(Opcode::mul_i, p.program, p.constant(length));
  const uint32_t tile = p.b.tile(DType::F32, {length});
  p.b.load(tile, p.x, {{p.one, absent, absent, start, p.n}});
  p.b.store(p.y, tile, {{p.one, absent, absent, start}});
  return p.b.program();
}

TEST(numbers_of_programs_move_addresses_bound_tiles_or_decide) {
  const AlikePrograms elementwise = analysed(adds());
  CHECK(elementwise.is_known && elementwise.deciding.empty());
  CHECK_EQ(elementwise.bounds.size(), 1U);
  CHECK_EQ(elementwise.bounds[0].high, length);
  CHECK_EQ(elementwise.transfers.size(), 2U);
  for (const auto& terms : elementwise.transfers) {
    CHECK_EQ(terms.size(), 1U);
    CHECK_EQ(terms[0].scale, 4);
    CHECK_EQ(terms[0].factors.size(), 1U);  // the stride
  }

  const AlikePrograms loop = analysed(row_sums());
  CHECK(loop.is_known && loop.deciding.empty() && loop.bounds.empty());
  CHECK_EQ(loop.transfers.size(), 2U);
  for (const auto& terms : loop.transfers) CHECK_EQ(terms.size(), 1U);

  const AlikePrograms counted = analysed(loads_by_number());
  CHECK(counted.is_known);
  CHECK_EQ(counted.deciding.size(), 1U);
  for (const auto& terms : counted.transfers) CHECK(terms.empty());
}

TEST(a_narrow_sum_in_a_loop_decides_for_it_may_overflow) {
  Numbered p("narrow");
  const uint32_t tile = p.b.tile(DType::F32, {length});
  const uint32_t start = p.b.scalar(DType::I32);
  const uint32_t index = p.b.scalar(DType::I64);
  p.b.emit(Opcode::copy, {start}, {p.id()});
  p.b.emit(Opcode::for_begin, {index}, {p.constant(0), p.n, p.one}, {1});
  p.b.load(tile, p.x, {{p.one, absent, absent, p.extended(start)}});
  p.b.emit(Opcode::add_i, {start}, {start, p.b.constant(DType::I32, length)});
  p.b.emit(Opcode::end, {}, {});
  const AlikePrograms found = analysed(p.b.program());
  CHECK(found.is_known);
  CHECK_EQ(found.deciding.size(), 1U);
  for (const auto& terms : found.transfers) CHECK(terms.empty());
}

TEST(what_memory_decides_is_not_alike) {
  Numbered p("decided");
  const uint32_t count = p.b.scalar(DType::I64);
  const uint32_t tile = p.b.tile(DType::F32, {length});
  p.b.load(count, p.x, {});
  p.b.load(tile, p.x, {{p.one, absent, count}});
  p.b.store(p.y, tile, {{p.one}});
  CHECK(!analysed(p.b.program()).is_known);
}

struct Estimate {
  LaunchTotals totals;
  bool multiplied;
};

Estimate estimated(Machine& machine, const Launch& launch, bool multiplies) {
  const KnownMemory nothing;
  const StandIns stand_ins{{}};
  const auto cache = machine.emulator().cache();
  TimedLaunch timed{&nothing, &stand_ins, HostWork::none, multiplies};
  machine.emulator().estimate(launch, timed);
  machine.emulator().set_cache(cache);
  return {machine.emulator().last_totals(), timed.multiplied};
}

void check_same(const LaunchTotals& a, const LaunchTotals& b) {
  CHECK_EQ(a.longest, b.longest);
  CHECK_EQ(a.femtojoules, b.femtojoules);
  CHECK_EQ(a.counts.instructions, b.counts.instructions);
  CHECK_EQ(a.counts.flops, b.counts.flops);
  CHECK(a.counts.busy_cycles == b.counts.busy_cycles);
  CHECK_EQ(a.windows.size(), b.windows.size());
  for (size_t i = 0; i < a.windows.size(); ++i) {
    const Window& x = a.windows[i];
    const Window& y = b.windows[i];
    CHECK(x.low == y.low && x.high == y.high);
    CHECK(x.bytes_read == y.bytes_read && x.bytes_written == y.bytes_written);
  }
}

struct Case {
  Machine machine;
  uint64_t x, y;

  Case(const mtia::ChipSpec& chip, size_t x_elements, size_t y_elements)
      : machine(2, chip),
        x(machine.put(std::vector<float>(x_elements, 1.0F))),
        y(machine.put(std::vector<float>(y_elements, -1.0F))) {}

  Launch launch(const TileProgram& program, uint64_t n, uint32_t programs) {
    Launch launch;
    launch.program = mtia::emulator::load_program(program, machine.emulator().chip());
    launch.grid = {programs, 1, 1};
    for (const uint64_t word : {x, y, n}) launch.arguments.push_back(word);
    for (const uint64_t address : {x, y}) launch.extents.push_back(machine.emulator().memory().allocation_of(address));
    return launch;
  }
};

TEST(walking_one_of_the_alike_changes_no_number) {
  for (const uint64_t alignment : {1, 32}) {
    mtia::ChipSpec chip = mtia::test::small_chip();
    chip.fabric_alignment_bytes = alignment;
    chip.fabric_misaligned_row_cycles = 3;
    struct Sample {
      TileProgram program;
      uint64_t n;
      uint32_t programs;
      bool multiplies;
    };
    const uint64_t ragged = 37 * length - 13;
    // Rows of 101 elements lie at eight places between aligned addresses, so that no PE is like another one.
    const Sample samples[] = {
        {adds(), ragged, 37, true},       {row_sums(), 104, 23, true}, {row_sums(), 101, 23, alignment == 1},
        {loads_by_number(), 0, 24, true}, {wraps(), ragged, 37, true}, {wraps(), 5 * length + 7, 37, false},
        {adds(), 3 * length, 3, true},    {adds(), length, 1, false}};
    for (const Sample& sample : samples) {
      Case of(chip, std::max<uint64_t>(sample.n * sample.programs, 4096), uint64_t{sample.programs} * length);
      const Launch launch = of.launch(sample.program, sample.n, sample.programs);
      const Estimate plain = estimated(of.machine, launch, false);
      const Estimate shared = estimated(of.machine, launch, true);
      CHECK(!plain.multiplied);
      CHECK_EQ(shared.multiplied, sample.multiplies);
      check_same(shared.totals, plain.totals);
      of.machine.run(launch);  // holds the account of the functional run too
    }
  }
}

TEST(who_reaches_beyond_a_tensor_is_named_though_another_was_walked) {
  Case of(mtia::test::small_chip(), 4096, 7 * length);
  const Launch launch = of.launch(adds(), 64 * length, 8);
  for (const bool multiplies : {false, true}) {
    try {
      estimated(of.machine, launch, multiplies);
      CHECK(false);
    } catch (const mtia::OutOfBounds& error) {
      CHECK(std::string(error.what()).find("program (7, 0, 0) on PE 3") != std::string::npos);
    }
  }
  of.machine.run(of.launch(adds(), 7 * length, 8));
}

}  // namespace
