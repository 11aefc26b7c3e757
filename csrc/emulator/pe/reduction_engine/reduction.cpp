// The reduction engine: reduce, reduce_index and scan along any axis, as rows or columns of a matrix.
#include <cstring>

#include "base/error.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/memory_layout_unit/strided_copy.h"
#include "host_math/reductions.h"

namespace mtia::emulator {
namespace {

struct ReductionDetail {
  union {
    host_math::ReduceLoop reduce;
    host_math::ScanLoop scan;
    host_math::ReduceIndexLoop index;
  };
  Place from;
  Place positions;
  bool has_positions = false;
  Place to;
  Place to_index;
  uint32_t scalar = 0xFFFFFFFF;  // the result is a scalar
  uint32_t index_scalar = 0xFFFFFFFF;
  DType dtype = DType::F32;
  bool wide_index = false;
  size_t size = 4;
  size_t outer = 1;
  size_t axis = 1;
  size_t inner = 1;
  bool reverse = false;
  ReductionDetail() : reduce(nullptr) {}
};

const Op* run_reduce(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const ReductionDetail*>(op->detail);
  uint64_t scalar = 0;
  std::byte* to = detail.scalar != absent ? reinterpret_cast<std::byte*>(&scalar) : frame.at(detail.to);
  const std::byte* from = frame.at(detail.from);
  if (detail.inner == 1) {
    detail.reduce(to, from, detail.outer, detail.axis, detail.axis);
  } else {
    for (size_t o = 0; o < detail.outer; ++o) {
      detail.reduce(to + o * detail.inner * detail.size, from + o * detail.axis * detail.inner * detail.size,
                    detail.axis, detail.inner, detail.inner);
    }
  }
  if (detail.scalar != absent) frame.scalars()[detail.scalar] = normalised(detail.dtype, scalar);
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

const Op* run_scan(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const ReductionDetail*>(op->detail);
  std::byte* to = frame.at(detail.to);
  const std::byte* from = frame.at(detail.from);
  if (detail.inner == 1) {
    detail.scan(to, detail.axis, from, detail.axis, detail.outer, detail.axis, detail.reverse);
  } else {
    const size_t plane = detail.axis * detail.inner * detail.size;
    for (size_t o = 0; o < detail.outer; ++o) {
      detail.scan(to + o * plane, detail.inner, from + o * plane, detail.inner, detail.axis, detail.inner,
                  detail.reverse);
    }
  }
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

// Moves [outer, axis, inner] to [outer, inner, axis].
void turn(std::byte* to, const std::byte* from, const ReductionDetail& detail, size_t size) {
  StridedBox box;
  const auto element = static_cast<int64_t>(size);
  const auto axis = static_cast<int64_t>(detail.axis);
  const auto inner = static_cast<int64_t>(detail.inner);
  box.rank = 3;
  box.extent = {static_cast<int64_t>(detail.outer), inner, axis};
  box.to_stride = {inner * axis * element, axis * element, element};
  box.from_stride = {inner * axis * element, element, inner * element};
  copy_box(box, to, from, size);
}

const Op* run_reduce_index(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const ReductionDetail*>(op->detail);
  const size_t rows = detail.outer * detail.inner;
  const size_t elements = rows * detail.axis;
  const std::byte* from = frame.at(detail.from);
  const std::byte* positions = detail.has_positions ? frame.at(detail.positions) : nullptr;
  // Scratch: turned values, turned positions, results.
  std::byte* scratch = frame.scratch;
  std::byte* values = scratch + 8 * elements + 4 * elements;
  auto* indices = reinterpret_cast<int32_t*>(values + 8 * rows);
  if (detail.inner != 1) {
    turn(scratch, from, detail, detail.size);
    from = scratch;
    if (positions != nullptr) {
      turn(scratch + 8 * elements, positions, detail, 4);
      positions = scratch + 8 * elements;
    }
  }
  detail.index(values, indices, from, reinterpret_cast<const int32_t*>(positions), rows, detail.axis, detail.axis);
  if (detail.scalar != absent) {
    uint64_t value = 0;
    std::memcpy(&value, values, detail.size);
    frame.scalars()[detail.scalar] = normalised(detail.dtype, value);
  } else {
    std::memcpy(frame.at(detail.to), values, rows * detail.size);
  }
  if (detail.index_scalar != absent) {
    frame.scalars()[detail.index_scalar] = normalised(DType::I32, static_cast<uint32_t>(indices[0]));
  } else {
    std::memcpy(frame.at(detail.to_index), indices, rows * 4);
  }
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

}  // namespace

void decode_reduction(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const Value& from = decoder.value(instruction.operands[0]);
  const auto kind = static_cast<host_math::ReduceOp>(instruction.attributes[0]);
  const auto axis = static_cast<size_t>(instruction.attributes[1]);
  auto* detail = decoder.loaded.details.make<ReductionDetail>();
  detail->from = decoder.place(instruction.operands[0]);
  detail->dtype = from.dtype;
  detail->size = size_of(from.dtype);
  for (size_t d = 0; d < from.rank; ++d) {
    (d < axis ? detail->outer : (d == axis ? detail->axis : detail->inner)) *= from.dims[d];
  }
  const uint32_t d = instruction.results[0];
  if (decoder.is_tile(d)) {
    detail->to = decoder.place(d);
  } else {
    detail->scalar = d;
  }
  bool found = false;
  Handler run = nullptr;
  switch (instruction.opcode) {
    case Opcode::reduce:
      detail->reduce = detail->inner == 1 ? host_math::reduce_rows_loop(kind, from.dtype)
                                          : host_math::reduce_columns_loop(kind, from.dtype);
      found = detail->reduce != nullptr;
      run = run_reduce;
      break;
    case Opcode::scan:
      detail->scan = detail->inner == 1 ? host_math::scan_rows_loop(kind, from.dtype)
                                        : host_math::scan_columns_loop(kind, from.dtype);
      found = detail->scan != nullptr;
      detail->reverse = instruction.attributes[2] != 0;
      run = run_scan;
      break;
    default: {
      detail->index = host_math::reduce_index_rows_loop(kind, from.dtype);
      found = detail->index != nullptr;
      const uint32_t result = instruction.results[1];
      if (decoder.is_tile(result)) {
        detail->to_index = decoder.place(result);
      } else {
        detail->index_scalar = result;
      }
      if (Decoder::operand(instruction, 1) != absent) {
        detail->has_positions = true;
        detail->positions = decoder.place(instruction.operands[1]);
      }
      decoder.need_scratch(from.elements() * 12 + detail->outer * detail->inner * 16);
      run = run_reduce_index;
      break;
    }
  }
  if (!found) {
    throw InvalidProgram(
        concat(name_of(instruction.opcode), " of kind ", name_of(kind), " does not exist for ", name_of(from.dtype)));
  }
  Tick& tick = decoder.make_tick(index);
  decoder.costs.reduction(tick, from.dtype, from.elements(), decoder.local_bytes(instruction));
  Op& op = decoder.emit(run, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace mtia::emulator
