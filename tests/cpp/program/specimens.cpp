// One program a family of instructions; each takes a pointer to at least 4 KiB and a small number.
#include "program/specimens.h"

#include "program/builder.h"

namespace mtia::test {
namespace {

ProgramBuilder begin(const char* name, uint32_t& x, uint32_t& n) {
  ProgramBuilder b(name);
  x = b.pointer("x");
  n = b.argument("n", DType::I32);
  b.at("specimens.py", 7);
  return b;
}

TileProgram arithmetic() {
  uint32_t x = 0;
  uint32_t n = 0;
  ProgramBuilder b = begin("arithmetic", x, n);
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t t = b.tile(DType::F32, {4, 32});
  const uint32_t row = b.tile(DType::F32, {1, 32});
  const uint32_t half = b.tile(DType::F16, {4, 32});
  const uint32_t whole = b.tile(DType::I32, {4, 32});
  const uint32_t mask = b.tile(DType::I1, {4, 32});
  b.load(t, x, {{b.constant(DType::I32, 32)}, {one, absent, n}}, b.constant_f32(2));
  b.load(row, x, {{absent}, {one}});
  b.emit(Opcode::add_f, {t}, {t, row});
  b.emit(Opcode::fma_f, {t}, {t, row, b.constant_f32(0.5F)});
  b.emit(Opcode::exp, {t}, {t});
  b.emit(Opcode::convert_f, {half}, {t}, {0});
  b.emit(Opcode::mul_f, {half}, {half, half});
  b.emit(Opcode::convert_f_to_s, {whole}, {half});
  b.emit(Opcode::div_s, {whole}, {whole, n});
  b.emit(Opcode::shl, {whole}, {whole, one});
  b.emit(Opcode::compare_i, {mask}, {whole, n}, {2});
  b.emit(Opcode::convert_s_to_f, {t}, {whole});
  b.emit(Opcode::select, {t}, {mask, t, row});
  b.emit(Opcode::bitcast, {whole}, {t});
  const uint32_t scaled = b.scalar_op(Opcode::mul_i, DType::I32, {n, one});
  b.emit(Opcode::add_i, {whole}, {whole, scaled});
  b.store(x, whole, {{b.constant(DType::I32, 32)}, {one}}, mask);
  return b.program();
}

TileProgram control() {
  uint32_t x = 0;
  uint32_t n = 0;
  ProgramBuilder b = begin("control", x, n);
  const uint32_t zero = b.constant(DType::I32, 0);
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t i = b.scalar(DType::I32);
  const uint32_t left = b.scalar(DType::I32);
  const uint32_t t = b.tile(DType::F32, {64}, 2);
  const uint32_t sum = b.tile(DType::F32, {64});
  const uint32_t id = b.scalar(DType::I32);
  b.emit(Opcode::program_id, {id}, {}, {0});
  b.emit(Opcode::copy, {sum}, {b.constant_f32(0)});
  b.emit(Opcode::for_begin, {i}, {zero, n, one}, {2});
  const uint32_t start = b.scalar_op(Opcode::mul_i, DType::I32, {i, b.constant(DType::I32, 4)});
  b.load(t, x, {{one, absent, n, start}});
  b.emit(Opcode::add_f, {sum}, {sum, t});
  b.emit(Opcode::end, {}, {});
  b.emit(Opcode::copy, {left}, {n});
  b.emit(Opcode::while_begin, {}, {});
  const uint32_t more = b.scalar_op(Opcode::compare_i, DType::I1, {left, zero}, {4});
  b.emit(Opcode::while_test, {}, {more});
  b.emit(Opcode::sub_i, {left}, {left, one});
  b.emit(Opcode::if_begin, {}, {more});
  b.emit(Opcode::mul_f, {sum}, {sum, b.constant_f32(0.5F)});
  b.emit(Opcode::else_begin, {}, {});
  b.emit(Opcode::return_, {}, {});
  b.emit(Opcode::end, {}, {});
  b.emit(Opcode::end, {}, {});
  b.emit(Opcode::assert_, {}, {b.scalar_op(Opcode::compare_i, DType::I1, {left, zero}, {0}), absent},
         {b.string("nothing is left")});
  b.emit(Opcode::print, {}, {left}, {b.string("left"), 0});
  b.emit(Opcode::barrier, {}, {});
  b.store(x, sum, {{one, zero, n, id, b.constant(DType::I32, 100)}});
  return b.program();
}

TileProgram layout() {
  uint32_t x = 0;
  uint32_t n = 0;
  ProgramBuilder b = begin("layout", x, n);
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t t = b.tile(DType::F32, {4, 16});
  const uint32_t turned = b.tile(DType::F32, {16, 4});
  const uint32_t part = b.tile(DType::F32, {4, 8});
  const uint32_t both = b.tile(DType::F32, {8, 8});
  const uint32_t pairs = b.tile(DType::F32, {8, 8, 2});
  const uint32_t index = b.tile(DType::I32, {16, 4});
  const uint32_t ranks = b.tile(DType::I32, {64});
  const uint32_t counts = b.tile(DType::I32, {32});
  b.load(t, x, {{b.constant(DType::I32, 16)}, {one}});
  b.emit(Opcode::permute, {turned}, {t}, {1, 0});
  b.emit(Opcode::slice, {part}, {t}, {1, 1, 2});
  b.emit(Opcode::concatenate, {both}, {part, part}, {0});
  b.emit(Opcode::interleave, {pairs}, {both, both});
  b.emit(Opcode::iota, {ranks}, {}, {0});
  b.emit(Opcode::rem_s, {ranks}, {ranks, b.constant(DType::I32, 16)});
  b.emit(Opcode::permute, {index}, {b.tile_on(b.program().values[ranks].slot, DType::I32, {4, 16})}, {1, 0});
  b.emit(Opcode::gather_local, {b.tile(DType::F32, {16, 4})}, {turned, index}, {0});
  b.emit(Opcode::sort, {turned}, {turned}, {0, 1});
  b.emit(Opcode::histogram, {counts}, {ranks, absent});
  b.store(x, pairs, {{b.constant(DType::I32, 16)}, {b.constant(DType::I32, 2)}, {one}});
  b.store(x, counts, {{one}});
  return b.program();
}

TileProgram products() {
  uint32_t x = 0;
  uint32_t n = 0;
  ProgramBuilder b = begin("products", x, n);
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t sixteen = b.constant(DType::I32, 16);
  const uint32_t left = b.tile(DType::F32, {8, 16});
  const uint32_t right = b.tile(DType::F32, {16, 8});
  const uint32_t turned = b.tile(DType::F32, {8, 16});
  const uint32_t sums = b.tile(DType::F32, {8, 8});
  const uint32_t i = b.scalar(DType::I32);
  b.emit(Opcode::copy, {sums}, {b.constant_f32(0)});
  b.emit(Opcode::for_begin, {i}, {b.constant(DType::I32, 0), n, one}, {2});
  b.load(left, x, {{sixteen}, {one}});
  b.load(turned, x, {{sixteen}, {one}});
  b.emit(Opcode::permute, {right}, {turned}, {1, 0});
  b.emit(Opcode::dot, {sums}, {left, right, sums}, {0});
  b.emit(Opcode::end, {}, {});
  const uint32_t pairs = b.tile(DType::I8, {8, 8});
  const uint32_t scales = b.tile(DType::I8, {8, 1});
  b.load(pairs, x, {{b.constant(DType::I32, 8)}, {one}});
  b.load(scales, x, {{one}, {one}});
  b.emit(Opcode::dot_scaled, {sums}, {pairs, pairs, sums, scales, scales});
  const uint32_t total = b.tile(DType::F32, {8});
  const uint32_t best = b.tile(DType::F32, {8});
  const uint32_t where = b.tile(DType::I32, {8});
  b.emit(Opcode::scan, {sums}, {sums}, {0, 1, 0});
  b.emit(Opcode::reduce, {total}, {sums}, {0, 1});
  const uint32_t positions = b.tile(DType::I32, {64});
  b.emit(Opcode::iota, {positions}, {}, {5});
  const uint32_t square = b.tile_on(b.program().values[positions].slot, DType::I32, {8, 8});
  b.emit(Opcode::reduce_index, {best, where}, {sums, square}, {2, 0, 1});
  const uint32_t largest = b.scalar(DType::F32);
  b.emit(Opcode::reduce, {largest}, {best}, {2, 0});
  b.emit(Opcode::mul_f, {total}, {total, largest});
  b.store(x, total, {{one}});
  b.store(x, where, {{one}});
  b.store(x, largest, {});
  return b.program();
}

TileProgram indexed() {
  uint32_t x = 0;
  uint32_t n = 0;
  ProgramBuilder b = begin("indexed", x, n);
  const uint32_t one = b.constant(DType::I32, 1);
  const uint32_t offsets = b.tile(DType::I32, {32});
  const uint32_t mask = b.tile(DType::I1, {32});
  const uint32_t t = b.tile(DType::F32, {32});
  const uint32_t numbers = b.tile(DType::I32, {32});
  const uint32_t words[] = {b.tile(DType::I32, {32}), b.tile(DType::I32, {32})};
  b.emit(Opcode::iota, {offsets}, {}, {3});
  b.emit(Opcode::compare_i, {mask}, {offsets, n}, {2});
  b.emit(Opcode::gather, {t}, {x, offsets, mask, b.constant_f32(1)}, {0});
  b.emit(Opcode::philox, {words[0], absent, words[1], absent}, {n, n, offsets, one, one, one}, {10});
  b.emit(Opcode::xor_i, {numbers}, {words[0], words[1]});
  b.emit(Opcode::scatter, {}, {x, offsets, t, mask}, {0});
  const uint32_t rows = b.tile(DType::F32, {32, 8});
  const uint32_t starts = b.tile_on(b.program().values[offsets].slot, DType::I32, {32, 1});
  const uint32_t chosen = b.tile_on(b.program().values[mask].slot, DType::I1, {32, 1});
  b.emit(Opcode::gather_rows, {rows}, {x, starts, chosen, b.constant_f32(2), absent, n}, {0});
  b.emit(Opcode::scatter_rows, {}, {x, starts, rows, absent, one, absent}, {0});
  b.emit(Opcode::atomic_rmw, {numbers}, {x, offsets, numbers, mask}, {4});
  b.emit(Opcode::atomic_rmw, {absent}, {x, offsets, t, absent}, {5});
  const uint32_t old = b.scalar(DType::I32);
  b.emit(Opcode::atomic_cas, {old}, {x, n, one, n});
  const uint32_t address = b.scalar(DType::I64);
  b.emit(Opcode::add_i, {address}, {x, b.constant(DType::I64, 64)});
  b.emit(Opcode::scatter, {}, {absent, address, old, absent}, {0});
  b.store(x, numbers, {{one, absent, n}});
  return b.program();
}

}  // namespace

std::vector<TileProgram> specimens() { return {arithmetic(), control(), layout(), products(), indexed()}; }

}  // namespace mtia::test
