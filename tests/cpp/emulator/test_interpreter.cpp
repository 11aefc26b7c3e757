// Whole tile programs on the emulator against plain loops.
#include <cmath>
#include <random>

#include "base/error.h"
#include "emulator/machine.h"
#include "test.h"

namespace {

using mtia::absent;
using mtia::DType;
using mtia::Opcode;
using mtia::ProgramBuilder;
using mtia::test::Machine;

std::vector<float> random_floats(size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

// c[i] = a[i] + b[i] for i below n; the last program is partial.
mtia::TileProgram add_program(uint32_t block) {
  ProgramBuilder b("add");
  const uint32_t a_base = b.pointer("a");
  const uint32_t b_base = b.pointer("b");
  const uint32_t c_base = b.pointer("c");
  const uint32_t n = b.argument("n", DType::I32);
  b.at("add.py", 7);
  const uint32_t pid = b.scalar_op(Opcode::program_id, DType::I32, {}, {0});
  const uint32_t start = b.scalar_op(Opcode::mul_i, DType::I32, {pid, b.constant(DType::I32, block)});
  const uint32_t left = b.scalar_op(Opcode::sub_i, DType::I32, {n, start});
  const uint32_t one = b.constant(DType::I32, 1);
  const ProgramBuilder::Dimension dimension{one, absent, left, start, absent};
  const uint32_t x = b.tile(DType::F32, {block});
  const uint32_t y = b.tile(DType::F32, {block});
  const uint32_t z = b.tile(DType::F32, {block});
  b.load(x, a_base, {dimension});
  b.load(y, b_base, {dimension});
  b.emit(Opcode::add_f, {z}, {x, y});
  b.at("add.py", 9);
  b.store(c_base, z, {dimension});
  return b.program();
}

}  // namespace

TEST(add_with_a_partial_last_program) {
  for (const size_t n : {size_t{1}, size_t{1000}, size_t{5000}, size_t{16384}}) {
    Machine machine;
    const auto a = random_floats(n, 1);
    const auto b = random_floats(n, 2);
    const uint64_t pa = machine.put(a);
    const uint64_t pb = machine.put(b);
    const uint64_t pc = machine.put(std::vector<float>(n + 8, 77.0F));
    const auto account =
        machine.run(add_program(1024), {pa, pb, pc, n}, {static_cast<uint32_t>((n + 1023) / 1024), 1, 1});
    const auto c = machine.get<float>(pc, n + 8);
    for (size_t i = 0; i < n; ++i) CHECK_EQ(c[i], a[i] + b[i]);
    for (size_t i = n; i < n + 8; ++i) CHECK_EQ(c[i], 77.0F);
    CHECK(account.cycles > 0);
    CHECK_EQ(account.bytes.sram_read, n == 1 ? 64 : 8 * n);  // a short piece costs a whole access
  }
}

TEST(out_of_bounds_names_kernel_program_instruction_and_line) {
  Machine machine;
  const uint64_t a = machine.put(std::vector<float>(1000));
  const uint64_t c = machine.put(std::vector<float>(2000));
  const std::string message =
      CHECK_THROWS(machine.run(add_program(1024), {a, c, c, 2000}, {2, 1, 1}), mtia::OutOfBounds);
  CHECK_CONTAINS(message, "kernel add, program (0, 0, 0)");
  CHECK_CONTAINS(message, "add.py:7");
  CHECK_CONTAINS(message, "dma_load");
  // The device stays usable.
  const uint64_t x = machine.put(random_floats(1000, 3));
  machine.run(add_program(1024), {x, x, c, 1000});
  CHECK_EQ(machine.get<float>(c, 1)[0], 2 * machine.get<float>(x, 1)[0]);
}

TEST(softmax_rows_with_broadcasts_and_a_chain) {
  constexpr uint32_t rows = 8;
  constexpr uint32_t columns = 200;
  ProgramBuilder b("softmax");
  const uint32_t x_base = b.pointer("x");
  const uint32_t y_base = b.pointer("y");
  const uint32_t width = b.constant(DType::I32, columns);
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t x = b.tile(DType::F32, {rows, columns});
  const uint32_t m = b.tile(DType::F32, {rows});
  const uint32_t m_column = b.tile_on(b.program().values[m].slot, DType::F32, {rows, 1});
  const uint32_t e = b.tile(DType::F32, {rows, columns});
  const uint32_t s = b.tile(DType::F32, {rows});
  const uint32_t s_column = b.tile_on(b.program().values[s].slot, DType::F32, {rows, 1});
  const uint32_t y = b.tile(DType::F32, {rows, columns});
  b.load(x, x_base, {{width}, {one}});
  b.emit(Opcode::reduce, {m}, {x}, {2, 1});
  b.emit(Opcode::sub_f, {e}, {x, m_column});
  b.emit(Opcode::exp, {e}, {e});
  b.emit(Opcode::reduce, {s}, {e}, {0, 1});
  b.emit(Opcode::div_f, {y}, {e, s_column});
  b.store(y_base, y, {{width}, {one}});

  Machine machine;
  const auto values = random_floats(rows * columns, 5);
  const uint64_t px = machine.put(values);
  const uint64_t py = machine.put(std::vector<float>(values.size(), 9.0F));
  machine.run(b.program(), {px, py});
  const auto out = machine.get<float>(py, values.size());
  for (size_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (size_t c = 0; c < columns; ++c) sum += std::exp(static_cast<double>(values[r * columns + c]));
    for (size_t c = 0; c < columns; ++c)
      CHECK_NEAR(out[r * columns + c], std::exp(static_cast<double>(values[r * columns + c])) / sum, 1e-6);
  }
}

TEST(matrix_product_over_a_loop_with_lazy_operands) {
  constexpr uint32_t m = 32;
  constexpr uint32_t n = 48;
  constexpr uint32_t k = 16;
  constexpr int64_t blocks = 5;
  ProgramBuilder b("matmul");
  const uint32_t a_base = b.pointer("a");
  const uint32_t b_base = b.pointer("b");
  const uint32_t c_base = b.pointer("c");
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t a_stride = b.constant(DType::I32, k * blocks);
  const uint32_t n_stride = b.constant(DType::I32, n);
  const uint32_t x = b.tile(DType::F32, {m, k}, 2);
  const uint32_t y = b.tile(DType::F32, {k, n}, 2);
  const uint32_t z = b.tile(DType::F32, {m, n});
  const uint32_t i = b.scalar(DType::I32);
  b.emit(Opcode::copy, {z}, {b.constant_f32(0)});
  b.emit(Opcode::for_begin, {i}, {b.constant(DType::I32, 0), b.constant(DType::I32, blocks), one}, {2});
  const uint32_t start = b.scalar_op(Opcode::mul_i, DType::I32, {i, b.constant(DType::I32, k)});
  b.load(x, a_base, {{a_stride}, {one, absent, absent, start, absent}});
  b.load(y, b_base, {{n_stride, absent, absent, start, absent}, {one}});
  b.emit(Opcode::dot, {z}, {x, y, z}, {0});
  b.emit(Opcode::end, {}, {});
  b.store(c_base, z, {{n_stride}, {one}});

  Machine machine;
  const auto left = random_floats(m * k * blocks, 11);
  const auto right = random_floats(k * blocks * n, 12);
  const uint64_t pa = machine.put(left);
  const uint64_t pb = machine.put(right);
  const uint64_t pc = machine.put(std::vector<float>(m * n, 9.0F));
  const auto account = machine.run(b.program(), {pa, pb, pc});
  const auto out = machine.get<float>(pc, m * n);
  for (size_t r = 0; r < m; ++r) {
    for (size_t c = 0; c < n; ++c) {
      double sum = 0;
      for (size_t p = 0; p < k * blocks; ++p) sum += static_cast<double>(left[r * k * blocks + p]) * right[p * n + c];
      CHECK_NEAR(out[r * n + c], sum, 1e-4);
    }
  }
  CHECK_EQ(account.dot_flops, 2 * m * n * k * blocks);
}

TEST(accounts_do_not_depend_on_host_threads) {
  std::vector<mtia::emulator::LaunchAccount> accounts;
  for (const unsigned threads : {1U, 2U, 3U}) {
    Machine machine(threads);
    const size_t n = 50000;
    const uint64_t a = machine.put(random_floats(n, 1));
    const uint64_t c = machine.put(std::vector<float>(n));
    machine.run(add_program(1024), {a, a, c, n}, {49, 1, 1});
    accounts.push_back(machine.run(add_program(1024), {a, c, c, n}, {49, 1, 1}));
  }
  for (const auto& account : accounts) {
    CHECK_EQ(account.cycles, accounts[0].cycles);
    CHECK_EQ(account.joules, accounts[0].joules);
    CHECK_EQ(account.bytes.dram_read, accounts[0].bytes.dram_read);
    CHECK_EQ(account.busy_cycles[6], accounts[0].busy_cycles[6]);
  }
}
