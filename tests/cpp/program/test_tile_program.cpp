// Tile programs keep their bytes, and whatever is wrong with one is refused by name before it runs.
#include <cstring>
#include <random>

#include "base/error.h"
#include "emulator/machine.h"
#include "program/disassemble.h"
#include "program/verify.h"
#include "test.h"

namespace {

using mtia::absent;
using mtia::DType;
using mtia::InvalidProgram;
using mtia::Opcode;
using mtia::ProgramBuilder;

// One of everything that a program is made of: arguments, constants, slots, views, a loop, a branch, DMA, a reduction,
// a message.
ProgramBuilder sample() {
  ProgramBuilder b("sample");
  const uint32_t x = b.pointer("x");
  const uint32_t n = b.argument("n", DType::I32);
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t i = b.scalar(DType::I32);
  const uint32_t t = b.tile(DType::F32, {4, 32});
  const uint32_t view = b.tile_on(b.program().values[t].slot, DType::F32, {128});
  const uint32_t total = b.scalar(DType::F32);
  b.at("sample.py", 3);
  b.emit(Opcode::copy, {t}, {b.constant_f32(0.5F)});
  b.emit(Opcode::for_begin, {i}, {b.constant(DType::I32, 0), n, one}, {1});
  b.load(view, x, {{one, absent, n, absent, absent}}, b.constant_f32(2));
  b.emit(Opcode::reduce, {total}, {view}, {0, 0});
  const uint32_t positive = b.scalar_op(Opcode::compare_f, DType::I1, {total, b.constant_f32(0)}, {2});
  b.emit(Opcode::if_begin, {}, {positive});
  b.emit(Opcode::mul_f, {t}, {t, total});
  b.emit(Opcode::else_begin, {}, {});
  b.emit(Opcode::exp, {t}, {t});
  b.emit(Opcode::end, {}, {});
  b.emit(Opcode::assert_, {}, {positive, absent}, {b.string("total is positive")});
  b.emit(Opcode::end, {}, {});
  b.store(x, view, {{one, absent, n, absent, absent}});
  return b;
}

std::string refusal(const mtia::TileProgram& program) { return CHECK_THROWS(mtia::verify(program), InvalidProgram); }

}  // namespace

TEST(bytes_survive_a_round_trip) {
  const auto bytes = mtia::serialise(sample().program());
  const mtia::TileProgram again = mtia::deserialise(bytes);
  mtia::verify(again);
  CHECK(mtia::serialise(again) == bytes);
  CHECK_EQ(mtia::disassemble(again), mtia::disassemble(sample().program()));
}

TEST(disassembly_names_types_slots_and_lines) {
  const std::string text = mtia::disassemble(sample().program());
  CHECK_CONTAINS(text, "mul_f");
  CHECK_CONTAINS(text, ":f32[4,32]@0 = copy 0.5:f32  // sample.py:3");
  CHECK_CONTAINS(text, "kind=0, axis=0");
}

TEST(the_opcode_table_is_consistent) {
  for (size_t i = 0; i < mtia::opcode_count; ++i) {
    for (size_t j = 0; j < i; ++j) CHECK(mtia::opcode_table[i].mnemonic != mtia::opcode_table[j].mnemonic);
    CHECK(!mtia::opcode_table[i].summary.empty());
  }
}

TEST(any_flipped_bit_is_noticed) {
  auto bytes = mtia::serialise(sample().program());
  for (size_t i = 0; i < bytes.size(); i += 3) {
    bytes[i] ^= std::byte{1};
    CHECK_THROWS(mtia::deserialise(bytes), InvalidProgram);
    bytes[i] ^= std::byte{1};
  }
  bytes.pop_back();
  CHECK_CONTAINS(CHECK_THROWS(mtia::deserialise(bytes), InvalidProgram), "compile again");
}

TEST(mutated_programs_with_a_valid_checksum_are_refused_or_run_within_bounds) {
  mtia::test::Machine machine;
  const uint64_t x = machine.put(std::vector<float>(256, 1.0F));
  const auto original = mtia::serialise(sample().program());
  std::mt19937 generator(7);
  size_t refused = 0;
  for (int round = 0; round < 3000; ++round) {
    auto bytes = original;
    for (unsigned change = 0; change <= generator() % 3; ++change) {
      const size_t at = 24 + generator() % (bytes.size() - 24);
      bytes[at] = generator() % 2 == 0 ? bytes[at] ^ static_cast<std::byte>(1U << generator() % 8)
                                       : static_cast<std::byte>(generator());
    }
    const uint32_t crc = mtia::crc32(bytes.data() + 24, bytes.size() - 24);
    std::memcpy(bytes.data() + 20, &crc, sizeof(crc));
    try {
      mtia::emulator::Launch launch;
      launch.program = mtia::emulator::load_program(bytes, machine.emulator().chip());
      launch.arguments = {x, 3};
      launch.loop_limit = 1000;
      machine.emulator().run(launch);
    } catch (const mtia::Error&) {
      ++refused;
    }
  }
  CHECK(refused > 1000);
}

TEST(structure_is_checked) {
  {
    ProgramBuilder b = sample();
    b.program().instructions.pop_back();
    b.program().instructions.pop_back();
    CHECK_CONTAINS(refusal(b.program()), "1 blocks are not ended");
  }
  {
    ProgramBuilder b("b");
    b.emit(Opcode::end, {}, {});
    CHECK_CONTAINS(refusal(b.program()), "end without a block");
  }
  {
    ProgramBuilder b("b");
    b.emit(Opcode::else_begin, {}, {});
    CHECK_CONTAINS(refusal(b.program()), "else_begin without its if_begin");
  }
  {
    ProgramBuilder b("b");
    b.emit(Opcode::while_begin, {}, {});
    b.emit(Opcode::end, {}, {});
    CHECK_CONTAINS(refusal(b.program()), "a while without a while_test");
  }
}

TEST(types_shapes_and_places_are_checked) {
  const auto refused = [](auto make) {
    ProgramBuilder b("b");
    make(b);
    return refusal(b.program());
  };
  CHECK_CONTAINS(refused([](ProgramBuilder& b) {
                   b.scalar_op(Opcode::add_i, DType::I32, {b.constant(DType::I32, 1), b.constant(DType::I64, 1)});
                 }),
                 "the dtypes differ");
  CHECK_CONTAINS(refused([](ProgramBuilder& b) {
                   b.scalar_op(Opcode::add_f, DType::I32, {b.constant(DType::I32, 1), b.constant(DType::I32, 1)});
                 }),
                 "the dtype is no float");
  CHECK_CONTAINS(
      refused([](ProgramBuilder& b) { b.scalar_op(Opcode::add_i, DType::I32, {b.constant(DType::I32, 1)}); }),
      "1 operands where");
  CHECK_CONTAINS(
      refused([](ProgramBuilder& b) { b.scalar_op(Opcode::add_i, DType::I32, {b.constant(DType::I32, 1), 99}); }),
      "does not exist");
  CHECK_CONTAINS(refused([](ProgramBuilder& b) { b.scalar_op(Opcode::neg_f, DType::F32, {b.scalar(DType::F32)}); }),
                 "read before it is written");
  CHECK_CONTAINS(refused([](ProgramBuilder& b) {
                   b.emit(Opcode::copy, {b.constant(DType::I32, 1)}, {b.constant(DType::I32, 1)});
                 }),
                 "is a constant");
  CHECK_CONTAINS(refused([](ProgramBuilder& b) {
                   const uint32_t a = b.tile(DType::F32, {3});
                   b.emit(Opcode::copy, {a}, {b.constant_f32(0)});
                   b.emit(Opcode::exp, {b.tile(DType::F32, {4})}, {a});
                 }),
                 "does not broadcast");
  CHECK_CONTAINS(refused([](ProgramBuilder& b) {
                   const uint32_t slot = b.slot(64);
                   const uint32_t a = b.tile_on(slot, DType::F32, {16});
                   b.emit(Opcode::copy, {a}, {b.constant_f32(0)});
                   b.emit(Opcode::convert_f, {b.tile_on(slot, DType::F16, {16})}, {a}, {0});
                 }),
                 "overlap in local memory");
  CHECK_CONTAINS(
      refused([](ProgramBuilder& b) { b.emit(Opcode::iota, {b.tile_on(b.slot(8), DType::I32, {16})}, {}, {0}); }),
      "needs more than the 8 bytes");
  CHECK_CONTAINS(refused([](ProgramBuilder& b) { b.program().slots.push_back({0, 4096, 3}); }),
                 "declares 0 bytes of local memory");
  CHECK_CONTAINS(refused([](ProgramBuilder& b) {
                   const uint32_t a = b.tile(DType::F32, {8, 4});
                   b.emit(Opcode::copy, {a}, {b.constant_f32(0)});
                   b.emit(Opcode::dot, {b.tile(DType::F32, {8, 8})}, {a, a, absent}, {0});
                 }),
                 "the shapes do not multiply");
  const auto scaled = [&](DType result, std::initializer_list<uint32_t> right, std::initializer_list<uint32_t> scales) {
    return refused([&](ProgramBuilder& b) {
      const auto ones = [&](std::initializer_list<uint32_t> dims) {
        const uint32_t tile = b.tile(DType::I8, dims);
        b.emit(Opcode::copy, {tile}, {b.constant(DType::I8, 1)});
        return tile;
      };
      const uint32_t a = ones({8, 16});
      b.emit(Opcode::dot_scaled, {b.tile(result, {8, 8})}, {a, ones(right), absent, ones(scales), absent});
    });
  };
  CHECK_CONTAINS(scaled(DType::F32, {32, 8}, {8, 2}), "the shapes do not multiply");
  CHECK_CONTAINS(scaled(DType::BF16, {16, 8}, {8, 2}), "the result is f32");
  CHECK_CONTAINS(scaled(DType::F32, {16, 8}, {4, 2}), "a row of scales for each row of a");
  CHECK_CONTAINS(scaled(DType::F32, {16, 8}, {8, 3}), "equal groups of pairs");
}

TEST(too_much_local_memory_is_refused_with_both_sizes) {
  ProgramBuilder b("large");
  b.emit(Opcode::copy, {b.tile(DType::F32, {32768})}, {b.constant_f32(0)});
  const std::string message =
      CHECK_THROWS(mtia::emulator::load_program(b.program(), mtia::test::small_chip()), mtia::OutOfLocalMemory);
  CHECK_CONTAINS(message, "131072");
  CHECK_CONTAINS(message, "65536");
}
