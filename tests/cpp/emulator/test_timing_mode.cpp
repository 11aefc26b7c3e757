// Timing mode: what is known, what stands in, which values an account depends on, launches that are remembered.
#include <algorithm>
#include <cmath>
#include <random>

#include "emulator/machine.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/needed_values.h"
#include "emulator/timing_mode/stand_ins.h"
#include "emulator/timing_mode/timing_mode.h"
#include "test.h"

namespace {

using mtia::absent;
using mtia::DType;
using mtia::Opcode;
using mtia::ProgramBuilder;
using mtia::emulator::AddressRange;
using mtia::emulator::KnownMemory;
using mtia::emulator::Launch;
using mtia::emulator::LaunchAccount;
using mtia::emulator::needed_for_control;
using mtia::emulator::needed_for_loop;
using mtia::emulator::StandIns;
using mtia::emulator::StandInSettings;
using mtia::emulator::TimingMode;
using mtia::test::Machine;

constexpr uint32_t length = 64;

TEST(a_set_of_ranges_agrees_with_a_bit_a_byte) {
  constexpr size_t bytes = 200;
  std::mt19937 generator(11);
  const auto place = [&] { return std::uniform_int_distribution<uint64_t>(0, bytes)(generator); };
  KnownMemory known;
  std::vector<bool> expected(bytes, false);
  for (int step = 0; step < 3000; ++step) {
    uint64_t low = place();
    uint64_t high = place();
    if (low > high && step % 7 != 0) std::swap(low, high);
    const AddressRange range{low, high};
    const bool adds = step % 3 != 0;
    adds ? known.add(range) : known.remove(range);
    for (uint64_t i = low; i < high; ++i) expected[i] = adds;
    const uint64_t first = std::min(place(), place());
    const uint64_t end = std::min<uint64_t>(bytes, first + 1 + step % 20);
    bool all = true;
    bool any = false;
    for (uint64_t i = first; i < end; ++i) {
      all = all && expected[i];
      any = any || expected[i];
    }
    CHECK_EQ(known.covers({first, end}), all);
    CHECK_EQ(known.touches({first, end}), any);
  }
}

TEST(stand_ins_follow_their_law_and_repeat) {
  StandInSettings settings;
  settings.mask = 0.3;
  const StandIns uniform(settings);
  double sum = 0;
  double arguments = 0;
  uint64_t trues = 0;
  constexpr uint64_t draws = 20000;
  for (uint64_t i = 0; i < draws; ++i) {
    const uint64_t index = uniform.index(1000, i);
    CHECK(index < 1000 && index == uniform.index(1000, i));
    sum += static_cast<double>(index);
    uint8_t flag = 2;
    uniform.fill(0, DType::I1, reinterpret_cast<std::byte*>(&flag), 1, i);
    trues += flag;
    float number = -1;
    uniform.fill(needed_for_control, DType::F32, reinterpret_cast<std::byte*>(&number), 1, i);
    CHECK_EQ(number, 0.0F);
    uniform.fill(needed_for_control | needed_for_loop, DType::F32, reinterpret_cast<std::byte*>(&number), 1, i);
    CHECK(number >= 0);
    arguments += number;
    int64_t trips = 0;
    uniform.fill(needed_for_control | needed_for_loop, DType::I64, reinterpret_cast<std::byte*>(&trips), 1, i);
    CHECK_EQ(trips, 1);
  }
  CHECK(std::abs(arguments / draws - 2) < 0.05);
  CHECK(std::abs(sum / draws - 499.5) < 10);
  CHECK(std::abs(static_cast<double>(trues) / draws - 0.3) < 0.02);

  settings.indices = StandInSettings::Indices::zipf;
  settings.exponent = 1.0;
  const StandIns zipf(settings);
  uint64_t firsts = 0;
  for (uint64_t i = 0; i < draws; ++i) firsts += zipf.index(1000, i) == 0 ? 1 : 0;
  // Of the continuous law: log 2 / log 1001.
  CHECK(std::abs(static_cast<double>(firsts) / draws - std::log(2.0) / std::log(1001.0)) < 0.01);

  settings.indices = StandInSettings::Indices::quantiles;
  settings.quantiles = {0.0, 0.25, 1.0};  // half of all draws in the first quarter
  const StandIns quantiles(settings);
  uint64_t low = 0;
  for (uint64_t i = 0; i < draws; ++i) low += quantiles.index(1000, i) < 250 ? 1 : 0;
  CHECK(std::abs(static_cast<double>(low) / draws - 0.5) < 0.02);
  CHECK_EQ(quantiles.index(1, 5), 0U);
}

// y[i] = x[index[i]] + 1 for the elements of one tile.
mtia::TileProgram gathers() {
  ProgramBuilder b("gathers");
  const uint32_t x = b.pointer("x");
  const uint32_t index = b.pointer("index");
  const uint32_t y = b.pointer("y");
  const uint32_t one = b.constant(DType::I64, 1);
  const uint32_t offsets = b.tile(DType::I64, {length});
  const uint32_t taken = b.tile(DType::F32, {length});
  const uint32_t sums = b.tile(DType::F32, {length});
  const uint32_t addend = b.constant_f32(1.0F);
  b.emit(Opcode::dma_load, {offsets}, {index, absent, absent, one, absent, absent, absent, absent}, {0});
  b.emit(Opcode::gather, {taken}, {x, offsets, absent, absent}, {0});
  b.emit(Opcode::add_f, {sums}, {taken, addend});
  b.emit(Opcode::dma_store, {}, {y, sums, absent, one, absent, absent, absent, absent}, {0});
  return b.program();
}

TEST(an_account_needs_offsets_and_no_data) {
  const mtia::emulator::NeededValues needed = mtia::emulator::needed_values(gathers());
  CHECK(needed.instructions[0] == mtia::emulator::needed_for_address);  // the load of the offsets
  for (size_t i = 1; i < needed.instructions.size(); ++i) CHECK_EQ(needed.instructions[i], 0);
  CHECK(!needed.atomics_decide && !needed.loads_decide);
}

struct Arrays {
  Machine& machine;
  uint64_t x, index, y;

  explicit Arrays(Machine& of)
      : machine(of),
        x(of.put(std::vector<float>(100000, 2.0F))),
        index(of.put(std::vector<int64_t>(length, 7))),
        y(of.put(std::vector<float>(length, -1.0F))) {}

  Launch launch() const {
    Launch launch;
    launch.program = mtia::emulator::load_program(gathers(), machine.emulator().chip());
    for (const uint64_t address : {x, index, y}) {
      launch.arguments.push_back(address);
      launch.extents.push_back(machine.emulator().memory().allocation_of(address));
    }
    return launch;
  }
};

TEST(what_is_known_is_computed_and_what_is_not_stands_in) {
  Machine machine;
  const Arrays arrays(machine);
  TimingMode timing(machine.emulator(), true, uint64_t{1} << 20);
  for (const uint64_t address : {arrays.x, arrays.index}) {
    timing.arrived(machine.emulator().memory().allocation_of(address), true);
  }
  timing.run(arrays.launch(), nullptr, nullptr);
  CHECK_EQ(timing.statistics().computed, 1U);
  CHECK(timing.knows({arrays.y, arrays.y + length * 4}));
  CHECK_EQ(machine.get<float>(arrays.y, 1)[0], 3.0F);

  // Without x the offsets still decide: they are read, and nothing stands in.
  timing.arrived(machine.emulator().memory().allocation_of(arrays.x), false);
  timing.run(arrays.launch(), nullptr, nullptr);
  CHECK_EQ(timing.statistics().stood_in, 0U);
  CHECK(!timing.knows({arrays.y, arrays.y + length * 4}));
  CHECK_EQ(machine.get<float>(arrays.y, 1)[0], 0.0F);  // a placeholder

  timing.arrived(machine.emulator().memory().allocation_of(arrays.index), false);
  timing.run(arrays.launch(), nullptr, nullptr);
  CHECK_EQ(timing.statistics().stood_in, 1U);
  CHECK(timing.statistics().stand_in_seconds > 0);
  CHECK_EQ(timing.statistics().launches, 3U);
}

// y = x + 1 over several programs.
mtia::TileProgram adds() {
  ProgramBuilder b("adds");
  const uint32_t x = b.pointer("x");
  const uint32_t y = b.pointer("y");
  const uint32_t scale = b.argument("scale", DType::F32);
  const uint32_t one = b.constant(DType::I64, 1);
  const uint32_t tile = b.tile(DType::F32, {length});
  b.emit(Opcode::dma_load, {tile}, {x, absent, absent, one, absent, absent, absent, absent}, {0});
  b.emit(Opcode::mul_f, {tile}, {tile, scale});
  b.emit(Opcode::dma_store, {}, {y, tile, absent, one, absent, absent, absent, absent}, {0});
  return b.program();
}

TEST(a_launch_is_remembered_by_what_its_account_depends_on) {
  Machine machine;
  TimingMode timing(machine.emulator(), true, 16);
  TimingMode walking(machine.emulator(), false, 16);
  const auto program = mtia::emulator::load_program(adds(), machine.emulator().chip());
  const auto launch_of = [&](uint64_t x, uint64_t y, uint64_t scale) {
    Launch launch;
    launch.program = program;
    for (const uint64_t word : {x, y, scale}) launch.arguments.push_back(word);
    for (const uint64_t address : {x, y}) launch.extents.push_back(machine.emulator().memory().allocation_of(address));
    return launch;
  };
  const auto array = [&] { return machine.put(std::vector<float>(length, 1.0F)); };
  const uint64_t a = array(), b = array(), c = array(), d = array();
  machine.emulator().flush_cache();
  timing.run(launch_of(a, b, 1), nullptr, nullptr);
  CHECK_EQ(timing.statistics().remembered, 0U);
  machine.emulator().flush_cache();
  // Other tensors, which lie alike, and another number that no address depends on.
  const LaunchAccount again = timing.run(launch_of(c, d, 2), nullptr, nullptr);
  CHECK_EQ(timing.statistics().remembered, 1U);
  machine.emulator().flush_cache();
  const LaunchAccount walked = walking.run(launch_of(c, d, 2), nullptr, nullptr);
  CHECK_EQ(again.cycles, walked.cycles);
  CHECK_EQ(again.joules, walked.joules);
  CHECK_EQ(again.bytes.dram_read, walked.bytes.dram_read);
  // The SRAM holds them now: another account.
  timing.run(launch_of(c, d, 2), nullptr, nullptr);
  CHECK_EQ(timing.statistics().remembered, 1U);
  // In place.
  timing.run(launch_of(a, a, 2), nullptr, nullptr);
  CHECK_EQ(timing.statistics().remembered, 1U);
}

}  // namespace
