// Every loop gives the same bits on every instruction set of this CPU, for all lengths, modes and special values.
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "host_math/elementwise.h"
#include "host_math/layout.h"
#include "host_math/random.h"
#include "host_math/reductions.h"
#include "samples.h"
#include "test.h"

namespace mtia::host_math {
namespace {

constexpr size_t capacity = 700;
const size_t lengths[] = {0, 1, 7, 16, 33, 256, 699};

// Runs body on each instruction set and compares `n` elements of dtype with those of the plain one.
void check_agreement(const std::string& what, DType dtype, size_t n, const std::function<void(HostIsa, void*)>& body) {
  std::vector<std::byte> reference(capacity * 8 + 8, std::byte{0x5A});
  body(HostIsa::plain, reference.data());
  for (const HostIsa isa : available_isas()) {
    std::vector<std::byte> result(capacity * 8 + 8, std::byte{0x5A});
    body(isa, result.data());
    for (size_t i = 0; i < n; ++i) {
      const size_t at = i * size_of(dtype);
      if (!test::same_element(dtype, reference.data() + at, result.data() + at)) {
        test::fail(
            __FILE__, __LINE__,
            concat(what, " ", name_of(dtype), " element ", i, " of ", n, ": ", name_of(isa), " differs from plain"));
      }
    }
    CHECK(result[n * size_of(dtype)] == std::byte{0x5A});  // nothing is written beyond the end
  }
}

TEST("unary loops agree") {
  for (const DTypeInfo& info : dtype_table) {
    const std::vector<std::byte> input = test::sample(info.dtype, capacity, 21);
    for (size_t i = 0; i < unary_op_count; ++i) {
      const auto op = static_cast<UnaryOp>(i);
      if (unary_loop(op, info.dtype) == nullptr) continue;
      const bool is_test = op >= UnaryOp::is_nan && op <= UnaryOp::is_finite;
      for (const size_t n : lengths) {
        check_agreement(std::string(name_of(op)), is_test ? DType::I1 : info.dtype, n,
                        [&](HostIsa isa, void* dst) { unary_loop(op, info.dtype, isa)(dst, input.data(), n); });
      }
    }
  }
}

void check_binary(const std::string& what, DType dtype, DType result, const std::function<BinaryLoop(HostIsa)>& loop) {
  const std::vector<std::byte> a = test::sample(dtype, capacity, 31);
  const std::vector<std::byte> b = test::sample(dtype, capacity, 32);
  for (const size_t n : lengths) {
    for (const BinaryMode mode : {BinaryMode::vector_vector, BinaryMode::scalar_vector, BinaryMode::vector_scalar}) {
      check_agreement(what, result, n, [&](HostIsa isa, void* dst) { loop(isa)(dst, a.data(), b.data(), n, mode); });
    }
  }
}

TEST("binary loops and comparisons agree") {
  for (const DTypeInfo& info : dtype_table) {
    for (size_t i = 0; i < binary_op_count; ++i) {
      const auto op = static_cast<BinaryOp>(i);
      if (binary_loop(op, info.dtype) == nullptr) continue;
      check_binary(std::string(name_of(op)), info.dtype, info.dtype,
                   [&](HostIsa isa) { return binary_loop(op, info.dtype, isa); });
    }
    for (size_t i = 0; i < float_compare_count; ++i) {
      const auto op = static_cast<FloatCompare>(i);
      if (compare_loop(op, info.dtype) == nullptr) continue;
      check_binary(std::string(name_of(op)), info.dtype, DType::I1,
                   [&](HostIsa isa) { return compare_loop(op, info.dtype, isa); });
    }
    for (size_t i = 0; i < integer_compare_count; ++i) {
      const auto op = static_cast<IntegerCompare>(i);
      if (compare_loop(op, info.dtype) == nullptr) continue;
      check_binary(std::string(name_of(op)), info.dtype, DType::I1,
                   [&](HostIsa isa) { return compare_loop(op, info.dtype, isa); });
    }
  }
}

TEST("ternary loops agree, with any operand a scalar") {
  for (const DTypeInfo& info : dtype_table) {
    const std::vector<std::byte> condition = test::sample(DType::I1, capacity, 40);
    const std::vector<std::byte> a = test::sample(info.dtype, capacity, 41);
    const std::vector<std::byte> b = test::sample(info.dtype, capacity, 42);
    const std::vector<std::byte> c = test::sample(info.dtype, capacity, 43);
    for (unsigned scalars = 0; scalars < 8; ++scalars) {
      for (size_t i = 0; i < ternary_op_count; ++i) {
        const auto op = static_cast<TernaryOp>(i);
        if (ternary_loop(op, info.dtype) == nullptr) continue;
        check_agreement(std::string(name_of(op)), info.dtype, 300, [&](HostIsa isa, void* dst) {
          ternary_loop(op, info.dtype, isa)(dst, a.data(), b.data(), c.data(), 300, scalars);
        });
      }
      check_agreement("select", info.dtype, 699, [&](HostIsa isa, void* dst) {
        select_loop(info.dtype, isa)(dst, condition.data(), b.data(), c.data(), 699, scalars);
      });
    }
  }
}

TEST("conversions exist for all pairs and agree") {
  for (const DTypeInfo& from : dtype_table) {
    const std::vector<std::byte> input = test::sample(from.dtype, capacity, 51);
    for (const DTypeInfo& to : dtype_table) {
      for (const bool is_unsigned : {false, true}) {
        for (const Rounding rounding : {Rounding::nearest_even, Rounding::toward_zero}) {
          const ConvertMode mode{is_unsigned, rounding};
          CHECK(convert_loop(from.dtype, to.dtype, mode) != nullptr);
          check_agreement(concat("convert ", from.name), to.dtype, 333, [&](HostIsa isa, void* dst) {
            convert_loop(from.dtype, to.dtype, mode, isa)(dst, input.data(), 333);
          });
        }
      }
    }
  }
}

TEST("reductions and scans agree") {
  constexpr size_t stride = 69;
  for (const DTypeInfo& info : dtype_table) {
    const std::vector<std::byte> input = test::sample(info.dtype, capacity, 61);
    for (size_t i = 0; i < reduce_op_count; ++i) {
      const auto op = static_cast<ReduceOp>(i);
      if (reduce_rows_loop(op, info.dtype) == nullptr) continue;
      const std::string name(name_of(op));
      for (const size_t length : {size_t{0}, size_t{1}, size_t{16}, size_t{67}}) {
        check_agreement("rows " + name, info.dtype, 10, [&](HostIsa isa, void* dst) {
          reduce_rows_loop(op, info.dtype, isa)(dst, input.data(), 10, length, stride);
        });
        check_agreement("columns " + name, info.dtype, length, [&](HostIsa isa, void* dst) {
          reduce_columns_loop(op, info.dtype, isa)(dst, input.data(), 10, length, stride);
        });
      }
      for (const bool reverse : {false, true}) {
        check_agreement("scan rows " + name, info.dtype, 10 * stride, [&](HostIsa isa, void* dst) {
          scan_rows_loop(op, info.dtype, isa)(dst, stride, input.data(), stride, 10, stride, reverse);
        });
        check_agreement("scan columns " + name, info.dtype, 10 * stride, [&](HostIsa isa, void* dst) {
          scan_columns_loop(op, info.dtype, isa)(dst, stride, input.data(), stride, 10, stride, reverse);
        });
      }
      if (reduce_index_rows_loop(op, info.dtype) == nullptr) continue;
      check_agreement("index " + name, DType::I32, 10, [&](HostIsa isa, void* dst) {
        std::vector<std::byte> value(capacity * 8);
        reduce_index_rows_loop(op, info.dtype, isa)(value.data(), static_cast<int32_t*>(dst), input.data(), nullptr, 10,
                                                    stride, stride);
      });
    }
  }
}

TEST("transposes and random numbers agree") {
  for (const DType dtype : {DType::I8, DType::I16, DType::I32, DType::I64}) {
    const std::vector<std::byte> input = test::sample(dtype, capacity, 71);
    check_agreement("transpose", dtype, 21 * 30,
                    [&](HostIsa isa, void* dst) { transpose(size_of(dtype), dst, 21, input.data(), 33, 21, 30, isa); });
  }
  const PhiloxSequence sequence{.seed = 0x123456789ABCDEF0ULL, .stream = 7, .first = 1ULL << 35};
  check_agreement("philox", DType::I32, 601,
                  [&](HostIsa isa, void* dst) { philox_bits(static_cast<uint32_t*>(dst), sequence, 601, isa); });
  check_agreement("uniform", DType::F32, 601,
                  [&](HostIsa isa, void* dst) { philox_uniform(static_cast<float*>(dst), sequence, 601, isa); });
  check_agreement("normal", DType::F32, 601,
                  [&](HostIsa isa, void* dst) { philox_normal(static_cast<float*>(dst), sequence, 601, isa); });
}

}  // namespace
}  // namespace mtia::host_math
