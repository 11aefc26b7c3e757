// Every number that decides about a result's bits is one of loops/: the coefficients are included from there.
#include "host_math/fused/functions.h"

#include <bit>
#include <span>

#include "host_math/fused/forms.h"

namespace mtia::host_math {
namespace {

#include "host_math/loops/polynomials.inc"

constexpr uint32_t bits_of(float value) { return std::bit_cast<uint32_t>(value); }

constexpr uint32_t one = bits_of(1.0F);
constexpr uint32_t sign = 0x80000000U;
constexpr uint32_t round_magic = bits_of(12582912.0F);
constexpr uint32_t log2_e = bits_of(0x1.715476p+0F);
constexpr uint32_t ln2_high = bits_of(0.693359375F);
constexpr uint32_t ln2_low = bits_of(-2.12194440e-4F);

class Emitter {
 public:
  Emitter(Assembler& code, const ConstantRegister& constant) : code_(code), constant_(constant) {}

  // Infinity leaves nothing behind its rounding, so there is no upper bound.
  void exp2(unsigned d, unsigned a) {
    select_above(a, -151.0F);
    code_.evex(reduce_f32, d, 0, a);
    code_.immediate(to_nearest);
    code_.evex(subtract_f32, scratch_0, a, d);
    horner(scratch_1, d, exp2_coefficients);
    code_.evex(multiply_add_f32, scratch_1, d, constant_(one));
    scale(d);
  }

  void exp(unsigned d, unsigned a) {
    clamp(d, a, -104.0F, 89.0F);
    code_.evex(move_f32, scratch_0, 0, constant_(log2_e));
    code_.evex(multiply_add_f32, scratch_0, d, constant_(round_magic));
    code_.evex(subtract_f32, scratch_0, scratch_0, constant_(round_magic));
    code_.evex(subtract_product_f32, d, scratch_0, constant_(ln2_high));
    code_.evex(subtract_product_f32, d, scratch_0, constant_(ln2_low));
    horner(scratch_1, d, exp_coefficients);
    code_.evex(multiply_f32, scratch_2, d, d);
    code_.evex(multiply_add_f32, scratch_1, scratch_2, d);
    code_.evex(add_f32, scratch_1, scratch_1, constant_(one));
    scale(d);
  }

  void sigmoid(unsigned d, unsigned a) {
    code_.evex(or_i32, scratch_0, a, constant_(sign));
    exp(d, scratch_0);
    code_.evex(add_f32, scratch_0, d, constant_(one));
    code_.evex(xor_i32, scratch_1, scratch_1, scratch_1);
    code_.evex(compare_f32, work_mask, a, scratch_1);
    code_.immediate(less);
    code_.evex(move_f32, scratch_1, 0, constant_(one));
    code_.evex(move_f32, scratch_1, 0, d, {work_mask, false});
    code_.evex(divide_f32, d, scratch_1, scratch_0);
  }

 private:
  // The upper bound is the first operand, which loses to a NaN.
  void clamp(unsigned d, unsigned a, float low, float high) {
    code_.evex(min_f32, d, constant_(bits_of(high)), a);
    select_above(d, low);
  }

  // Results of what is not above `low` are 0: they are left out in scale(), because the host takes a hundred cycles to
  // find out that a product is too small.
  void select_above(unsigned a, float low) {
    code_.evex(compare_f32, work_mask, a, constant_(bits_of(low)));
    code_.immediate(not_less_or_equal);
  }

  // d = scratch_1 * 2^scratch_0
  void scale(unsigned d) { code_.evex(scale_f32, d, scratch_1, scratch_0, {work_mask, true}); }

  void horner(unsigned d, unsigned x, std::span<const float> coefficients) {
    code_.evex(move_f32, d, 0, constant_(bits_of(coefficients.back())));
    for (size_t i = coefficients.size() - 1; i-- > 0;)
      code_.evex(multiply_add_f32, d, x, constant_(bits_of(coefficients[i])));
  }

  Assembler& code_;
  const ConstantRegister& constant_;
};

}  // namespace

bool is_function(FusedOp op) { return op == FusedOp::exp || op == FusedOp::exp2 || op == FusedOp::sigmoid; }

void emit_function(FusedOp op, Assembler& code, const ConstantRegister& constant, unsigned d, unsigned a) {
  Emitter emitter(code, constant);
  switch (op) {
    case FusedOp::exp:
      return emitter.exp(d, a);
    case FusedOp::exp2:
      return emitter.exp2(d, a);
    default:
      return emitter.sigmoid(d, a);
  }
}

std::vector<uint32_t> constants_of_function(FusedOp op) {
  std::vector<uint32_t> constants;
  Assembler nowhere;
  const ConstantRegister note = [&](uint32_t bits) {
    constants.push_back(bits);
    return 0U;
  };
  emit_function(op, nowhere, note, 1, 0);
  return constants;
}

}  // namespace mtia::host_math
