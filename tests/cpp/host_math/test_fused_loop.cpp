// Fused loops against the loops of elementwise.h, one operation after the other, bit for bit.
#include "host_math/fused_loop.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <utility>
#include <vector>

#include "host_math/elementwise.h"
#include "host_math/reductions.h"
#include "samples.h"
#include "test.h"

namespace mtia::host_math {
namespace {

using test::sample;
constexpr uint8_t guard = 0xA5;

FusedInstruction load(uint16_t d, uint16_t pointer, uint8_t bytes = 4) {
  return {.op = FusedOp::load, .bytes = bytes, .d = d, .pointer = pointer};
}
FusedInstruction single(uint16_t d, uint16_t pointer, uint8_t bytes = 4) {
  return {.op = FusedOp::single, .bytes = bytes, .d = d, .pointer = pointer};
}
FusedInstruction store(uint16_t a, uint16_t pointer, uint8_t bytes = 4) {
  return {.op = FusedOp::store, .bytes = bytes, .a = a, .pointer = pointer};
}
FusedInstruction operation(FusedOp op, uint16_t d, uint16_t a, uint16_t b = 0, uint16_t c = 0, uint8_t bytes = 4) {
  return {.op = op, .bytes = bytes, .d = d, .a = a, .b = b, .c = c};
}

void run(const FusedLoop& loop, std::byte* const* pointers, size_t count, size_t n) {
  FusedCall call;
  call.n = n;
  std::copy_n(pointers, count, call.pointers);
  loop.run(call);
}

bool same_element(DType dtype, const std::byte* a, const std::byte* b) {
  const size_t size = size_of(dtype);
  if (std::memcmp(a, b, size) == 0) return true;
  if (dtype != DType::F32) return false;
  float x = 0;
  float y = 0;
  std::memcpy(&x, a, size);
  std::memcpy(&y, b, size);
  return std::isnan(x) && std::isnan(y);  // which of two NaN operands' payloads survives is not said
}

// Runs the instructions over `inputs` (one pointer each, then the result's) at many lengths and checks the result and
// that nothing behind it was written.
void check_loop(const std::vector<FusedInstruction>& instructions, const std::vector<std::vector<std::byte>>& inputs,
                DType result, const std::function<void(void*, size_t)>& expected) {
  const auto loop = make_fused_loop(instructions);
  CHECK(loop != nullptr);
  if (loop == nullptr) return;
  for (size_t n : {0, 1, 2, 15, 16, 17, 31, 32, 33, 100, 255, 256}) {
    std::vector<std::byte> wanted((n + 1) * size_of(result), std::byte{guard});
    std::vector<std::byte> got(wanted);
    expected(wanted.data(), n);
    std::vector<std::byte*> pointers;
    for (const auto& input : inputs) pointers.push_back(const_cast<std::byte*>(input.data()));
    pointers.push_back(got.data());
    run(*loop, pointers.data(), pointers.size(), n);
    size_t wrong = 0;
    for (size_t i = 0; i <= n; ++i) {
      if (!same_element(result, got.data() + i * size_of(result), wanted.data() + i * size_of(result))) ++wrong;
    }
    CHECK_EQ(wrong, size_t{0});
  }
}

TEST(fused_binary_operations_agree_with_their_loops) {
  if (!has_fused_loops()) SKIP("the host has no AVX-512");
  struct Row {
    FusedOp fused;
    BinaryOp op;
    DType dtype;
  };
  const Row rows[] = {
      {FusedOp::add_f, BinaryOp::add_f, DType::F32},         {FusedOp::sub_f, BinaryOp::sub_f, DType::F32},
      {FusedOp::mul_f, BinaryOp::mul_f, DType::F32},         {FusedOp::div_f, BinaryOp::div_f, DType::F32},
      {FusedOp::max_f, BinaryOp::max_f, DType::F32},         {FusedOp::min_f, BinaryOp::min_f, DType::F32},
      {FusedOp::maximum_f, BinaryOp::maximum_f, DType::F32}, {FusedOp::minimum_f, BinaryOp::minimum_f, DType::F32},
      {FusedOp::add_i, BinaryOp::add_i, DType::I32},         {FusedOp::sub_i, BinaryOp::sub_i, DType::I32},
      {FusedOp::mul_i, BinaryOp::mul_i, DType::I32},         {FusedOp::max_s, BinaryOp::max_s, DType::I32},
      {FusedOp::min_s, BinaryOp::min_s, DType::I32},         {FusedOp::and_i, BinaryOp::and_i, DType::I32},
      {FusedOp::or_i, BinaryOp::or_i, DType::I32},           {FusedOp::xor_i, BinaryOp::xor_i, DType::I32},
      {FusedOp::and_i, BinaryOp::and_i, DType::I1},          {FusedOp::or_i, BinaryOp::or_i, DType::I1},
      {FusedOp::xor_i, BinaryOp::xor_i, DType::I1}};
  uint64_t seed = 1;
  for (const Row& row : rows) {
    const auto a = sample(row.dtype, 300, ++seed);
    const auto b = sample(row.dtype, 300, ++seed);
    const auto bytes = static_cast<uint8_t>(size_of(row.dtype));
    const BinaryLoop reference = binary_loop(row.op, row.dtype);
    check_loop({load(0, 0, bytes), load(1, 1, bytes), operation(row.fused, 2, 0, 1, 0, bytes), store(2, 2, bytes)},
               {a, b}, row.dtype,
               [&](void* d, size_t n) { reference(d, a.data(), b.data(), n, BinaryMode::vector_vector); });
    check_loop({single(0, 0, bytes), load(1, 1, bytes), operation(row.fused, 2, 0, 1, 0, bytes), store(2, 2, bytes)},
               {a, b}, row.dtype,
               [&](void* d, size_t n) { reference(d, a.data(), b.data(), n, BinaryMode::scalar_vector); });
    check_loop({load(0, 0, bytes), single(1, 1, bytes), operation(row.fused, 2, 0, 1, 0, bytes), store(2, 2, bytes)},
               {a, b}, row.dtype,
               [&](void* d, size_t n) { reference(d, a.data(), b.data(), n, BinaryMode::vector_scalar); });
  }
}

TEST(fused_unary_operations_and_conversions_agree_with_their_loops) {
  if (!has_fused_loops()) SKIP("the host has no AVX-512");
  struct Row {
    FusedOp fused;
    UnaryLoop reference;
    DType from;
    DType to;
  };
  const auto unary = [](UnaryOp op) { return unary_loop(op, DType::F32); };
  const Row rows[] = {{FusedOp::neg_f, unary(UnaryOp::neg_f), DType::F32, DType::F32},
                      {FusedOp::abs_f, unary(UnaryOp::abs_f), DType::F32, DType::F32},
                      {FusedOp::sqrt, unary(UnaryOp::sqrt), DType::F32, DType::F32},
                      {FusedOp::rsqrt, unary(UnaryOp::rsqrt), DType::F32, DType::F32},
                      {FusedOp::reciprocal, unary(UnaryOp::reciprocal), DType::F32, DType::F32},
                      {FusedOp::exp, unary(UnaryOp::exp), DType::F32, DType::F32},
                      {FusedOp::exp2, unary(UnaryOp::exp2), DType::F32, DType::F32},
                      {FusedOp::sigmoid, unary(UnaryOp::sigmoid), DType::F32, DType::F32},
                      {FusedOp::bf16_to_f32, convert_loop(DType::BF16, DType::F32), DType::BF16, DType::F32},
                      {FusedOp::f32_to_bf16, convert_loop(DType::F32, DType::BF16), DType::F32, DType::BF16},
                      {FusedOp::f16_to_f32, convert_loop(DType::F16, DType::F32), DType::F16, DType::F32},
                      {FusedOp::f32_to_f16, convert_loop(DType::F32, DType::F16), DType::F32, DType::F16},
                      {FusedOp::s32_to_f32, convert_loop(DType::I32, DType::F32), DType::I32, DType::F32}};
  uint64_t seed = 100;
  for (const Row& row : rows) {
    const auto a = sample(row.from, 300, ++seed);
    const auto from = static_cast<uint8_t>(size_of(row.from));
    const auto to = static_cast<uint8_t>(size_of(row.to));
    check_loop({load(0, 0, from), operation(row.fused, 1, 0, 0, 0, to), store(1, 1, to)}, {a}, row.to,
               [&](void* d, size_t n) { row.reference(d, a.data(), n); });
    check_loop({single(0, 0, from), operation(row.fused, 1, 0, 0, 0, to), store(1, 1, to)}, {a}, row.to,
               [&](void* d, size_t n) {
                 uint64_t one = 0;
                 row.reference(&one, a.data(), 1);
                 fill(d, &one, to, n);
               });
  }
}

TEST(fused_functions_agree_with_their_loops_over_all_exponents) {
  if (!has_fused_loops()) SKIP("the host has no AVX-512");
  constexpr uint32_t step = 1021;
  constexpr size_t count = 0xFFFFFFFFU / step;
  std::vector<float> numbers(count);
  for (size_t i = 0; i < count; ++i) {
    const auto bits = static_cast<uint32_t>(i) * step;
    std::memcpy(&numbers[i], &bits, sizeof(bits));
  }
  std::vector<float> wanted(count);
  std::vector<float> got(count);
  const std::pair<FusedOp, UnaryOp> rows[] = {
      {FusedOp::exp, UnaryOp::exp}, {FusedOp::exp2, UnaryOp::exp2}, {FusedOp::sigmoid, UnaryOp::sigmoid}};
  for (const auto& [fused, op] : rows) {
    unary_loop(op, DType::F32)(wanted.data(), numbers.data(), count);
    const FusedInstruction instructions[] = {load(0, 0), operation(fused, 1, 0), store(1, 1)};
    std::byte* pointers[] = {reinterpret_cast<std::byte*>(numbers.data()), reinterpret_cast<std::byte*>(got.data())};
    run(*make_fused_loop(instructions), pointers, 2, count);
    size_t wrong = 0;
    for (size_t i = 0; i < count; ++i) {
      if (std::memcmp(&got[i], &wanted[i], sizeof(float)) != 0 && !(std::isnan(got[i]) && std::isnan(wanted[i])))
        ++wrong;
    }
    CHECK_EQ(wrong, size_t{0});
  }
}

// exp2(x * factor + shift[row]) as bf16, its sum and the largest x of each row, where rows are further apart than long.
TEST(fused_loops_walk_rows_and_leave_the_lanes_of_their_sums_and_maxima) {
  if (!has_fused_loops()) SKIP("the host has no AVX-512");
  const FusedInstruction instructions[] = {load(0, 0),
                                           {.op = FusedOp::single, .d = 1, .pointer = 1, .fixed = true},
                                           single(2, 2),
                                           operation(FusedOp::neg_f, 3, 2),
                                           operation(FusedOp::fma_f, 4, 0, 1, 3),
                                           operation(FusedOp::exp2, 5, 4),
                                           operation(FusedOp::f32_to_bf16, 6, 5, 0, 0, 2),
                                           store(6, 3, 2),
                                           {.op = FusedOp::sum_lanes, .a = 5, .pointer = 4},
                                           {.op = FusedOp::max_lanes, .a = 0, .pointer = 5}};
  const auto loop = make_fused_loop(instructions);
  CHECK(loop != nullptr);
  constexpr size_t apart = 300;
  for (const size_t rows : {1, 2, 16, 37}) {
    for (const size_t n : {1, 15, 16, 17, 64, 299}) {
      auto x = sample(DType::F32, rows * apart, rows + n);
      const auto shifts = sample(DType::F32, rows, 7 * rows + n);
      const float factor = 0.01F;
      std::vector<std::byte> got(rows * apart * 2, std::byte{guard});
      std::vector<std::byte> wanted(got);
      std::vector<float> lanes(2 * rows * fused_lanes);
      FusedCall call;
      call.n = n;
      call.rows = rows;
      const std::pair<const void*, size_t> places[] = {{x.data(), apart * 4},
                                                       {&factor, 0},
                                                       {shifts.data(), 4},
                                                       {got.data(), apart * 2},
                                                       {lanes.data(), fused_lanes * 4},
                                                       {lanes.data() + rows * fused_lanes, fused_lanes * 4}};
      for (size_t p = 0; p < std::size(places); ++p) {
        call.pointers[p] = static_cast<std::byte*>(const_cast<void*>(places[p].first));
        call.strides[p] = static_cast<ptrdiff_t>(places[p].second);
      }
      loop->run(call);
      for (size_t row = 0; row < rows; ++row) {
        const std::byte* from = x.data() + row * apart * 4;
        std::vector<float> weights(n);
        float shift = 0;
        std::memcpy(&shift, shifts.data() + row * 4, 4);
        shift = -shift;
        ternary_loop(TernaryOp::fma_f, DType::F32)(weights.data(), from, &factor, &shift, n, scalar_b | scalar_c);
        unary_loop(UnaryOp::exp2, DType::F32)(weights.data(), weights.data(), n);
        convert_loop(DType::F32, DType::BF16)(wanted.data() + row * apart * 2, weights.data(), n);
        const void* sources[] = {weights.data(), from};
        const ReduceOp ops[] = {ReduceOp::sum_f, ReduceOp::max_f};
        for (size_t r = 0; r < 2; ++r) {
          float expected = 0;
          float joined = 0;
          const ReduceLoop reduce = reduce_rows_loop(ops[r], DType::F32);
          reduce(&expected, sources[r], 1, n, n);
          reduce(&joined, lanes.data() + (r * rows + row) * fused_lanes, 1, fused_lanes, fused_lanes);
          CHECK(same_element(DType::F32, reinterpret_cast<const std::byte*>(&joined),
                             reinterpret_cast<const std::byte*>(&expected)));
        }
      }
      size_t wrong = 0;
      for (size_t i = 0; i < rows * apart; ++i) {
        uint16_t a = 0;
        uint16_t b = 0;
        std::memcpy(&a, got.data() + 2 * i, 2);
        std::memcpy(&b, wanted.data() + 2 * i, 2);
        if (a != b && ((a & 0x7FFFU) <= 0x7F80U || (b & 0x7FFFU) <= 0x7F80U)) ++wrong;
      }
      CHECK_EQ(wrong, size_t{0});
    }
  }
}

TEST(fused_conversions_are_right_for_every_narrow_float) {
  if (!has_fused_loops()) SKIP("the host has no AVX-512");
  for (const DType narrow : {DType::BF16, DType::F16}) {
    std::vector<std::byte> all(2 * 65536);
    for (uint32_t i = 0; i < 65536; ++i) std::memcpy(all.data() + 2 * i, &i, 2);
    std::vector<std::byte> wanted(4 * 65536);
    std::vector<std::byte> got(wanted);
    convert_loop(narrow, DType::F32)(wanted.data(), all.data(), 65536);
    const FusedInstruction widening[] = {
        load(0, 0, 2), operation(narrow == DType::BF16 ? FusedOp::bf16_to_f32 : FusedOp::f16_to_f32, 1, 0),
        store(1, 1)};
    std::byte* pointers[] = {all.data(), got.data()};
    run(*make_fused_loop(widening), pointers, 2, 65536);
    CHECK(got == wanted);
  }
}

TEST(fused_comparisons_and_selections_agree_with_their_loops) {
  if (!has_fused_loops()) SKIP("the host has no AVX-512");
  const auto a = sample(DType::F32, 300, 7);
  const auto b = sample(DType::F32, 300, 8);
  for (uint8_t predicate = 0; predicate < float_compare_count; ++predicate) {
    FusedInstruction compare = operation(FusedOp::compare_f, 2, 0, 1, 0, 1);
    compare.predicate = predicate;
    const BinaryLoop reference = compare_loop(static_cast<FloatCompare>(predicate), DType::F32);
    check_loop({load(0, 0), load(1, 1), compare, store(2, 2, 1)}, {a, b}, DType::I1,
               [&](void* d, size_t n) { reference(d, a.data(), b.data(), n, BinaryMode::vector_vector); });
  }
  const auto x = sample(DType::I32, 300, 9);
  const auto y = sample(DType::I32, 300, 10);
  for (uint8_t predicate = 0; predicate < integer_compare_count; ++predicate) {
    FusedInstruction compare = operation(FusedOp::compare_i, 2, 0, 1, 0, 1);
    compare.predicate = predicate;
    const BinaryLoop reference = compare_loop(static_cast<IntegerCompare>(predicate), DType::I32);
    check_loop({load(0, 0), load(1, 1), compare, store(2, 2, 1)}, {x, y}, DType::I1,
               [&](void* d, size_t n) { reference(d, x.data(), y.data(), n, BinaryMode::vector_vector); });
  }
  for (const DType dtype : {DType::F32, DType::BF16, DType::I1}) {
    const auto condition = sample(DType::I1, 300, 11);
    const auto taken = sample(dtype, 300, 12);
    const auto other = sample(dtype, 300, 13);
    const auto bytes = static_cast<uint8_t>(size_of(dtype));
    for (const bool scalar : {false, true}) {
      check_loop({scalar ? single(0, 0, 1) : load(0, 0, 1), load(1, 1, bytes), load(2, 2, bytes),
                  operation(FusedOp::select, 3, 0, 1, 2, bytes), store(3, 3, bytes)},
                 {condition, taken, other}, dtype, [&](void* d, size_t n) {
                   select_loop(dtype)(d, condition.data(), taken.data(), other.data(), n,
                                      scalar ? scalar_a : no_scalar);
                 });
    }
  }
}

TEST(fused_loops_chain_values_through_copies_constants_and_all_pointer_registers) {
  if (!has_fused_loops()) SKIP("the host has no AVX-512");
  // d = ((p0 + p1) + p2) ... + p9, each input as bf16, rounded to bf16; the sums before the last stay in registers.
  std::vector<FusedInstruction> instructions;
  std::vector<std::vector<std::byte>> inputs;
  uint16_t next = 0;
  uint16_t total = 0;
  for (uint16_t p = 0; p < 10; ++p) {
    inputs.push_back(sample(DType::BF16, 300, 20 + p));
    const uint16_t narrow = next++;
    const uint16_t wide = next++;
    const uint16_t copied = next++;
    instructions.push_back(load(narrow, p, 2));
    instructions.push_back(operation(FusedOp::bf16_to_f32, wide, narrow));
    instructions.push_back(operation(FusedOp::copy, copied, wide));
    if (p != 0) {
      instructions.push_back(operation(FusedOp::add_f, next, total, copied));
      total = next++;
    } else {
      total = copied;
    }
  }
  instructions.push_back(operation(FusedOp::f32_to_bf16, next, total, 0, 0, 2));
  instructions.push_back(store(next, 10, 2));
  check_loop(instructions, inputs, DType::BF16, [&](void* d, size_t n) {
    std::vector<float> sum(n + 1);
    std::vector<float> term(n + 1);
    for (size_t p = 0; p < inputs.size(); ++p) {
      convert_loop(DType::BF16, DType::F32)(p == 0 ? sum.data() : term.data(), inputs[p].data(), n);
      if (p != 0) binary_loop(BinaryOp::add_f, DType::F32)(sum.data(), sum.data(), term.data(), n, {});
    }
    convert_loop(DType::F32, DType::BF16)(d, sum.data(), n);
  });
}

size_t mappings() {
  std::ifstream file("/proc/self/maps");
  return static_cast<size_t>(std::count(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>(), '\n'));
}

TEST(thousands_of_fused_loops_take_few_mappings_and_outlive_each_other) {
  if (!has_fused_loops()) SKIP("the host has no AVX-512");
  const size_t before = mappings();
  std::vector<std::unique_ptr<const FusedLoop>> loops;
  for (uint16_t i = 0; i < 5000; ++i) {
    const FusedInstruction adding[] = {load(0, 0), load(1, 1), operation(FusedOp::add_f, 2, 0, 1), store(2, 2)};
    loops.push_back(make_fused_loop(adding));
  }
  CHECK(mappings() < before + 100);
  loops.erase(loops.begin() + 1, loops.end() - 1);
  for (const auto& loop : loops) {
    float a[3] = {1, 2, 3};
    float b[3] = {0.5F, 0.25F, -3};
    float d[3] = {};
    std::byte* pointers[] = {reinterpret_cast<std::byte*>(a), reinterpret_cast<std::byte*>(b),
                             reinterpret_cast<std::byte*>(d)};
    run(*loop, pointers, 3, 3);
    CHECK_EQ(d[0], 1.5F);
    CHECK_EQ(d[2], 0.0F);
  }
}

TEST(fused_loops_that_need_too_many_registers_are_not_made) {
  std::vector<FusedInstruction> instructions;
  for (uint16_t v = 0; v < 40; ++v) instructions.push_back(single(v, v));
  for (uint16_t v = 1; v < 40; ++v) instructions.push_back(store(v, 0));
  CHECK(make_fused_loop(instructions) == nullptr);
}

}  // namespace
}  // namespace mtia::host_math
