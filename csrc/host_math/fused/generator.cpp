// Values live in zmm registers: 32-bit elements as they are, 16-bit ones packed in the lower half, bytes each in 32
// bits. What depends on single elements alone is computed before a row, or before all of them where these are the same
// for every row. Sixteen elements an iteration; the rest of a row under a mask.
#include "host_math/fused/generator.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>

#include "host_math/fused/assembler.h"
#include "host_math/fused/forms.h"
#include "host_math/fused/functions.h"

namespace mtia::host_math {
namespace {

constexpr uint32_t prefetch_bytes = 2048;  // ahead of a stream
constexpr unsigned rax = 0;
constexpr unsigned rcx = 1;
constexpr unsigned rsi = 6;
constexpr std::array<uint8_t, 11> pointer_registers{2, 8, 9, 10, 11, 3, 5, 12, 13, 14, 15};
constexpr size_t caller_saved = 5;  // of the pointer registers

Form load_form(unsigned bytes) { return bytes == 4 ? Form{0x10} : bytes == 2 ? Form{0x6F, 1, 3, 1, 1} : widen_8; }
Form store_form(unsigned bytes) {
  return bytes == 4 ? Form{0x11} : bytes == 2 ? Form{0x7F, 1, 3, 1, 1} : Form{0x31, 2, 2};
}
Form broadcast_form(unsigned bytes) {
  return bytes == 4 ? Form{0x18, 2, 1} : bytes == 2 ? Form{0x79, 2, 1, 0, 1} : Form{0x78, 2, 1, 0, 0};
}

constexpr uint32_t quiet_nan = 0x7FC00000U;

// MLIR's predicates as immediates of vcmpps and vpcmpd.
constexpr std::array<uint8_t, 16> float_predicates{0x0B, 0x00, 0x1E, 0x1D, 0x11, 0x12, 0x0C, 0x07,
                                                   0x08, 0x16, 0x15, 0x19, 0x1A, 0x04, 0x03, 0x0F};
constexpr std::array<uint8_t, 10> integer_predicates{0, 4, 1, 2, 6, 5, 1, 2, 6, 5};
constexpr uint8_t first_unsigned_predicate = 6;

std::optional<Form> binary_form(FusedOp op) {
  switch (op) {
    case FusedOp::add_f:
      return add_f32;
    case FusedOp::mul_f:
      return multiply_f32;
    case FusedOp::sub_f:
      return subtract_f32;
    case FusedOp::div_f:
      return divide_f32;
    case FusedOp::add_i:
      return add_i32;
    case FusedOp::sub_i:
      return Form{0xFA, 1, 1};
    case FusedOp::mul_i:
      return Form{0x40, 2, 1};
    case FusedOp::min_s:
      return Form{0x39, 2, 1};
    case FusedOp::max_s:
      return Form{0x3D, 2, 1};
    case FusedOp::and_i:
      return and_i32;
    case FusedOp::or_i:
      return or_i32;
    case FusedOp::xor_i:
      return xor_i32;
    default:
      return std::nullopt;
  }
}

unsigned operand_count(FusedOp op) {
  switch (op) {
    case FusedOp::load:
    case FusedOp::single:
      return 0;
    case FusedOp::fma_f:
    case FusedOp::select:
      return 3;
    case FusedOp::store:
    case FusedOp::copy:
    case FusedOp::neg_f:
    case FusedOp::abs_f:
    case FusedOp::sqrt:
    case FusedOp::rsqrt:
    case FusedOp::reciprocal:
    case FusedOp::exp:
    case FusedOp::exp2:
    case FusedOp::sigmoid:
    case FusedOp::sum_lanes:
    case FusedOp::max_lanes:
    case FusedOp::bf16_to_f32:
    case FusedOp::f32_to_bf16:
    case FusedOp::f16_to_f32:
    case FusedOp::f32_to_f16:
    case FusedOp::s32_to_f32:
      return 1;
    default:
      return 2;
  }
}

constexpr uint32_t at_n = offsetof(FusedCall, n);
constexpr uint32_t at_rows = offsetof(FusedCall, rows);
uint32_t at_pointer(unsigned pointer) { return static_cast<uint32_t>(offsetof(FusedCall, pointers)) + 8U * pointer; }
uint32_t at_stride(unsigned pointer) { return static_cast<uint32_t>(offsetof(FusedCall, strides)) + 8U * pointer; }

bool has_result(FusedOp op) { return op != FusedOp::store && op != FusedOp::sum_lanes && op != FusedOp::max_lanes; }
bool is_lanes(FusedOp op) { return op == FusedOp::sum_lanes || op == FusedOp::max_lanes; }

// How often a value is computed.
enum class Level : uint8_t { once, row, element };

struct OutOfRegisters {};

class Generator {
 public:
  Generator(std::span<const FusedInstruction> instructions, bool converts_bf16)
      : instructions_(instructions), converts_bf16_(converts_bf16) {
    for (unsigned reg = value_registers; reg-- > 0;) free_.push_back(reg);
  }

  std::vector<uint8_t> generate() {
    find_uses();
    for (size_t i = caller_saved; i < pointers_.size(); ++i) code_.push(pointer_registers[i]);
    for (const auto& [pointer, reg] : pointers_) code_.load_from_rdi(reg, at_pointer(pointer));
    code_.load_from_rdi(rsi, at_n);
    code_.mask_of_rest();
    code_.clear_rcx();
    for (const FusedInstruction& item : instructions_) {
      for (const uint32_t bits : constants_of(item.op)) constant(bits);
    }
    for (const FusedInstruction& item : instructions_) {
      if (is_lanes(item.op)) lanes_[item.pointer] = take();
    }
    emit_level(Level::once, {});
    const size_t row = code_.position();
    code_.clear_rcx();
    start_lanes();
    emit_level(Level::row, {});
    const std::vector<unsigned> free = free_;
    const auto registers = registers_;
    code_.rax_is_rcx_plus(16);
    code_.compare_rax_rsi();
    const size_t to_rest = code_.jump(0x87);
    const size_t loop = code_.position();
    emit_level(Level::element, {});
    code_.rcx_is_rax();
    code_.rax_is_rcx_plus(16);
    code_.compare_rax_rsi();
    code_.jump_back(0x86, loop);
    code_.land(to_rest, code_.position());
    code_.compare_rcx_rsi();
    const size_t to_end = code_.jump(0x83);
    free_ = free;
    registers_ = registers;
    emit_level(Level::element, {rest_mask, true});
    code_.land(to_end, code_.position());
    store_lanes();
    code_.decrement_at_rdi(at_rows);
    const size_t to_return = code_.jump(0x84);
    next_row();
    code_.jump_always(row);
    code_.land(to_return, code_.position());
    code_.leave_vectors();
    for (size_t i = pointers_.size(); i-- > caller_saved;) code_.pop(pointer_registers[i]);
    code_.ret();
    for (const Aside& aside : asides_) {
      code_.land(aside.from, code_.position());
      round_to_bf16(aside.d, aside.a);
      code_.jump_always(aside.back);
    }
    return code_.code();
  }

 private:
  uint16_t resolved(uint16_t value) const {
    const auto found = alias_.find(value);
    return found == alias_.end() ? value : found->second;
  }
  uint16_t operand(const FusedInstruction& item, unsigned number) const {
    return resolved(number == 0 ? item.a : number == 1 ? item.b : item.c);
  }

  void find_uses() {
    for (size_t i = 0; i < instructions_.size(); ++i) {
      const FusedInstruction& item = instructions_[i];
      if (item.op == FusedOp::load || !has_result(item.op)) {
        const bool known = std::any_of(pointers_.begin(), pointers_.end(),
                                       [&](const auto& entry) { return entry.first == item.pointer; });
        if (!known) {
          if (pointers_.size() == pointer_registers.size()) throw OutOfRegisters();
          pointers_.emplace_back(item.pointer, pointer_registers[pointers_.size()]);
        }
      }
      Level level = item.op == FusedOp::load || !has_result(item.op) ? Level::element
                    : item.op == FusedOp::single && !item.fixed      ? Level::row
                                                                     : Level::once;
      for (unsigned o = 0; o < operand_count(item.op); ++o) level = std::max(level, levels_[operand(item, o)]);
      for (unsigned o = 0; o < operand_count(item.op); ++o) {
        Use& use = last_use_.try_emplace(operand(item, o), Use{level, i}).first->second;
        if (level >= use.level) use = {level, i};
      }
      if (item.op == FusedOp::copy) alias_[item.d] = resolved(item.a);
      if (has_result(item.op) && item.op != FusedOp::copy) levels_[item.d] = level;
      level_of_.push_back(level);
    }
  }

  static std::vector<uint32_t> constants_of(FusedOp op) {
    switch (op) {
      case FusedOp::neg_f:
        return {0x80000000U};
      case FusedOp::abs_f:
        return {0x7FFFFFFFU};
      case FusedOp::rsqrt:
      case FusedOp::reciprocal:
        return {0x3F800000U};
      case FusedOp::compare_f:
      case FusedOp::compare_i:
        return {1};
      case FusedOp::f32_to_bf16:
        return {1, 0x7FFF, 0x40};
      default:
        return is_function(op) ? constants_of_function(op) : std::vector<uint32_t>{};
    }
  }

  unsigned constant(uint32_t bits) {
    const auto found = constants_.find(bits);
    if (found != constants_.end()) return found->second;
    const unsigned reg = take();
    broadcast(reg, bits);
    constants_[bits] = reg;
    return reg;
  }

  void broadcast(unsigned reg, uint32_t bits) {
    code_.move_constant(rax, bits);
    code_.evex(broadcast_from_scalar, reg, 0, rax);
  }

  unsigned take() {
    if (free_.empty()) throw OutOfRegisters();
    const unsigned reg = free_.back();
    free_.pop_back();
    return reg;
  }

  Memory place_of(const FusedInstruction& item) const {
    for (const auto& [pointer, reg] : pointers_) {
      if (pointer == item.pointer) return {reg, rcx, item.bytes};
    }
    return {};
  }

  void emit_level(Level level, Masking masking) {
    for (size_t i = 0; i < instructions_.size(); ++i) {
      const FusedInstruction& item = instructions_[i];
      if (level_of_[i] != level || item.op == FusedOp::copy) continue;
      emit(i, masking);
      for (unsigned o = 0; o < operand_count(item.op); ++o) release(operand(item, o), level, i);
      if (has_result(item.op) && last_use_.count(item.d) == 0) release(item.d, level, i);
    }
  }

  // A value that an inner level reads keeps its register: it is read again.
  void release(uint16_t value, Level level, size_t at) {
    const auto found = registers_.find(value);
    if (found == registers_.end() || levels_[value] != level) return;
    const auto last = last_use_.find(value);
    if (last != last_use_.end() && (last->second.level != level || last->second.instruction != at)) return;
    free_.push_back(found->second);
    registers_.erase(found);
  }

  void start_lanes() {
    for (const FusedInstruction& item : instructions_) {
      if (is_lanes(item.op)) broadcast(lanes_.at(item.pointer), item.op == FusedOp::sum_lanes ? 0 : quiet_nan);
    }
  }

  void store_lanes() {
    if (!lanes_.empty()) code_.clear_rcx();
    for (const FusedInstruction& item : instructions_) {
      if (is_lanes(item.op)) code_.evex(store_form(4), lanes_.at(item.pointer), 0, place_of(item));
    }
  }

  void next_row() {
    for (const auto& [pointer, reg] : pointers_) code_.add_from_rdi(reg, at_stride(pointer));
    for (const FusedInstruction& item : instructions_) {
      if (item.op != FusedOp::single || item.fixed) continue;
      code_.load_from_rdi(rax, at_stride(item.pointer));
      code_.add_to_rdi(rax, at_pointer(item.pointer));
    }
  }

  // Lanes behind the end of the row stay as they are.
  void add_to_lanes(const FusedInstruction& item, unsigned a, Masking masking) {
    const unsigned lanes = lanes_.at(item.pointer);
    const Masking kept{masking.mask, false};
    if (item.op == FusedOp::sum_lanes) {
      code_.evex(add_f32, lanes, lanes, a, kept);
      return;
    }
    code_.evex(compare_f32, work_mask, a, a, kept);
    code_.immediate(ordered);
    code_.evex(max_f32, lanes, lanes, a, {work_mask, false});
  }

  void emit(size_t number, Masking masking) {
    const FusedInstruction& item = instructions_[number];
    const unsigned a = operand_count(item.op) > 0 ? registers_.at(resolved(item.a)) : 0;
    const unsigned b = operand_count(item.op) > 1 ? registers_.at(resolved(item.b)) : 0;
    const unsigned c = operand_count(item.op) > 2 ? registers_.at(resolved(item.c)) : 0;
    if (item.op == FusedOp::store) {
      code_.evex(store_form(item.bytes), a, 0, place_of(item), {masking.mask, false});
      return;
    }
    if (is_lanes(item.op)) return add_to_lanes(item, a, masking);
    const unsigned d = take();
    registers_[item.d] = d;
    if (const auto form = binary_form(item.op)) {
      code_.evex(*form, d, a, b);
      return;
    }
    if (is_function(item.op)) return emit_function(item.op, code_, constant_register_, d, a);
    switch (item.op) {
      case FusedOp::load:
        if (item.streams && masking.mask == 0) code_.prefetch(place_of(item), prefetch_bytes);
        code_.evex(load_form(item.bytes), d, 0, place_of(item), masking);
        break;
      case FusedOp::single:
        code_.load_from_rdi(rax, at_pointer(item.pointer));
        code_.evex(broadcast_form(item.bytes), d, 0, Memory{rax, rcx, 1});
        if (item.bytes == 1) code_.evex(widen_8, d, 0, d);
        break;
      case FusedOp::max_f:
        choose(max_f32, d, a, b, b);
        break;
      case FusedOp::min_f:
        choose(min_f32, d, a, b, b);
        break;
      case FusedOp::maximum_f:
        choose(max_f32, d, a, b, a);
        break;
      case FusedOp::minimum_f:
        choose(min_f32, d, a, b, a);
        break;
      case FusedOp::fma_f:
        code_.evex(move_f32, d, 0, a);
        code_.evex(multiply_add_f32, d, b, c);
        break;
      case FusedOp::neg_f:
        code_.evex(xor_i32, d, a, constant(0x80000000U));
        break;
      case FusedOp::abs_f:
        code_.evex(and_i32, d, a, constant(0x7FFFFFFFU));
        break;
      case FusedOp::sqrt:
        code_.evex(root_f32, d, 0, a);
        break;
      case FusedOp::rsqrt:
        code_.evex(root_f32, scratch_0, 0, a);
        code_.evex(divide_f32, d, constant(0x3F800000U), scratch_0);
        break;
      case FusedOp::reciprocal:
        code_.evex(divide_f32, d, constant(0x3F800000U), a);
        break;
      case FusedOp::compare_f:
        code_.evex(compare_f32, work_mask, a, b);
        code_.immediate(float_predicates[item.predicate]);
        code_.evex(move_i32, d, 0, constant(1), {work_mask, true});
        break;
      case FusedOp::compare_i:
        code_.evex(Form{item.predicate >= first_unsigned_predicate ? uint8_t{0x1E} : uint8_t{0x1F}, 3, 1}, work_mask, a,
                   b);
        code_.immediate(integer_predicates[item.predicate]);
        code_.evex(move_i32, d, 0, constant(1), {work_mask, true});
        break;
      case FusedOp::select:
        code_.evex(test_i32, work_mask, a, a);
        code_.evex(item.bytes == 2 ? blend_16 : blend_32, d, c, b, {work_mask, false});
        break;
      case FusedOp::bf16_to_f32:
        code_.evex(widen_16, d, 0, a);
        shift(d, d, 6, 16);
        break;
      case FusedOp::f32_to_bf16:
        converts_bf16_ ? convert_if_normal(d, a) : round_to_bf16(d, a);
        break;
      case FusedOp::f16_to_f32:
        code_.evex(Form{0x13, 2, 1}, d, 0, a);
        break;
      case FusedOp::f32_to_f16:
        code_.evex(Form{0x1D, 3, 1}, a, 0, d);
        code_.immediate(0);  // to nearest even
        break;
      case FusedOp::s32_to_f32:
        code_.evex(Form{0x5B}, d, 0, a);
        break;
      default:
        break;
    }
  }

  // d = form(a, b), and a where `tested` is NaN.
  void choose(const Form& form, unsigned d, unsigned a, unsigned b, unsigned tested) {
    code_.evex(form, d, a, b);
    code_.evex(compare_f32, work_mask, tested, tested);
    code_.immediate(unordered);
    code_.evex(move_f32, d, 0, a, {work_mask, false});
  }

  void shift(unsigned d, unsigned a, unsigned direction, uint8_t count) {
    code_.evex(shift_i32, direction, d, a);
    code_.immediate(count);
  }

  // The host's instruction, but aside of the loop where some number is subnormal.
  void convert_if_normal(unsigned d, unsigned a) {
    code_.evex(classify_f32, work_mask, 0, a);
    code_.immediate(subnormal);
    code_.test_work_mask();
    const size_t from = code_.jump(0x85);
    code_.evex(convert_to_bf16, d, 0, a);
    asides_.push_back({from, code_.position(), d, a});
  }

  // (a + 0x7FFF + the lowest kept bit) >> 16, quiet where a is NaN.
  void round_to_bf16(unsigned d, unsigned a) {
    shift(scratch_0, a, 2, 16);
    code_.evex(and_i32, scratch_1, scratch_0, constant(1));
    code_.evex(add_i32, scratch_1, scratch_1, a);
    code_.evex(add_i32, scratch_1, scratch_1, constant(0x7FFF));
    shift(scratch_1, scratch_1, 2, 16);
    code_.evex(compare_f32, work_mask, a, a);
    code_.immediate(unordered);
    code_.evex(or_i32, scratch_1, scratch_0, constant(0x40), {work_mask, false});
    code_.evex(narrow_16, scratch_1, 0, d);
  }

  // A conversion outside of the loop: the jump to it, and where it goes on.
  struct Aside {
    size_t from;
    size_t back;
    unsigned d;
    unsigned a;
  };

  std::span<const FusedInstruction> instructions_;
  const bool converts_bf16_;
  std::vector<Aside> asides_;
  Assembler code_;
  const ConstantRegister constant_register_ = [this](uint32_t bits) { return constant(bits); };
  struct Use {
    Level level;
    size_t instruction;
  };
  std::vector<Level> level_of_;  // instructions
  std::map<uint16_t, Level> levels_;
  std::map<uint16_t, uint16_t> alias_;
  std::map<uint16_t, Use> last_use_;    // at the innermost level that reads a value
  std::map<uint16_t, unsigned> lanes_;  // registers, by the pointer they go to
  std::map<uint16_t, unsigned> registers_;
  std::map<uint32_t, unsigned> constants_;
  std::vector<unsigned> free_;
  std::vector<std::pair<uint16_t, uint8_t>> pointers_;
};

}  // namespace

std::optional<std::vector<uint8_t>> generate_fused_loop(std::span<const FusedInstruction> instructions,
                                                        bool converts_bf16) {
  try {
    return Generator(instructions, converts_bf16).generate();
  } catch (const OutOfRegisters&) {
    return std::nullopt;
  }
}

}  // namespace mtia::host_math
