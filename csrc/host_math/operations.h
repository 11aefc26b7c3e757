// The operations that host_math has loops for; names are the mnemonics of the tile instruction set
// (csrc/isa/instructions.def).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mtia::host_math {

#define MTIA_FLOAT_UNARY_OPS(ROW)                                                                               \
  ROW(neg_f)                                                                                                    \
  ROW(abs_f)                                                                                                    \
  ROW(sqrt)                                                                                                     \
  ROW(rsqrt)                                                                                                    \
  ROW(reciprocal)                                                                                               \
  ROW(cbrt) ROW(exp) ROW(exp2) ROW(expm1) ROW(log) ROW(log2) ROW(log10) ROW(log1p) ROW(sin) ROW(cos) ROW(tan)   \
      ROW(asin) ROW(acos) ROW(atan) ROW(sinh) ROW(cosh) ROW(asinh) ROW(acosh) ROW(atanh) ROW(tanh) ROW(sigmoid) \
          ROW(gelu) ROW(erf) ROW(erfc) ROW(lgamma) ROW(floor) ROW(ceil) ROW(trunc) ROW(round_even)
#define MTIA_FLOAT_TEST_OPS(ROW) ROW(is_nan) ROW(is_inf) ROW(is_finite)
#define MTIA_INTEGER_UNARY_OPS(ROW) ROW(abs_i) ROW(popcount) ROW(count_leading_zeros)
#define MTIA_UNARY_OPS(ROW) MTIA_FLOAT_UNARY_OPS(ROW) MTIA_FLOAT_TEST_OPS(ROW) MTIA_INTEGER_UNARY_OPS(ROW)

#define MTIA_FLOAT_BINARY_OPS(ROW) \
  ROW(add_f)                       \
  ROW(sub_f)                       \
  ROW(mul_f)                       \
  ROW(div_f) ROW(rem_f) ROW(max_f) ROW(min_f) ROW(maximum_f) ROW(minimum_f) ROW(pow_f) ROW(atan2_f) ROW(copysign_f)
#define MTIA_INTEGER_BINARY_OPS(ROW)                                                                         \
  ROW(add_i)                                                                                                 \
  ROW(sub_i)                                                                                                 \
  ROW(mul_i)                                                                                                 \
  ROW(div_s)                                                                                                 \
  ROW(div_u)                                                                                                 \
  ROW(rem_s) ROW(rem_u) ROW(max_s) ROW(max_u) ROW(min_s) ROW(min_u) ROW(and_i) ROW(or_i) ROW(xor_i) ROW(shl) \
      ROW(shr_s) ROW(shr_u) ROW(mulhi_u) ROW(mulhi_s)
#define MTIA_BINARY_OPS(ROW) MTIA_FLOAT_BINARY_OPS(ROW) MTIA_INTEGER_BINARY_OPS(ROW)

#define MTIA_TERNARY_OPS(ROW) ROW(fma_f) ROW(clamp_f) ROW(clamp_propagate_nan_f)

// Numbers of MLIR's arith.cmpi and arith.cmpf predicates.
#define MTIA_INTEGER_COMPARE_OPS(ROW) \
  ROW(eq) ROW(ne) ROW(slt) ROW(sle) ROW(sgt) ROW(sge) ROW(ult) ROW(ule) ROW(ugt) ROW(uge)
#define MTIA_FLOAT_COMPARE_OPS(ROW) \
  ROW(always_false)                 \
  ROW(oeq)                          \
  ROW(ogt)                          \
  ROW(oge)                          \
  ROW(olt) ROW(ole) ROW(one) ROW(ord) ROW(ueq) ROW(ugt) ROW(uge) ROW(ult) ROW(ule) ROW(une) ROW(uno) ROW(always_true)

// Numbers of the `kind` attribute of the instructions reduce and scan.
#define MTIA_REDUCE_OPS(ROW) \
  ROW(sum_f)                 \
  ROW(prod_f)                \
  ROW(max_f)                 \
  ROW(min_f)                 \
  ROW(maximum_f)             \
  ROW(minimum_f) ROW(sum_i) ROW(prod_i) ROW(max_s) ROW(max_u) ROW(min_s) ROW(min_u) ROW(and_i) ROW(or_i) ROW(xor_i)

#define MTIA_DEFINE_OPS(Enum, count_name, LIST)                \
  enum class Enum : uint8_t { LIST(MTIA_OP_ENTRY) };           \
  inline constexpr size_t count_name = 0 LIST(MTIA_OP_COUNT);  \
  constexpr std::string_view name_of(Enum op) {                \
    constexpr std::string_view names[] = {LIST(MTIA_OP_NAME)}; \
    return names[static_cast<size_t>(op)];                     \
  }
#define MTIA_OP_ENTRY(name) name,
#define MTIA_OP_COUNT(name) +1
#define MTIA_OP_NAME(name) #name,

MTIA_DEFINE_OPS(UnaryOp, unary_op_count, MTIA_UNARY_OPS)
MTIA_DEFINE_OPS(BinaryOp, binary_op_count, MTIA_BINARY_OPS)
MTIA_DEFINE_OPS(TernaryOp, ternary_op_count, MTIA_TERNARY_OPS)
MTIA_DEFINE_OPS(IntegerCompare, integer_compare_count, MTIA_INTEGER_COMPARE_OPS)
MTIA_DEFINE_OPS(FloatCompare, float_compare_count, MTIA_FLOAT_COMPARE_OPS)
MTIA_DEFINE_OPS(ReduceOp, reduce_op_count, MTIA_REDUCE_OPS)

#undef MTIA_OP_ENTRY
#undef MTIA_OP_COUNT
#undef MTIA_OP_NAME
#undef MTIA_DEFINE_OPS

}  // namespace mtia::host_math
