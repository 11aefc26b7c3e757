// Layout, reduction, dot product, vector and control units against plain loops.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <random>

#include "base/bit_patterns.h"
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

// A program that loads one dense tile, applies `body` to it and stores what body returns.
template <typename Out, typename In, typename Body>
std::vector<Out> apply(const std::vector<In>& input, DType in, std::initializer_list<uint32_t> dims, size_t results,
                       const Body& body) {
  ProgramBuilder b("apply");
  const uint32_t x = b.pointer("x");
  const uint32_t y = b.pointer("y");
  const auto dense = [&](uint32_t id) {
    const mtia::Value value = b.program().values[id];
    std::vector<uint32_t> strides(value.rank);
    int64_t stride = 1;
    for (size_t d = value.rank; d-- > 0;) {
      strides[d] = b.constant(DType::I64, stride);
      stride *= value.dims[d];
    }
    std::vector<uint32_t> operands;
    for (const uint32_t s : strides) operands.insert(operands.end(), {s, absent, absent, absent, absent});
    return operands;
  };
  const uint32_t t = b.tile(in, dims);
  std::vector<uint32_t> operands{x, absent, absent};
  for (const uint32_t id : dense(t)) operands.push_back(id);
  b.emit(Opcode::dma_load, {t}, operands, {0});
  const uint32_t result = body(b, t);
  operands = {y, result, absent};
  for (const uint32_t id : dense(result)) operands.push_back(id);
  b.emit(Opcode::dma_store, {}, operands, {0});
  Machine machine(1);
  const uint64_t px = machine.put(input);
  const uint64_t py = machine.put(std::vector<Out>(results));
  machine.run(b.program(), {px, py});
  return machine.get<Out>(py, results);
}

}  // namespace

TEST("permute, slice, concatenate, interleave, gather_local") {
  const auto x = random_floats(3 * 4 * 5, 1);
  const auto at = [&](size_t i, size_t j, size_t k) { return x[(i * 4 + j) * 5 + k]; };
  const auto permuted = apply<float>(x, DType::F32, {3, 4, 5}, 60, [](ProgramBuilder& b, uint32_t t) {
    const uint32_t d = b.tile(DType::F32, {5, 3, 4});
    b.emit(Opcode::permute, {d}, {t}, {2, 0, 1});
    return d;
  });
  const auto sliced = apply<float>(x, DType::F32, {3, 4, 5}, 30, [](ProgramBuilder& b, uint32_t t) {
    const uint32_t d = b.tile(DType::F32, {3, 2, 5});
    b.emit(Opcode::slice, {d}, {t}, {1, 1, 2});
    return d;
  });
  const auto joined = apply<float>(x, DType::F32, {3, 4, 5}, 120, [](ProgramBuilder& b, uint32_t t) {
    const uint32_t d = b.tile(DType::F32, {3, 8, 5});
    b.emit(Opcode::concatenate, {d}, {t, t}, {1});
    return d;
  });
  const auto paired = apply<float>(x, DType::F32, {3, 4, 5}, 120, [](ProgramBuilder& b, uint32_t t) {
    const uint32_t n = b.tile(DType::F32, {3, 4, 5});
    b.emit(Opcode::neg_f, {n}, {t});
    const uint32_t d = b.tile(DType::F32, {3, 4, 5, 2});
    b.emit(Opcode::interleave, {d}, {t, n});
    return d;
  });
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 4; ++j) {
      for (size_t k = 0; k < 5; ++k) {
        CHECK_EQ(permuted[(k * 3 + i) * 4 + j], at(i, j, k));
        if (j < 2) CHECK_EQ(sliced[(i * 2 + j) * 5 + k], at(i, 1 + 2 * j, k));
        CHECK_EQ(joined[(i * 8 + j) * 5 + k], at(i, j, k));
        CHECK_EQ(joined[(i * 8 + 4 + j) * 5 + k], at(i, j, k));
        CHECK_EQ(paired[((i * 4 + j) * 5 + k) * 2], at(i, j, k));
        CHECK_EQ(paired[((i * 4 + j) * 5 + k) * 2 + 1], -at(i, j, k));
      }
    }
  }
  const std::vector<int32_t> values{50, 51, 52, 53, 54, 55, 56, 57};
  const auto reversed = apply<int32_t>(values, DType::I32, {8}, 8, [](ProgramBuilder& b, uint32_t t) {
    const uint32_t index = b.tile(DType::I32, {8});
    b.emit(Opcode::iota, {index}, {}, {0});
    b.emit(Opcode::sub_i, {index}, {b.constant(DType::I32, 7), index});
    const uint32_t d = b.tile(DType::I32, {8});
    b.emit(Opcode::gather_local, {d}, {t, index}, {0});
    return d;
  });
  for (size_t i = 0; i < 8; ++i) CHECK_EQ(reversed[i], values[7 - i]);
}

TEST("sort both ways with NaN last, histogram with a mask") {
  std::vector<float> x = random_floats(4 * 33, 2);
  x[5] = NAN;
  x[40] = INFINITY;
  for (const bool descending : {false, true}) {
    const auto sorted = apply<float>(x, DType::F32, {33, 4}, x.size(), [&](ProgramBuilder& b, uint32_t t) {
      const uint32_t d = b.tile(DType::F32, {33, 4});
      b.emit(Opcode::sort, {d}, {t}, {0, descending ? 1 : 0});
      return d;
    });
    for (size_t c = 0; c < 4; ++c) {
      std::vector<float> column;
      for (size_t r = 0; r < 33; ++r) column.push_back(x[r * 4 + c]);
      std::sort(column.begin(), column.end(), [](float a, float b) { return std::isnan(b) ? !std::isnan(a) : a < b; });
      if (descending) std::reverse(column.begin(), column.end());
      for (size_t r = 0; r < 33; ++r) {
        const float got = sorted[r * 4 + c];
        CHECK(got == column[r] || (std::isnan(got) && std::isnan(column[r])));
      }
    }
  }
  const std::vector<int32_t> values{0, 3, 3, 1, -1, 9, 3, 2};
  const auto counts = apply<int32_t>(values, DType::I32, {8}, 4, [](ProgramBuilder& b, uint32_t t) {
    const uint32_t mask = b.tile(DType::I1, {8});
    b.emit(Opcode::iota, {b.tile(DType::I32, {8})}, {}, {0});
    b.emit(Opcode::compare_i, {mask}, {static_cast<uint32_t>(b.program().values.size() - 1), b.constant(DType::I32, 6)},
           {1});
    const uint32_t d = b.tile(DType::I32, {4});
    b.emit(Opcode::histogram, {d}, {t, mask});
    return d;
  });
  CHECK(counts == (std::vector<int32_t>{1, 1, 1, 2}));
}

TEST("reduce, arg-reduce and scan along every axis of rank 3") {
  const auto x = random_floats(4 * 6 * 7, 3);
  const size_t dims[3] = {4, 6, 7};
  for (int64_t axis = 0; axis < 3; ++axis) {
    const auto a = static_cast<size_t>(axis);
    size_t outer = 1;
    size_t inner = 1;
    for (size_t d = 0; d < 3; ++d) (d < a ? outer : d > a ? inner : outer) *= d == a ? 1 : dims[d];
    const uint32_t rest[2] = {static_cast<uint32_t>(dims[a == 0 ? 1 : 0]), static_cast<uint32_t>(dims[a == 2 ? 1 : 2])};
    const size_t count = outer * inner;
    const auto sum = apply<float>(x, DType::F32, {4, 6, 7}, count, [&](ProgramBuilder& b, uint32_t t) {
      const uint32_t d = b.tile(DType::F32, {rest[0], rest[1]});
      b.emit(Opcode::reduce, {d}, {t}, {0, axis});
      return d;
    });
    const auto where = apply<int32_t>(x, DType::F32, {4, 6, 7}, count, [&](ProgramBuilder& b, uint32_t t) {
      const uint32_t d = b.tile(DType::F32, {rest[0], rest[1]});
      const uint32_t index = b.tile(DType::I32, {rest[0], rest[1]});
      // Positions count down, so that they are told apart from indices.
      const uint32_t line = b.tile(DType::I32, {static_cast<uint32_t>(dims[a])});
      b.emit(Opcode::iota, {line}, {}, {0});
      b.emit(Opcode::sub_i, {line}, {b.constant(DType::I32, 100), line});
      const uint32_t slot = b.program().values[line].slot;
      const auto extent = [&](size_t d) { return d == a ? static_cast<uint32_t>(dims[d]) : 1; };
      const uint32_t positions = b.tile(DType::I32, {4, 6, 7});
      b.emit(Opcode::copy, {positions}, {b.tile_on(slot, DType::I32, {extent(0), extent(1), extent(2)})});
      b.emit(Opcode::reduce_index, {d, index}, {t, positions}, {2, axis, 1});
      return index;
    });
    const auto scanned = apply<float>(x, DType::F32, {4, 6, 7}, x.size(), [&](ProgramBuilder& b, uint32_t t) {
      b.emit(Opcode::scan, {t}, {t}, {0, axis, 1});
      return t;
    });
    for (size_t o = 0; o < outer; ++o) {
      for (size_t i = 0; i < inner; ++i) {
        double total = 0;
        size_t best = 0;
        const auto value = [&](size_t p) { return x[(o * dims[a] + p) * inner + i]; };
        for (size_t p = dims[a]; p-- > 0;) {
          total += value(p);
          CHECK_NEAR(scanned[(o * dims[a] + p) * inner + i], total, 1e-5);
        }
        for (size_t p = 1; p < dims[a]; ++p) {
          if (value(p) > value(best)) best = p;
        }
        CHECK_NEAR(sum[o * inner + i], total, 1e-5);
        CHECK_EQ(where[o * inner + i], 100 - static_cast<int32_t>(best));
      }
    }
  }
}

TEST("dot: batches, transposed right operand, an operand that the result overwrites, bf16 and i8") {
  const auto x = random_floats(2 * 8 * 8, 4);
  const auto squares = apply<float>(x, DType::F32, {2, 8, 8}, x.size(), [](ProgramBuilder& b, uint32_t t) {
    const uint32_t turned = b.tile(DType::F32, {2, 8, 8});
    b.emit(Opcode::permute, {turned}, {t}, {0, 2, 1});
    const uint32_t d = b.tile(DType::F32, {2, 8, 8});
    b.emit(Opcode::dot, {d}, {t, turned, absent}, {0});
    return d;
  });
  const auto in_place = apply<float>(x, DType::F32, {2, 8, 8}, x.size(), [](ProgramBuilder& b, uint32_t t) {
    const uint32_t other = b.tile(DType::F32, {2, 8, 8});
    b.emit(Opcode::copy, {other}, {t});
    b.emit(Opcode::dot, {t}, {t, other, b.constant_f32(1)}, {0});
    return t;
  });
  for (size_t batch = 0; batch < 2; ++batch) {
    for (size_t i = 0; i < 8; ++i) {
      for (size_t j = 0; j < 8; ++j) {
        double product = 0;
        double gram = 0;
        for (size_t p = 0; p < 8; ++p) {
          product += static_cast<double>(x[(batch * 8 + i) * 8 + p]) * x[(batch * 8 + p) * 8 + j];
          gram += static_cast<double>(x[(batch * 8 + i) * 8 + p]) * x[(batch * 8 + j) * 8 + p];
        }
        CHECK_NEAR(squares[(batch * 8 + i) * 8 + j], gram, 1e-4);
        CHECK_NEAR(in_place[(batch * 8 + i) * 8 + j], product + 1, 1e-4);
      }
    }
  }
  std::vector<int8_t> bytes(16 * 16);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<int8_t>(i * 37);
  const auto integers = apply<int32_t>(bytes, DType::I8, {16, 16}, 256, [](ProgramBuilder& b, uint32_t t) {
    const uint32_t d = b.tile(DType::I32, {16, 16});
    b.emit(Opcode::dot, {d}, {t, t, absent}, {0});
    return d;
  });
  for (size_t i = 0; i < 16; ++i) {
    for (size_t j = 0; j < 16; ++j) {
      int32_t sum = 0;
      for (size_t p = 0; p < 16; ++p) sum += bytes[i * 16 + p] * bytes[p * 16 + j];
      CHECK_EQ(integers[i * 16 + j], sum);
    }
  }
}

// [8, 16] bytes of which the first half of a row is 16 e2m1, the second 8 scales; b's are the same, turned.
TEST("dot_scaled: e2m1 with an exponent for each 16, added to what is there") {
  std::vector<uint8_t> bytes(size_t{8} * 16);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i % 16 < 8 ? i * 37 : 120 + i * 5 % 13);
  const auto sums = apply<float>(bytes, DType::I8, {8, 16}, 64, [](ProgramBuilder& b, uint32_t t) {
    const uint32_t a = b.tile(DType::I8, {8, 8});
    const uint32_t scales = b.tile(DType::I8, {8, 1});
    const uint32_t turned = b.tile(DType::I8, {8, 8});
    const uint32_t d = b.tile(DType::F32, {8, 8});
    b.emit(Opcode::slice, {a}, {t}, {1, 0, 1});
    b.emit(Opcode::slice, {scales}, {t}, {1, 8, 1});
    b.emit(Opcode::permute, {turned}, {a}, {1, 0});
    b.emit(Opcode::dot_scaled, {d}, {a, turned, b.constant_f32(3), scales, scales});
    b.emit(Opcode::dot_scaled, {d}, {a, turned, d, scales, absent});
    return d;
  });
  constexpr std::array<double, 8> sizes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const auto number = [&](size_t row, size_t k) {
    const unsigned code = bytes[row * 16 + k / 2] >> (k % 2 * 4) & 15U;
    return (code & 8U) != 0 ? -sizes[code & 7U] : sizes[code & 7U];
  };
  for (size_t i = 0; i < 8; ++i) {
    for (size_t j = 0; j < 8; ++j) {
      double product = 0;
      for (size_t k = 0; k < 16; ++k) product += number(i, k) * number(j, k);
      product *= std::exp2(bytes[i * 16 + 8] - 127);
      CHECK_NEAR(sums[i * 8 + j], 3 + product * (1 + std::exp2(bytes[j * 16 + 8] - 127)), 1e-4);
    }
  }
}

TEST("dot_scaled is refused where the engine has no such blocks") {
  const auto load = [](const mtia::ChipSpec& chip, DType operand, DType scale, uint32_t groups) {
    ProgramBuilder b("scaled");
    const auto filled = [&](DType dtype, std::initializer_list<uint32_t> dims) {
      const uint32_t bytes = b.tile(DType::I8, dims);
      const uint32_t tile = b.tile(dtype, dims);
      b.emit(Opcode::copy, {bytes}, {b.constant(DType::I8, 1)});
      b.emit(Opcode::bitcast, {tile}, {bytes});
      return tile;
    };
    const uint32_t a = filled(operand, {16, 32});
    const uint32_t right = filled(operand, {32, 16});
    b.emit(Opcode::dot_scaled, {b.tile(DType::F32, {16, 16})}, {a, right, absent, filled(scale, {16, groups}), absent});
    mtia::emulator::load_program(b.program(), chip);
  };
  mtia::ChipSpec chip = mtia::test::small_chip();
  load(chip, DType::I8, DType::F8E4M3, 4);
  load(chip, DType::F8E5M2, DType::I8, 1);
  const auto refusal = [&](DType operand, DType scale, uint32_t groups) {
    return CHECK_THROWS(load(chip, operand, scale, groups), mtia::Unsupported);
  };
  CHECK_CONTAINS(refusal(DType::F8E5M2, DType::I8, 4), "no scales of 8 elements, but of 16");
  CHECK_CONTAINS(refusal(DType::F8E5M2, DType::F8E4M3, 1), "no scales that are numbers");
  chip.dot_f4_macs_per_cycle = 0;
  CHECK_CONTAINS(refusal(DType::I8, DType::I8, 1), "no e2m1 products");
  chip.dot_mx_block_elements = 0;
  CHECK_CONTAINS(refusal(DType::I8, DType::I8, 1), "of small has no products of MX formats");
}

TEST("a chain with row and column broadcasts, narrow types and a value read by two") {
  const auto x = random_floats(24 * 40, 5);
  const auto y = apply<float>(x, DType::F32, {24, 40}, x.size(), [](ProgramBuilder& b, uint32_t t) {
    const uint32_t row = b.tile(DType::F32, {40});
    const uint32_t row_view = b.tile_on(b.program().values[row].slot, DType::F32, {1, 40});
    const uint32_t column = b.tile(DType::F32, {24});
    const uint32_t column_view = b.tile_on(b.program().values[column].slot, DType::F32, {24, 1});
    b.emit(Opcode::reduce, {row}, {t}, {2, 0});
    b.emit(Opcode::reduce, {column}, {t}, {3, 1});
    const uint32_t u = b.tile(DType::F32, {24, 40});
    const uint32_t v = b.tile(DType::BF16, {24, 40});
    const uint32_t w = b.tile(DType::F32, {24, 40});
    const uint32_t m = b.tile(DType::I1, {24, 40});
    b.emit(Opcode::sub_f, {u}, {t, row_view});
    b.emit(Opcode::convert_f, {v}, {u}, {0});
    b.emit(Opcode::convert_f, {w}, {v}, {0});
    b.emit(Opcode::compare_f, {m}, {w, column_view}, {2});
    b.emit(Opcode::fma_f, {w}, {w, column_view, u});
    b.emit(Opcode::select, {w}, {m, w, b.constant_f32(-9)});
    return w;
  });
  for (size_t i = 0; i < 24; ++i) {
    for (size_t j = 0; j < 40; ++j) {
      float row = -INFINITY;
      float column = INFINITY;
      for (size_t p = 0; p < 24; ++p) row = std::max(row, x[p * 40 + j]);
      for (size_t p = 0; p < 40; ++p) column = std::min(column, x[i * 40 + p]);
      const float u = x[i * 40 + j] - row;
      const float w = mtia::f32_from_bf16(mtia::bf16_from_f32(u));
      CHECK_EQ(y[i * 40 + j], w > column ? std::fma(w, column, u) : -9.0F);
    }
  }
}

TEST("scalars and tiles agree on every element-wise instruction they share") {
  // f32 and i32 of one element: the tile goes through a chain, the scalar through the scalar core.
  std::mt19937 generator(6);
  for (size_t number = 0; number < mtia::opcode_count; ++number) {
    const auto opcode = static_cast<Opcode>(number);
    const mtia::Form form = mtia::info_of(opcode).form;
    const bool floating = form <= mtia::Form::float_test;
    const bool integer = form == mtia::Form::integer_binary || form == mtia::Form::integer_unary;
    if (!floating && !integer) continue;
    const size_t operands = form == mtia::Form::float_ternary                                          ? 3
                            : (form == mtia::Form::float_binary || form == mtia::Form::integer_binary) ? 2
                                                                                                       : 1;
    const DType in = floating ? DType::F32 : DType::I32;
    const DType out = form == mtia::Form::float_test ? DType::I1 : in;
    ProgramBuilder b("agree");
    const uint32_t base = b.pointer("out");
    std::vector<uint32_t> scalars;
    std::vector<uint32_t> tiles;
    for (size_t o = 0; o < operands; ++o) {
      const float number_f = std::normal_distribution<float>()(generator);
      scalars.push_back(floating ? b.constant_f32(number_f) : b.constant(in, static_cast<int32_t>(generator())));
      tiles.push_back(b.tile(in, {3}));
      b.emit(Opcode::copy, {tiles.back()}, {scalars.back()});
    }
    const std::vector<int64_t> attributes(opcode == Opcode::clamp_f ? 1 : 0, 0);
    const uint32_t s = b.scalar_op(opcode, out, scalars, attributes);
    const uint32_t t = b.tile(out, {3});
    b.emit(opcode, {t}, tiles, attributes);
    b.store(base, t, {{b.constant(DType::I32, 1)}});
    b.emit(Opcode::dma_store, {},
           {b.scalar_op(Opcode::add_i, DType::I64, {base, b.constant(DType::I64, 16)}), s, absent}, {0});
    Machine machine(1);
    const uint64_t p = machine.put(std::vector<uint32_t>(8, 0));
    machine.run(b.program(), {p});
    const auto bytes = machine.get<uint8_t>(p, 32);
    const size_t size = mtia::size_of(out);
    for (size_t i = 0; i < 3; ++i) {
      if (std::memcmp(&bytes[i * size], &bytes[16], size) != 0)
        mtia::test::fail(__FILE__, __LINE__, std::string(mtia::name_of(opcode)));
    }
  }
}

TEST("philox of a tile and of scalars gives the published words") {
  // Random123's known answer for 10 rounds: counter and key of all ones.
  ProgramBuilder b("philox");
  const uint32_t out = b.pointer("out", DType::I32);
  const uint32_t ones = b.constant(DType::I32, -1);
  std::vector<uint32_t> results;
  for (int i = 0; i < 4; ++i) results.push_back(b.tile(DType::I32, {70}));
  b.emit(Opcode::philox, results, {ones, ones, ones, ones, ones, ones}, {10});
  uint32_t at = out;
  for (const uint32_t r : results) {
    b.store(at, r, {{b.constant(DType::I32, 1)}});
    at = b.scalar_op(Opcode::add_i, DType::I64, {at, b.constant(DType::I64, 280)});
  }
  Machine machine(1);
  const uint64_t p = machine.put(std::vector<uint32_t>(280));
  machine.run(b.program(), {p});
  const auto words = machine.get<uint32_t>(p, 280);
  const uint32_t expected[4] = {0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU};
  for (size_t r = 0; r < 4; ++r) {
    for (size_t i = 0; i < 70; ++i) CHECK_EQ(words[r * 70 + i], expected[r]);
  }
}

TEST("while, if, else, nested loops and return") {
  // Collatz steps of the program's number, counted; even programs return early.
  ProgramBuilder b("collatz");
  const uint32_t out = b.pointer("out", DType::I32);
  const auto constant = [&](int64_t v) { return b.constant(DType::I32, v); };
  const uint32_t pid = b.scalar_op(Opcode::program_id, DType::I32, {}, {0});
  const uint32_t odd = b.scalar_op(Opcode::and_i, DType::I32, {pid, constant(1)});
  b.emit(Opcode::if_begin, {}, {b.scalar_op(Opcode::compare_i, DType::I1, {odd, constant(0)}, {0})});
  b.emit(Opcode::return_, {}, {});
  b.emit(Opcode::end, {}, {});
  const uint32_t n = b.scalar_op(Opcode::copy, DType::I32, {pid});
  const uint32_t steps = b.scalar_op(Opcode::copy, DType::I32, {constant(0)});
  b.emit(Opcode::while_begin, {}, {});
  b.emit(Opcode::while_test, {}, {b.scalar_op(Opcode::compare_i, DType::I1, {n, constant(1)}, {4})});
  const uint32_t half = b.scalar_op(Opcode::and_i, DType::I32, {n, constant(1)});
  b.emit(Opcode::if_begin, {}, {b.scalar_op(Opcode::compare_i, DType::I1, {half, constant(0)}, {0})});
  b.emit(Opcode::div_s, {n}, {n, constant(2)});
  b.emit(Opcode::else_begin, {}, {});
  b.emit(Opcode::mul_i, {n}, {n, constant(3)});
  b.emit(Opcode::add_i, {n}, {n, constant(1)});
  b.emit(Opcode::end, {}, {});
  b.emit(Opcode::add_i, {steps}, {steps, constant(1)});
  b.emit(Opcode::end, {}, {});
  const uint32_t i = b.scalar(DType::I32);
  b.emit(Opcode::for_begin, {i}, {constant(0), constant(10), constant(3)}, {1});
  b.emit(Opcode::add_i, {steps}, {steps, constant(1000)});
  b.emit(Opcode::end, {}, {});
  b.emit(Opcode::for_begin, {i}, {constant(5), constant(5), constant(1)}, {1});
  b.emit(Opcode::add_i, {steps}, {steps, constant(100000)});
  b.emit(Opcode::end, {}, {});
  b.emit(Opcode::scatter, {}, {out, b.scalar_op(Opcode::extend_s, DType::I64, {pid}), steps, absent}, {0});
  Machine machine;
  const uint64_t p = machine.put(std::vector<int32_t>(30, -1));
  machine.run(b.program(), {p}, {30, 1, 1});
  const auto got = machine.get<int32_t>(p, 30);
  for (int k = 0; k < 30; ++k) {
    int value = k;
    int count = 4000;
    for (; value > 1; ++count) value = value % 2 == 0 ? value / 2 : 3 * value + 1;
    CHECK_EQ(got[static_cast<size_t>(k)], k % 2 == 0 ? -1 : count);
  }
}

TEST("assertions name their message, prints reach the sink, a hung loop is stopped") {
  ProgramBuilder b("talk");
  const uint32_t n = b.argument("n", DType::I32);
  b.at("talk.py", 12);
  const uint32_t message = b.string("n is small");
  b.emit(Opcode::print, {}, {n}, {b.string(" n = "), 0});
  b.emit(Opcode::assert_, {}, {b.scalar_op(Opcode::compare_i, DType::I1, {n, b.constant(DType::I32, 5)}, {2}), absent},
         {message});
  Machine machine(1);
  std::vector<std::string> lines;
  machine.emulator().set_print_sink(
      [](std::string_view line, void* context) { static_cast<std::vector<std::string>*>(context)->emplace_back(line); },
      &lines);
  machine.run(b.program(), {4});
  CHECK_EQ(lines.at(0), "pid (0, 0, 0) idx () n = 4");
  const std::string text = CHECK_THROWS(machine.run(b.program(), {6}, {3, 1, 1}), mtia::KernelAssert);
  CHECK_CONTAINS(text, "program (0, 0, 0) on PE 0, talk.py:12");
  CHECK_CONTAINS(text, "n is small");

  ProgramBuilder hung("hung");
  hung.emit(Opcode::while_begin, {}, {});
  hung.emit(Opcode::while_test, {}, {hung.constant(DType::I1, 1)});
  hung.emit(Opcode::end, {}, {});
  mtia::emulator::Launch launch;
  launch.program = mtia::emulator::load_program(hung.program(), machine.emulator().chip());
  launch.loop_limit = 1000;
  CHECK_THROWS(machine.emulator().run(launch), mtia::Deadlock);
}
