// Builds tile programs in C++, for tests and tools: registers, slots packed one after the other, instructions by
// mnemonic.
#pragma once

#include <cstring>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "program/tile_program.h"

namespace mtia {

class ProgramBuilder {
 public:
  explicit ProgramBuilder(std::string name) { program_.name = std::move(name); }

  uint32_t argument(const std::string& name, DType dtype, bool is_pointer = false) {
    const uint32_t id = scalar(is_pointer ? DType::I64 : dtype);
    program_.arguments.push_back({name, is_pointer, dtype, id});
    return id;
  }
  uint32_t pointer(const std::string& name, DType dtype = DType::F32) { return argument(name, dtype, true); }
  uint32_t scalar(DType dtype) {
    Value value;
    value.kind = ValueKind::scalar;
    value.dtype = dtype;
    return add(value);
  }
  uint32_t constant(DType dtype, int64_t integer) {
    Value value;
    value.kind = ValueKind::constant;
    value.dtype = dtype;
    value.bits = static_cast<uint64_t>(integer);
    return add(value);
  }
  uint32_t constant_f32(float number) {
    uint32_t bits = 0;
    std::memcpy(&bits, &number, sizeof(bits));
    return constant(DType::F32, bits);
  }
  // A slot behind the last one, at a multiple of 64 bytes.
  uint32_t slot(uint32_t bytes, uint32_t buffers = 1) {
    Slot slot;
    slot.offset = (program_.local_memory_bytes + 63) / 64 * 64;
    slot.bytes = bytes;
    slot.buffers = buffers;
    program_.local_memory_bytes = slot.offset + bytes * buffers;
    program_.slots.push_back(slot);
    return static_cast<uint32_t>(program_.slots.size() - 1);
  }
  uint32_t tile_on(uint32_t slot_number, DType dtype, std::initializer_list<uint32_t> dims) {
    Value value;
    value.kind = ValueKind::tile;
    value.dtype = dtype;
    for (const uint32_t size : dims) value.dims[value.rank++] = size;
    value.slot = slot_number;
    return add(value);
  }
  uint32_t tile(DType dtype, std::initializer_list<uint32_t> dims, uint32_t buffers = 1) {
    uint32_t bytes = static_cast<uint32_t>(size_of(dtype));
    for (const uint32_t size : dims) bytes *= size;
    return tile_on(slot(bytes, buffers), dtype, dims);
  }
  uint32_t string(const std::string& text) {
    program_.strings.push_back(text);
    return static_cast<uint32_t>(program_.strings.size() - 1);
  }
  // Instructions that follow come from this line.
  void at(const std::string& file, uint32_t line) {
    program_.locations.push_back({string(file), line, 0});
    location_ = static_cast<uint32_t>(program_.locations.size() - 1);
  }

  void emit(Opcode opcode, std::vector<uint32_t> results, std::vector<uint32_t> operands,
            std::vector<int64_t> attributes = {}) {
    program_.instructions.push_back(
        {opcode, std::move(results), std::move(operands), std::move(attributes), location_});
  }
  // Scalar arithmetic with a fresh result.
  uint32_t scalar_op(Opcode opcode, DType dtype, std::vector<uint32_t> operands, std::vector<int64_t> attributes = {}) {
    const uint32_t d = scalar(dtype);
    emit(opcode, {d}, std::move(operands), std::move(attributes));
    return d;
  }

  // One dimension of a DMA descriptor.
  struct Dimension {
    uint32_t stride;
    uint32_t low = absent;
    uint32_t high = absent;
    uint32_t start = absent;
    uint32_t wrap = absent;
  };
  void load(uint32_t d, uint32_t base, std::initializer_list<Dimension> dimensions, uint32_t other = absent,
            uint32_t mask = absent) {
    emit(Opcode::dma_load, {d}, dma_operands(base, other, mask, dimensions), {0});
  }
  void store(uint32_t base, uint32_t a, std::initializer_list<Dimension> dimensions, uint32_t mask = absent) {
    emit(Opcode::dma_store, {}, dma_operands(base, a, mask, dimensions), {0});
  }

  TileProgram& program() { return program_; }

 private:
  static std::vector<uint32_t> dma_operands(uint32_t first, uint32_t second, uint32_t third,
                                            std::initializer_list<Dimension> dimensions) {
    std::vector<uint32_t> operands{first, second, third};
    for (const Dimension& d : dimensions) operands.insert(operands.end(), {d.stride, d.low, d.high, d.start, d.wrap});
    return operands;
  }
  uint32_t add(const Value& value) {
    program_.values.push_back(value);
    return static_cast<uint32_t>(program_.values.size() - 1);
  }

  TileProgram program_;
  uint32_t location_ = absent;
};

}  // namespace mtia
