// What a launch's trace says agrees with what its account says, and costs nothing of it.
#include "emulator/trace.h"

#include <algorithm>

#include "emulator/machine.h"
#include "test.h"

namespace {

using mtia::DType;
using mtia::Opcode;
using mtia::ProgramBuilder;
using mtia::TileProgram;
using mtia::Unit;
using mtia::emulator::cycle;
using mtia::emulator::LaunchAccount;
using mtia::emulator::LaunchTrace;
using mtia::emulator::PeTrace;
using mtia::emulator::SubCycles;
using mtia::emulator::TracedInstruction;
using mtia::test::Machine;

TileProgram squares() {
  ProgramBuilder b("squares");
  const uint32_t x = b.pointer("x");
  const uint32_t t = b.tile(DType::F32, {32, 32}, 2);
  const uint32_t d = b.tile(DType::F32, {32, 32});
  const uint32_t e = b.tile(DType::F32, {32, 32});
  const uint32_t i = b.scalar(DType::I32);
  b.emit(Opcode::copy, {d}, {b.constant_f32(0)});
  b.emit(Opcode::for_begin, {i}, {b.constant(DType::I32, 0), b.constant(DType::I32, 5), b.constant(DType::I32, 1)},
         {2});
  b.load(t, x, {{b.constant(DType::I32, 32)}, {b.constant(DType::I32, 1)}});
  b.emit(Opcode::dot, {d}, {t, t, d}, {0});
  b.emit(Opcode::add_f, {e}, {d, t});
  b.emit(Opcode::end, {}, {});
  return b.program();
}

struct Traced {
  LaunchAccount account;
  std::vector<PeTrace> pes;
  uint64_t dropped = 0;
};

Traced run(unsigned threads, const std::vector<uint32_t>& pes, uint64_t limit, bool is_traced = true) {
  Machine machine(threads);
  const uint64_t p = machine.put(std::vector<float>(1024, 1.5F));
  mtia::emulator::Launch launch;
  launch.program = mtia::emulator::load_program(squares(), machine.emulator().chip());
  launch.grid = {10, 1, 1};
  launch.arguments.push_back(p);
  LaunchTrace trace(pes, limit);
  Traced result;
  result.account = machine.emulator().run(launch, is_traced ? &trace : nullptr);
  result.pes = trace.take();
  for (const PeTrace& pe : result.pes) result.dropped += pe.dropped();
  return result;
}

TEST("the instructions of all PEs make up the account") {
  const Traced traced = run(2, {0, 1, 2, 3}, 100000);
  const Traced untraced = run(2, {}, 0, false);
  CHECK_EQ(traced.account.cycles, untraced.account.cycles);
  CHECK_EQ(traced.account.busy_cycles, untraced.account.busy_cycles);
  std::array<SubCycles, mtia::unit_count> busy{};
  uint64_t instructions = 0;
  uint64_t flops = 0;
  for (const PeTrace& pe : traced.pes) {
    std::array<SubCycles, mtia::unit_count> own{};
    for (const TracedInstruction& entry : pe.instructions()) {
      CHECK(entry.start <= entry.end && entry.end <= entry.ready);
      CHECK_EQ(entry.program % 4, pe.pe());
      own[static_cast<size_t>(entry.unit)] += entry.end - entry.start;
      instructions += entry.repeats;
      flops += entry.flops;
    }
    for (size_t unit = 0; unit < own.size(); ++unit) busy[unit] += own[unit] / cycle;
  }
  CHECK_EQ(instructions, traced.account.instructions);
  CHECK_EQ(flops, traced.account.flops);
  CHECK_EQ(busy, traced.account.busy_cycles);
}

TEST("a unit does one thing at a time, and an instruction waits for its operands") {
  const Traced traced = run(1, {1}, 100000);
  CHECK_EQ(traced.pes.size(), size_t{1});
  std::vector<TracedInstruction> dots;
  std::vector<TracedInstruction> loads;
  for (const TracedInstruction& entry : traced.pes[0].instructions()) {
    if (entry.opcode == Opcode::dot && entry.unit == Unit::dot) dots.push_back(entry);
    if (entry.opcode == Opcode::dma_load) loads.push_back(entry);
  }
  CHECK_EQ(dots.size(), size_t{15});  // PE 1 of 4 runs programs 1, 5 and 9
  CHECK_EQ(loads.size(), dots.size());
  for (size_t i = 0; i < dots.size(); ++i) {
    CHECK(dots[i].start >= loads[i].ready);
    CHECK(i == 0 || dots[i].start >= dots[i - 1].end);
    CHECK_EQ(loads[i].bytes, uint64_t{4096});
  }
}

TEST("threads do not change a trace, and its limit is one of each PE") {
  const Traced one = run(1, {0, 3}, 20);
  const Traced two = run(2, {3, 0}, 20);
  CHECK(one.dropped > 0);
  CHECK_EQ(one.dropped, two.dropped);
  for (const PeTrace& pe : one.pes) {
    const auto same = std::find_if(two.pes.begin(), two.pes.end(), [&](const PeTrace& p) { return p.pe() == pe.pe(); });
    CHECK(same != two.pes.end());
    CHECK_EQ(pe.instructions().size(), size_t{20});
    for (size_t i = 0; i < 20; ++i) {
      CHECK_EQ(pe.instructions()[i].start, same->instructions()[i].start);
      CHECK_EQ(pe.instructions()[i].instruction, same->instructions()[i].instruction);
    }
  }
}

TEST("labels name every instruction of a program") {
  Machine machine(1);
  const auto labels =
      mtia::emulator::instruction_labels(*mtia::emulator::load_program(squares(), machine.emulator().chip()));
  CHECK_EQ(labels[1].mnemonic, std::string("for_begin"));
  CHECK_CONTAINS(labels[3].text, "dot");
}

}  // namespace
