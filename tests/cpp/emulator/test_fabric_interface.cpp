// DMA descriptors, indexed DMA and atomics against plain loops over host arrays.
#include <numeric>
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

std::vector<int32_t> counting(size_t count) {
  std::vector<int32_t> values(count);
  std::iota(values.begin(), values.end(), 1);
  return values;
}

struct Side {
  int64_t stride;
  int64_t low = -1;   // absent
  int64_t high = -1;  // absent
  int64_t start = 0;
  int64_t wrap = 0;
};

// What a descriptor means, element by element: the index into memory, or INT64_MIN.
int64_t element_index(const std::vector<Side>& sides, const std::vector<int64_t>& index,
                      const std::vector<int64_t>& dims) {
  int64_t offset = 0;
  for (size_t d = 0; d < sides.size(); ++d) {
    const Side& s = sides[d];
    const int64_t low = s.low == -1 ? 0 : s.low;
    const int64_t high = s.high == -1 ? dims[d] : s.high;
    if (index[d] < low || index[d] >= high) return INT64_MIN;
    int64_t coordinate = s.start + index[d];
    if (s.wrap != 0) coordinate = ((coordinate % s.wrap) + s.wrap) % s.wrap;
    offset += coordinate * s.stride;
  }
  return offset;
}

// Loads a 2-D tile by one descriptor, stores it by the same one into a second buffer; both against element_index.
void check_descriptor(const std::vector<Side>& sides, uint32_t rows, uint32_t columns, int64_t origin, size_t memory) {
  ProgramBuilder b("copy");
  const uint32_t from = b.pointer("from", DType::I32);
  const uint32_t to = b.pointer("to", DType::I32);
  const uint32_t out = b.pointer("out", DType::I32);
  const auto constant = [&](int64_t value) { return b.constant(DType::I64, value); };
  const auto dimension = [&](const Side& s) {
    return ProgramBuilder::Dimension{
        constant(s.stride), s.low == -1 ? absent : constant(s.low), s.high == -1 ? absent : constant(s.high),
        s.start == 0 ? absent : constant(s.start), s.wrap == 0 ? absent : constant(s.wrap)};
  };
  const uint32_t t = b.tile(DType::I32, {rows, columns});
  b.load(t, from, {dimension(sides[0]), dimension(sides[1])}, b.constant(DType::I32, -5));
  // A barrier parts the load from the stores, so that no chain forms; chains have their own tests.
  b.emit(Opcode::barrier, {}, {});
  b.store(out, t, {{constant(columns)}, {constant(1)}});
  b.emit(Opcode::barrier, {}, {});
  b.store(to, t, {dimension(sides[0]), dimension(sides[1])});

  Machine machine(1);
  const auto source = counting(memory);
  const uint64_t p = machine.put(source);
  const uint64_t q = machine.put(std::vector<int32_t>(memory, -7));
  const uint64_t o = machine.put(std::vector<int32_t>(rows * columns, -9));
  const auto base = static_cast<uint64_t>(origin * 4);
  machine.run(b.program(), {p + base, q + base, o});
  std::vector<int32_t> tile(rows * columns, -5);
  std::vector<int32_t> stored(memory, -7);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t at = element_index(sides, {r, c}, {rows, columns});
      if (at == INT64_MIN) continue;
      tile[static_cast<size_t>(r * columns + c)] = source[static_cast<size_t>(origin + at)];
      stored[static_cast<size_t>(origin + at)] = source[static_cast<size_t>(origin + at)];
    }
  }
  const auto got = machine.get<int32_t>(o, tile.size());
  for (size_t i = 0; i < tile.size(); ++i) {
    if (got[i] != tile[i])
      mtia::test::fail(__FILE__, __LINE__,
                       mtia::concat("stride ", sides[0].stride, " element ", i, ": got ", got[i], ", wants ", tile[i]));
  }
  CHECK(machine.get<int32_t>(q, memory) == stored);
}

}  // namespace

TEST("DMA descriptors: rows, clips, starts, transposes, wraps, negative strides") {
  check_descriptor({{40}, {1}}, 8, 16, 0, 400);
  check_descriptor({{16}, {1}}, 8, 16, 0, 128);
  check_descriptor({{40, 2, 7}, {1, -1, 13}}, 8, 16, 3, 400);
  check_descriptor({{40, -1, -1, 1}, {1, -1, -1, 5}}, 8, 16, 0, 400);
  check_descriptor({{1}, {9}}, 8, 16, 0, 200);
  check_descriptor({{1, 1, 6}, {9, 3, 11}}, 8, 16, 2, 200);
  check_descriptor({{3}, {40}}, 8, 16, 0, 700);
  check_descriptor({{20, -1, -1, 5, 7}, {1}}, 8, 16, 0, 200);
  check_descriptor({{20}, {1, -1, -1, 10, 13}}, 8, 16, 0, 200);
  check_descriptor({{20, 1, 8, 6, 7}, {1, 2, 16, 9, 13}}, 8, 16, 0, 200);
  check_descriptor({{20, -1, -1, 3, 3}, {1, -1, -1, -2, 5}}, 8, 16, 0, 200);
  check_descriptor({{-16}, {1}}, 8, 16, 112, 128);
  check_descriptor({{40, 5, 5}, {1}}, 8, 16, 0, 400);
  check_descriptor({{40, -1, 100}, {1, -1, 99}}, 8, 16, 0, 400);
}

TEST("a masked load reads nothing that its mask hides, and a masked store writes nothing there") {
  constexpr uint32_t n = 64;
  ProgramBuilder b("masked");
  const uint32_t x = b.pointer("x", DType::I32);
  const uint32_t y = b.pointer("y", DType::I32);
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t index = b.tile(DType::I32, {n});
  const uint32_t odd = b.tile(DType::I32, {n});
  const uint32_t below = b.tile(DType::I1, {n});
  const uint32_t mask = b.tile(DType::I1, {n});
  const uint32_t t = b.tile(DType::I32, {n});
  b.emit(Opcode::iota, {index}, {}, {0});
  b.emit(Opcode::and_i, {odd}, {index, one});
  b.emit(Opcode::compare_i, {mask}, {odd, one}, {0});
  b.emit(Opcode::compare_i, {below}, {index, b.constant(DType::I32, 40)}, {2});
  b.emit(Opcode::and_i, {mask}, {mask, below});
  b.load(t, x, {{one}}, b.constant(DType::I32, -1), mask);
  b.store(y, t, {{one}}, mask);
  Machine machine(1);
  const auto source = counting(40);  // element 40 and above lie outside of the allocation
  const uint64_t px = machine.put(source);
  const uint64_t py = machine.put(std::vector<int32_t>(40, -3));
  machine.run(b.program(), {px, py});
  const auto out = machine.get<int32_t>(py, 40);
  for (size_t i = 0; i < 40; ++i) CHECK_EQ(out[i], i % 2 == 1 ? source[i] : -3);
}

TEST("gather and scatter by index tiles, masked, with other, and by byte addresses") {
  constexpr uint32_t n = 100;
  for (const bool addresses : {false, true}) {
    ProgramBuilder b("gather");
    const uint32_t x = b.pointer("x", DType::I16);
    const uint32_t offsets = b.pointer("offsets", DType::I64);
    const uint32_t y = b.pointer("y", DType::I16);
    const uint32_t one = b.constant(DType::I32, 1);
    const uint32_t offset = b.tile(DType::I64, {n});
    const uint32_t mask = b.tile(DType::I1, {n});
    const uint32_t t = b.tile(DType::I16, {n});
    b.load(offset, offsets, {{one}});
    b.emit(Opcode::compare_i, {mask}, {offset, b.constant(DType::I64, 0)}, {5});
    uint32_t where = offset;
    if (addresses) {
      where = b.tile(DType::I64, {n});
      b.emit(Opcode::mul_i, {where}, {offset, b.constant(DType::I64, 2)});
      b.emit(Opcode::add_i, {where}, {where, x});
    }
    b.emit(Opcode::gather, {t}, {addresses ? absent : x, where, mask, b.constant(DType::I16, 77)}, {0});
    b.emit(Opcode::add_i, {t}, {t, b.constant(DType::I16, 1)});
    b.emit(Opcode::scatter, {}, {y, offset, t, mask}, {0});
    Machine machine(1);
    std::mt19937 generator(3);
    std::vector<int64_t> index(n);
    for (int64_t& i : index) i = static_cast<int64_t>(generator() % 260) - 60;
    std::vector<int16_t> source(200);
    std::iota(source.begin(), source.end(), int16_t{1});
    const uint64_t px = machine.put(source);
    const uint64_t po = machine.put(index);
    const uint64_t py = machine.put(std::vector<int16_t>(200, -4));
    machine.run(b.program(), {px, po, py});
    std::vector<int16_t> expected(200, -4);
    for (const int64_t i : index) {
      if (i >= 0) expected[static_cast<size_t>(i)] = static_cast<int16_t>(source[static_cast<size_t>(i)] + 1);
    }
    CHECK(machine.get<int16_t>(py, 200) == expected);
    // One index beyond the end is caught, whatever the others are.
    index[50] = 200;
    const uint64_t bad = machine.put(index);
    CHECK_CONTAINS(CHECK_THROWS(machine.run(b.program(), {px, bad, py}), mtia::OutOfBounds), "gather");
  }
}

TEST("rows by index: bounds, masks, what is left out, and what is out of range") {
  constexpr uint32_t rows = 20, columns = 24, table_rows = 11;
  for (const bool wide : {false, true}) {
    for (const bool bounded : {false, true}) {
      ProgramBuilder b("rows");
      const uint32_t x = b.pointer("x", DType::I16);
      const uint32_t indices = b.pointer("indices", DType::I64);
      const uint32_t y = b.pointer("y", DType::I16);
      const uint32_t one = b.constant(DType::I32, 1);
      const uint32_t index = b.tile(DType::I64, {rows, 1});
      const uint32_t mask = b.tile(DType::I1, {rows, 1});
      const uint32_t offset = b.tile(wide ? DType::I64 : DType::I32, {rows, 1});
      const uint32_t t = b.tile(DType::I16, {rows, columns});
      b.load(index, indices, {{one}, {one}});
      b.emit(Opcode::compare_i, {mask}, {index, b.constant(DType::I64, 0)}, {5});
      b.emit(Opcode::mul_i, {index}, {index, b.constant(DType::I64, columns)});
      b.emit(wide ? Opcode::copy : Opcode::extend_s, {offset}, {index});
      const uint32_t low = bounded ? b.constant(DType::I32, 3) : absent;
      const uint32_t high = bounded ? b.constant(DType::I32, 20) : absent;
      b.emit(Opcode::gather_rows, {t}, {x, offset, mask, b.constant(DType::I16, 77), low, high}, {0});
      b.emit(Opcode::add_i, {t}, {t, b.constant(DType::I16, 1)});
      b.emit(Opcode::scatter_rows, {}, {y, offset, t, mask, low, absent}, {0});
      Machine machine(1);
      std::mt19937 generator(5);
      std::vector<int64_t> index_of_row(rows);
      for (int64_t& i : index_of_row) i = static_cast<int64_t>(generator() % (table_rows + 4)) - 4;
      index_of_row[7] = -3;
      std::vector<int16_t> source(size_t{table_rows} * columns);
      std::iota(source.begin(), source.end(), int16_t{1});
      const uint64_t px = machine.put(source);
      const uint64_t pi = machine.put(index_of_row);
      const uint64_t py = machine.put(std::vector<int16_t>(source.size(), -4));
      machine.run(b.program(), {px, pi, py});
      std::vector<int16_t> expected(source.size(), -4);
      for (const int64_t i : index_of_row) {
        for (size_t column = bounded ? 3 : 0; i >= 0 && column < columns; ++column) {
          const size_t place = static_cast<size_t>(i) * columns + column;
          expected[place] = static_cast<int16_t>((bounded && column >= 20 ? 77 : source[place]) + 1);
        }
      }
      CHECK(machine.get<int16_t>(py, expected.size()) == expected);
      index_of_row[12] = table_rows;
      const uint64_t bad = machine.put(index_of_row);
      CHECK_CONTAINS(CHECK_THROWS(machine.run(b.program(), {px, bad, py}), mtia::OutOfBounds), "gather_rows");
    }
  }
}

TEST("rows by index cost what they move: whole DRAM accesses, and time a row") {
  const auto account_of = [](uint32_t rows, uint32_t columns) {
    ProgramBuilder b("rows");
    const uint32_t x = b.pointer("x", DType::F32);
    const uint32_t offset = b.tile(DType::I32, {rows, 1});
    const uint32_t flat = b.tile_on(b.program().values[offset].slot, DType::I32, {rows});
    const uint32_t t = b.tile(DType::F32, {rows, columns});
    b.emit(Opcode::iota, {flat}, {}, {0});
    b.emit(Opcode::mul_i, {offset}, {offset, b.constant(DType::I32, 2 * columns)});
    b.emit(Opcode::gather_rows, {t}, {x, offset, absent, absent, absent, absent}, {0});
    Machine machine(1);
    const uint64_t px = machine.put(std::vector<float>(size_t{2} * rows * columns, 1.0F));
    return machine.run(b.program(), {px});
  };
  const auto few = account_of(8, 64), many = account_of(32, 64), narrow = account_of(32, 2);
  CHECK_EQ(few.bytes.sram_read, uint64_t{8} * 64 * 4);
  CHECK_EQ(many.bytes.sram_read, uint64_t{32} * 64 * 4);
  CHECK(narrow.bytes.sram_read > uint64_t{32} * 2 * 4);
  CHECK(many.cycles > few.cycles);
}

TEST("atomics: sums of all programs, old values in program order, compare and swap") {
  for (const unsigned threads : {1U, 2U}) {
    ProgramBuilder b("atomics");
    const uint32_t x = b.pointer("x", DType::I32);
    const uint32_t f = b.pointer("f", DType::F32);
    const uint32_t old = b.pointer("old", DType::I32);
    const uint32_t zero = b.constant(DType::I64, 0);
    const uint32_t pid = b.scalar_op(Opcode::program_id, DType::I32, {}, {0});
    const uint32_t wide = b.scalar_op(Opcode::extend_s, DType::I64, {pid});
    const uint32_t before = b.scalar(DType::I32);
    b.emit(Opcode::atomic_rmw, {before}, {x, zero, b.constant(DType::I32, 3), absent}, {4});
    b.emit(Opcode::scatter, {}, {old, wide, before, absent}, {0});
    const uint32_t index = b.tile(DType::I32, {16});
    b.emit(Opcode::iota, {index}, {}, {0});
    const uint32_t ones = b.tile(DType::F32, {16});
    b.emit(Opcode::copy, {ones}, {b.constant_f32(0.1F)});
    b.emit(Opcode::and_i, {index}, {index, b.constant(DType::I32, 3)});
    b.emit(Opcode::atomic_rmw, {absent}, {f, index, ones, absent}, {5});
    const uint32_t swapped = b.scalar(DType::I32);
    b.emit(
        Opcode::atomic_cas, {swapped},
        {x, b.constant(DType::I64, 1), pid, b.scalar_op(Opcode::add_i, DType::I32, {pid, b.constant(DType::I32, 1)})});
    Machine machine(threads);
    const uint64_t px = machine.put(std::vector<int32_t>{10, 0});
    const uint64_t pf = machine.put(std::vector<float>(4, 0.0F));
    const uint64_t po = machine.put(std::vector<int32_t>(20, -1));
    machine.run(b.program(), {px, pf, po}, {20, 1, 1});
    CHECK_EQ(machine.get<int32_t>(px, 1)[0], 10 + 3 * 20);
    CHECK_EQ(machine.get<int32_t>(px, 2)[1], 20);
    const auto olds = machine.get<int32_t>(po, 20);
    for (int i = 0; i < 20; ++i) CHECK_EQ(olds[static_cast<size_t>(i)], 10 + 3 * i);
    float sum = 0;
    for (int i = 0; i < 80; ++i) sum += 0.1F;
    for (const float value : machine.get<float>(pf, 4)) CHECK_EQ(value, sum);
  }
}

TEST("scalar loads and stores go through the same bounds") {
  ProgramBuilder b("scalars");
  const uint32_t x = b.pointer("x", DType::BF16);
  const uint32_t v = b.scalar(DType::BF16);
  b.emit(Opcode::dma_load, {v}, {x, absent, absent}, {0});
  b.emit(Opcode::dma_store, {}, {b.scalar_op(Opcode::add_i, DType::I64, {x, b.constant(DType::I64, 6)}), v, absent},
         {0});
  Machine machine(1);
  const uint64_t px = machine.put(std::vector<uint16_t>{0x3F80, 0, 0, 0});
  machine.run(b.program(), {px});
  CHECK_EQ(machine.get<uint16_t>(px, 4)[3], 0x3F80);
  CHECK_THROWS(machine.run(b.program(), {px + 4}), mtia::OutOfBounds);
}

TEST("a launch with extents may touch nothing else") {
  ProgramBuilder b("extents");
  const uint32_t x = b.pointer("x");
  const uint32_t t = b.tile(DType::F32, {16});
  b.load(t, x, {{b.constant(DType::I32, 1)}});
  b.store(x, t, {{b.constant(DType::I32, 1)}});
  Machine machine(1);
  const uint64_t p = machine.put(std::vector<float>(64));
  mtia::emulator::Launch launch;
  launch.program = mtia::emulator::load_program(b.program(), machine.emulator().chip());
  launch.arguments = {p + 4};
  launch.extents = {{p, p + 64}};
  const std::string message = CHECK_THROWS(machine.emulator().run(launch), mtia::OutOfBounds);
  CHECK_CONTAINS(message, "offset 4 of a tensor of 64 bytes");
  launch.extents = {{p, p + 68}};
  machine.emulator().run(launch);
}
