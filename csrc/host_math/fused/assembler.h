// Writes the AVX-512 machine code of fused loops: EVEX encoding (Intel SDM volume 2, section 2.7), and the few scalar
// instructions around it. Registers are numbers: zmm0 to zmm31, k0 to k7, rax = 0 to r15 = 15.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace mtia::host_math {

// Fields of an EVEX instruction that do not depend on its operands.
struct Form {
  uint8_t opcode;
  uint8_t map = 1;     // 1: 0F, 2: 0F38, 3: 0F3A
  uint8_t prefix = 0;  // 0: none, 1: 66, 2: F3, 3: F2
  uint8_t wide = 0;    // EVEX.W
  uint8_t length = 2;  // 0: 128, 1: 256, 2: 512 bits
};

// base + index * scale
struct Memory {
  uint8_t base;
  uint8_t index;
  uint8_t scale;  // 1, 2, 4, 8
};

struct Masking {
  uint8_t mask = 0;  // 0: none
  bool zero = false;
};

class Assembler {
 public:
  const std::vector<uint8_t>& code() const { return code_; }
  size_t position() const { return code_.size(); }

  void evex(const Form& form, unsigned reg, unsigned second, unsigned rm, Masking masking = {}) {
    prefix(form, reg, second, (rm >> 3 & 1U) != 0, (rm >> 4 & 1U) != 0, masking);
    bytes({form.opcode, modrm(3, reg, rm)});
  }
  void evex(const Form& form, unsigned reg, unsigned second, const Memory& memory, Masking masking = {}) {
    prefix(form, reg, second, (memory.base >> 3 & 1U) != 0, (memory.index >> 3 & 1U) != 0, masking);
    byte(form.opcode);
    address(reg, memory);
  }
  void immediate(uint8_t value) { byte(value); }

  // ---- scalar instructions
  void push(unsigned reg) {
    if (reg >= 8) byte(0x41);
    byte(static_cast<uint8_t>(0x50 | (reg & 7U)));
  }
  void pop(unsigned reg) {
    if (reg >= 8) byte(0x41);
    byte(static_cast<uint8_t>(0x58 | (reg & 7U)));
  }
  // reg = [rdi + displacement]
  void load_from_rdi(unsigned reg, uint32_t displacement) {
    bytes({static_cast<uint8_t>(0x48 | (reg >> 3 & 1U) << 2), 0x8B, modrm(2, reg, 7)});
    word(displacement);
  }
  // reg = reg + [rdi + displacement]
  void add_from_rdi(unsigned reg, uint32_t displacement) {
    bytes({static_cast<uint8_t>(0x48 | (reg >> 3 & 1U) << 2), 0x03, modrm(2, reg, 7)});
    word(displacement);
  }
  // [rdi + displacement] = [rdi + displacement] + reg
  void add_to_rdi(unsigned reg, uint32_t displacement) {
    bytes({static_cast<uint8_t>(0x48 | (reg >> 3 & 1U) << 2), 0x01, modrm(2, reg, 7)});
    word(displacement);
  }
  // [rdi + displacement] = [rdi + displacement] - 1, setting the flags of a result of zero
  void decrement_at_rdi(uint32_t displacement) {
    bytes({0x48, 0xFF, modrm(2, 1, 7)});
    word(displacement);
  }
  void move_constant(unsigned reg, uint32_t value) {  // the low eight registers only
    byte(static_cast<uint8_t>(0xB8 | reg));
    word(value);
  }
  // Into all caches; an address that cannot be read does no harm.
  void prefetch(const Memory& memory, uint32_t displacement) {
    byte(static_cast<uint8_t>(0x40 | (memory.index >> 3 & 1U) << 1 | (memory.base >> 3 & 1U)));
    bytes({0x0F, 0x18, modrm(2, 1, 4), scaled(memory)});
    word(displacement);
  }
  void clear_rcx() { bytes({0x31, 0xC9}); }
  void rax_is_rcx_plus(uint8_t value) { bytes({0x48, 0x8D, 0x41, value}); }
  void compare_rax_rsi() { bytes({0x48, 0x39, 0xF0}); }
  void compare_rcx_rsi() { bytes({0x48, 0x39, 0xF1}); }
  void rcx_is_rax() { bytes({0x48, 0x89, 0xC1}); }
  // k1 = as many of the lowest bits as rsi mod 16 says; rax and rcx are lost
  void mask_of_rest() {
    bytes({0x89, 0xF1});                    // mov ecx, esi
    bytes({0x83, 0xE1, 0x0F});              // and ecx, 15
    bytes({0xB8, 0xFF, 0xFF, 0xFF, 0xFF});  // mov eax, -1
    bytes({0xC4, 0xE2, 0x70, 0xF5, 0xC0});  // bzhi eax, eax, ecx
    bytes({0xC5, 0xF8, 0x92, 0xC8});        // kmovw k1, eax
  }

  // Sets the flags of a result of zero where k2 is empty.
  void test_work_mask() { bytes({0xC5, 0xF8, 0x98, 0xD2}); }  // kortestw k2, k2

  void leave_vectors() { bytes({0xC5, 0xF8, 0x77}); }
  void ret() { byte(0xC3); }

  // Conditional jumps to be filled in: 0x87 above, 0x83 not below, 0x82 below, 0x86 not above, 0x84 zero, 0x85 not
  // zero.
  size_t jump(uint8_t condition) {
    bytes({0x0F, condition});
    word(0);
    return position();
  }
  void jump_back(uint8_t condition, size_t target) { land(jump(condition), target); }
  void jump_always(size_t target) {
    byte(0xE9);
    word(0);
    land(position(), target);
  }
  void land(size_t jump, size_t target) {
    const auto distance = static_cast<uint32_t>(static_cast<int64_t>(target) - static_cast<int64_t>(jump));
    for (size_t i = 0; i < 4; ++i) code_[jump - 4 + i] = static_cast<uint8_t>(distance >> (8 * i));
  }

 private:
  static uint8_t modrm(unsigned mode, unsigned reg, unsigned rm) {
    return static_cast<uint8_t>(mode << 6 | (reg & 7U) << 3 | (rm & 7U));
  }
  void byte(uint8_t value) { code_.push_back(value); }
  void bytes(std::initializer_list<uint8_t> values) { code_.insert(code_.end(), values); }
  void word(uint32_t value) {
    for (unsigned i = 0; i < 4; ++i) byte(static_cast<uint8_t>(value >> (8 * i)));
  }
  void prefix(const Form& form, unsigned reg, unsigned second, bool b, bool x, Masking masking) {
    const auto inverted = [](bool bit, unsigned place) { return bit ? 0U : 1U << place; };
    const unsigned p0 = inverted((reg >> 3 & 1U) != 0, 7) | inverted(x, 6) | inverted(b, 5) |
                        inverted((reg >> 4 & 1U) != 0, 4) | form.map;
    const unsigned p1 = static_cast<unsigned>(form.wide) << 7 | (~second & 0xFU) << 3 | 4U | form.prefix;
    const unsigned p2 = (masking.zero ? 0x80U : 0U) | static_cast<unsigned>(form.length) << 5 |
                        inverted((second >> 4 & 1U) != 0, 3) | masking.mask;
    bytes({0x62, static_cast<uint8_t>(p0), static_cast<uint8_t>(p1), static_cast<uint8_t>(p2)});
  }
  void address(unsigned reg, const Memory& memory) { bytes({modrm(1, reg, 4), scaled(memory), 0}); }
  static uint8_t scaled(const Memory& memory) {
    const unsigned scale = memory.scale == 8 ? 3 : memory.scale == 4 ? 2 : memory.scale == 2 ? 1 : 0;
    return static_cast<uint8_t>(scale << 6 | (memory.index & 7U) << 3 | (memory.base & 7U));
  }

  std::vector<uint8_t> code_;
};

}  // namespace mtia::host_math
