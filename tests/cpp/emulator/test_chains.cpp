// Chains change nothing but speed: random straight-line programs give the same memory, bit for bit, with a barrier
// between all instructions (which parts every chain) and without.
#include <random>

#include "base/error.h"
#include "emulator/machine.h"
#include "host_math/operations.h"
#include "test.h"

namespace {

using mtia::absent;
using mtia::DType;
using mtia::Opcode;
using mtia::ProgramBuilder;
using mtia::test::Machine;

constexpr uint32_t memory_floats = 8192;

struct Shape {
  uint32_t rows;
  uint32_t columns;
};

mtia::TileProgram random_program(unsigned seed, Shape shape) {
  std::mt19937 generator(seed);
  const auto pick = [&](uint32_t count) { return static_cast<uint32_t>(generator() % count); };
  ProgramBuilder b("random");
  const uint32_t base = b.pointer("memory");
  const auto constant = [&](int64_t value) { return b.constant(DType::I32, value); };
  std::vector<uint32_t> wide;
  std::vector<uint32_t> narrow;
  for (int i = 0; i < 5; ++i) wide.push_back(b.tile(DType::F32, {shape.rows, shape.columns}));
  for (int i = 0; i < 2; ++i) narrow.push_back(b.tile(DType::BF16, {shape.rows, shape.columns}));
  const uint32_t row = b.tile(DType::F32, {1, shape.columns});
  const uint32_t column = b.tile(DType::F32, {shape.rows, 1});
  const uint32_t sums[] = {b.tile(DType::F32, {shape.rows}), b.tile(DType::F32, {shape.rows})};
  for (const uint32_t t : sums) b.emit(Opcode::copy, {t}, {b.constant_f32(2)});
  for (const uint32_t t : wide) b.emit(Opcode::copy, {t}, {b.constant_f32(static_cast<float>(t))});
  for (const uint32_t t : narrow) b.emit(Opcode::convert_f, {t}, {wide[0]}, {0});
  const auto address = [&] {
    const uint32_t room = memory_floats - shape.rows * (shape.columns + 8);
    // Few distinct places, so that loads and stores often overlap, wholly or in part.
    return b.scalar_op(Opcode::add_i, DType::I64, {base, b.constant(DType::I64, 4 * (pick(4) * (room / 5) + pick(3)))});
  };
  const auto dimensions = [&](uint32_t columns) {
    const int64_t gap = pick(3) == 0 ? 5 : 0;
    const uint32_t high = pick(4) == 0 ? constant(columns - 1) : absent;
    return std::array<ProgramBuilder::Dimension, 2>{{{constant(columns + gap)}, {constant(1), absent, high}}};
  };
  const auto load = [&](uint32_t t, uint32_t columns) {
    const auto d = dimensions(columns);
    b.load(t, address(), {d[0], d[1]}, b.constant_f32(3));
  };
  load(row, shape.columns);
  load(column, 1);
  const Opcode operations[] = {Opcode::add_f, Opcode::sub_f, Opcode::max_f, Opcode::min_f};
  for (int i = 0; i < 24; ++i) {
    const uint32_t d = wide[pick(5)];
    switch (pick(12)) {
      case 0:
      case 1:
        load(d, shape.columns);
        break;
      case 2: {
        const auto s = dimensions(shape.columns);
        b.store(address(), d, {s[0], s[1]});
        break;
      }
      case 3:
        b.emit(Opcode::convert_f, {narrow[pick(2)]}, {d}, {0});
        break;
      case 4:
        b.emit(Opcode::convert_f, {d}, {narrow[pick(2)]}, {0});
        break;
      case 5:
        b.emit(Opcode::neg_f, {pick(2) == 0 ? row : column}, {0});
        b.program().instructions.back().operands = b.program().instructions.back().results;
        break;
      case 6:  // small enough that no infinity becomes a NaN
        b.emit(Opcode::min_f, {d}, {d, b.constant_f32(8)});
        b.emit(pick(2) == 0 ? Opcode::exp2 : Opcode::sigmoid, {d}, {d});
        break;
      case 7: {
        const auto kind = pick(2) == 0 ? mtia::host_math::ReduceOp::sum_f : mtia::host_math::ReduceOp::max_f;
        b.emit(Opcode::reduce, {sums[pick(2)]}, {d}, {static_cast<int64_t>(kind), 1});
        break;
      }
      default: {
        const uint32_t others[] = {wide[pick(5)], wide[pick(5)], row, column, b.constant_f32(0.5F)};
        b.emit(operations[pick(4)], {d}, {wide[pick(5)], others[pick(5)]});
        break;
      }
    }
  }
  const uint32_t tail = b.scalar_op(Opcode::add_i, DType::I64, {base, b.constant(DType::I64, 4 * memory_floats)});
  for (size_t i = 0; i < wide.size(); ++i) {
    const uint32_t at =
        b.scalar_op(Opcode::add_i, DType::I64,
                    {tail, b.constant(DType::I64, static_cast<int64_t>(4 * i * shape.rows * shape.columns))});
    b.store(at, wide[i], {{constant(shape.columns)}, {constant(1)}});
  }
  for (size_t i = 0; i < 2; ++i) {
    const auto place = static_cast<int64_t>(4 * (5 * shape.rows * shape.columns + i * shape.rows));
    b.store(b.scalar_op(Opcode::add_i, DType::I64, {tail, b.constant(DType::I64, place)}), sums[i], {{constant(1)}});
  }
  return b.program();
}

mtia::TileProgram parted(const mtia::TileProgram& program) {
  mtia::TileProgram result = program;
  result.instructions.clear();
  for (const mtia::Instruction& instruction : program.instructions) {
    result.instructions.push_back(instruction);
    result.instructions.push_back({Opcode::barrier, {}, {}, {}, absent});
  }
  return result;
}

}  // namespace

TEST("random programs give the same memory with and without chains") {
  const Shape shapes[] = {{1, 700}, {16, 32}, {37, 9}, {5, 200}};
  Machine machine(1);
  for (unsigned seed = 0; seed < 400; ++seed) {
    const Shape shape = shapes[seed % 4];
    const mtia::TileProgram program = random_program(seed, shape);
    std::vector<float> start(memory_floats + 5 * shape.rows * shape.columns + 2 * shape.rows);
    std::mt19937 generator(seed);
    for (float& value : start) value = static_cast<float>(static_cast<int>(generator() % 2001) - 1000) / 64;
    std::vector<uint32_t> results[2];
    for (const bool chained : {false, true}) {
      const uint64_t memory = machine.put(start);
      machine.run(chained ? program : parted(program), {memory});
      results[chained ? 1 : 0] = machine.get<uint32_t>(memory, start.size());
      machine.emulator().memory().free(memory);
    }
    for (size_t i = 0; i < start.size(); ++i) {
      if (results[0][i] != results[1][i])
        mtia::test::fail(__FILE__, __LINE__, mtia::concat("seed ", seed, ", element ", i));
    }
  }
}
