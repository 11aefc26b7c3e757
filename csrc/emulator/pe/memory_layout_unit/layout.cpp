// The memory layout unit: permute, slice, concatenate, interleave, gather_local, sort.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/bit_patterns.h"
#include "base/error.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/memory_layout_unit/strided_copy.h"

namespace mtia::emulator {
namespace {

struct MoveDetail {
  StridedBox box;
  size_t size = 4;
  Place to;
  Place from;
};

struct LayoutDetail {
  std::vector<MoveDetail> moves;
  bool lazy = false;
  bool from_lazy = false;
  uint32_t lazy_number = 0;
  uint32_t source_number = 0;
  std::array<int64_t, 3> source_strides{};  // elements
};

struct GatherDetail {
  Place to;
  Place from;
  Place index;
  bool wide_index = false;
  size_t size = 4;
  int64_t outer = 1;
  int64_t axis_from = 1;
  int64_t axis_to = 1;
  int64_t inner = 1;
};

struct SortDetail {
  Place to;
  Place from;
  DType dtype = DType::F32;
  int64_t outer = 1;
  int64_t axis = 1;
  int64_t inner = 1;
  bool descending = false;
};

const Op* run_layout(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const LayoutDetail*>(op->detail);
  if (detail.lazy) {
    LazyTile& view = frame.lazy[detail.lazy_number];
    if (detail.from_lazy) {
      view = frame.lazy[detail.source_number];
    } else {
      view.data = frame.at(detail.moves[0].from);
      view.is_in_device_memory = false;
      view.strides = detail.source_strides;
    }
    std::swap(view.strides[1], view.strides[2]);
  } else {
    for (const MoveDetail& move : detail.moves) copy_box(move.box, frame.at(move.to), frame.at(move.from), move.size);
  }
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

template <typename Index>
void check_gathered(const GatherDetail& detail, const Index* index) {
  const int64_t count = detail.outer * detail.axis_to * detail.inner;
  const auto is_bad = [&](Index chosen) { return chosen < 0 || static_cast<int64_t>(chosen) >= detail.axis_from; };
  bool any_is_bad = false;  // without a branch an element
  for (int64_t i = 0; i < count; ++i) any_is_bad |= is_bad(index[i]);
  if (!any_is_bad) return;
  throw OutOfBounds(
      concat("gather within a tile at index ", static_cast<int64_t>(*std::find_if(index, index + count, is_bad)),
             " of a dimension of ", detail.axis_from),
      "", "check the indices");
}

template <typename Word, typename Index>
void gather_words(const GatherDetail& detail, const Index* index, Frame& frame) {
  auto* to = reinterpret_cast<Word*>(frame.at(detail.to));
  const auto* from = reinterpret_cast<const Word*>(frame.at(detail.from));
  const int64_t count = detail.axis_to * detail.inner;
  for (int64_t o = 0; o < detail.outer; ++o, from += detail.axis_from * detail.inner, to += count, index += count) {
    if (detail.inner == 1) {
      for (int64_t a = 0; a < count; ++a) to[a] = from[index[a]];
      continue;
    }
    for (int64_t a = 0; a < count; a += detail.inner)
      for (int64_t i = 0; i < detail.inner; ++i) to[a + i] = from[index[a + i] * detail.inner + i];
  }
}

template <typename Index>
void gather_rows(const GatherDetail& detail, Frame& frame) {
  const auto* index = reinterpret_cast<const Index*>(frame.at(detail.index));
  check_gathered(detail, index);
  switch (detail.size) {
    case 1:
      return gather_words<uint8_t>(detail, index, frame);
    case 2:
      return gather_words<uint16_t>(detail, index, frame);
    case 4:
      return gather_words<uint32_t>(detail, index, frame);
    default:
      return gather_words<uint64_t>(detail, index, frame);
  }
}

const Op* run_gather_local(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const GatherDetail*>(op->detail);
  detail.wide_index ? gather_rows<int64_t>(detail, frame) : gather_rows<int32_t>(detail, frame);
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

// Sorts by a key of the same width whose unsigned or natural order is the wanted one; NaN is larger than every number.
template <typename T, typename Less>
void sort_lines(const SortDetail& detail, Frame& frame, Less less) {
  const auto* from = reinterpret_cast<const T*>(frame.at(detail.from));
  auto* to = reinterpret_cast<T*>(frame.at(detail.to));
  auto* line = reinterpret_cast<T*>(frame.scratch);
  for (int64_t o = 0; o < detail.outer; ++o) {
    for (int64_t i = 0; i < detail.inner; ++i) {
      const int64_t first = o * detail.axis * detail.inner + i;
      for (int64_t a = 0; a < detail.axis; ++a) line[a] = from[first + a * detail.inner];
      if (detail.descending) {
        std::stable_sort(line, line + detail.axis, [&](T x, T y) { return less(y, x); });
      } else {
        std::stable_sort(line, line + detail.axis, less);
      }
      for (int64_t a = 0; a < detail.axis; ++a) to[first + a * detail.inner] = line[a];
    }
  }
}

template <typename F>
bool float_less(F x, F y) {
  if (std::isnan(y)) return !std::isnan(x);
  return x < y;
}

const Op* run_sort(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const SortDetail*>(op->detail);
  const auto integer = [](auto x, auto y) { return x < y; };
  switch (detail.dtype) {
    case DType::I1:
      sort_lines<uint8_t>(detail, frame, integer);
      break;
    case DType::I8:
      sort_lines<int8_t>(detail, frame, integer);
      break;
    case DType::I16:
      sort_lines<int16_t>(detail, frame, integer);
      break;
    case DType::I32:
      sort_lines<int32_t>(detail, frame, integer);
      break;
    case DType::I64:
      sort_lines<int64_t>(detail, frame, integer);
      break;
    case DType::F16:
      sort_lines<uint16_t>(detail, frame,
                           [](uint16_t x, uint16_t y) { return float_less(f32_from_f16(x), f32_from_f16(y)); });
      break;
    case DType::BF16:
      sort_lines<uint16_t>(detail, frame,
                           [](uint16_t x, uint16_t y) { return float_less(f32_from_bf16(x), f32_from_bf16(y)); });
      break;
    case DType::F32:
      sort_lines<float>(detail, frame, float_less<float>);
      break;
    case DType::F64:
      sort_lines<double>(detail, frame, float_less<double>);
      break;
    case DType::F8E4M3:
      sort_lines<uint8_t>(detail, frame,
                          [](uint8_t x, uint8_t y) { return float_less(f32_from_f8e4m3(x), f32_from_f8e4m3(y)); });
      break;
    case DType::F8E5M2:
      sort_lines<uint8_t>(detail, frame,
                          [](uint8_t x, uint8_t y) { return float_less(f32_from_f8e5m2(x), f32_from_f8e5m2(y)); });
      break;
  }
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

std::array<int64_t, max_rank> dense_strides(const Value& value) {
  std::array<int64_t, max_rank> strides{};
  auto stride = static_cast<int64_t>(size_of(value.dtype));
  for (size_t d = value.rank; d-- > 0;) {
    strides[d] = stride;
    stride *= value.dims[d];
  }
  return strides;
}

int64_t product(const Value& value, size_t first, size_t last) {
  int64_t count = 1;
  for (size_t d = first; d < last; ++d) count *= value.dims[d];
  return count;
}

MoveDetail make_move(Decoder& decoder, uint32_t d, uint32_t a) {
  MoveDetail move;
  move.size = size_of(decoder.value(d).dtype);
  move.to = decoder.place(d);
  move.from = decoder.place(a);
  move.box.rank = decoder.value(d).rank;
  return move;
}

}  // namespace

void decode_layout(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const uint32_t d = instruction.results[0];
  const uint32_t a = instruction.operands[0];
  const Value& to = decoder.value(d);
  const Value& from = decoder.value(a);
  if (instruction.opcode == Opcode::gather_local) {
    auto* detail = decoder.loaded.details.make<GatherDetail>();
    const auto axis = static_cast<size_t>(instruction.attributes[0]);
    detail->to = decoder.place(d);
    detail->from = decoder.place(a);
    detail->index = decoder.place(instruction.operands[1]);
    detail->wide_index = decoder.value(instruction.operands[1]).dtype == DType::I64;
    detail->size = size_of(to.dtype);
    detail->outer = product(to, 0, axis);
    detail->axis_to = to.dims[axis];
    detail->axis_from = from.dims[axis];
    detail->inner = product(to, axis + 1, to.rank);
    Tick& tick = decoder.make_tick(index);
    decoder.costs.layout(tick, to.bytes());
    Op& op = decoder.emit(run_gather_local, index);
    op.detail = detail;
    op.tick = &tick;
    return;
  }
  auto* detail = decoder.loaded.details.make<LayoutDetail>();
  const auto to_strides = dense_strides(to);
  const auto from_strides = dense_strides(from);
  const auto element = static_cast<int64_t>(size_of(to.dtype));
  switch (instruction.opcode) {
    case Opcode::permute: {
      MoveDetail move = make_move(decoder, d, a);
      for (size_t i = 0; i < to.rank; ++i) {
        move.box.extent[i] = to.dims[i];
        move.box.to_stride[i] = to_strides[i];
        move.box.from_stride[i] = from_strides[static_cast<size_t>(instruction.attributes[i])];
      }
      detail->moves.push_back(move);
      detail->lazy = decoder.is_lazy(index);
      if (detail->lazy) {
        detail->lazy_number = d;
        detail->source_number = a;
        detail->from_lazy = decoder.lazy_value(a);
        const size_t batch = to.rank - 2U;
        detail->source_strides = {batch != 0 ? from_strides[0] / element : 0, from_strides[batch] / element,
                                  from_strides[batch + 1] / element};
      }
      break;
    }
    case Opcode::slice: {
      MoveDetail move = make_move(decoder, d, a);
      const auto axis = static_cast<size_t>(instruction.attributes[0]);
      for (size_t i = 0; i < to.rank; ++i) {
        move.box.extent[i] = to.dims[i];
        move.box.to_stride[i] = to_strides[i];
        move.box.from_stride[i] = from_strides[i];
      }
      move.box.from_stride[axis] *= instruction.attributes[2];
      move.from.offset += static_cast<uint32_t>(instruction.attributes[1] * from_strides[axis]);
      detail->moves.push_back(move);
      break;
    }
    case Opcode::concatenate: {
      const auto axis = static_cast<size_t>(instruction.attributes[0]);
      uint32_t start = 0;
      for (const uint32_t id : instruction.operands) {
        const Value& part = decoder.value(id);
        const auto part_strides = dense_strides(part);
        MoveDetail move = make_move(decoder, d, id);
        for (size_t i = 0; i < to.rank; ++i) {
          move.box.extent[i] = part.dims[i];
          move.box.to_stride[i] = to_strides[i];
          move.box.from_stride[i] = part_strides[i];
        }
        move.to.offset += static_cast<uint32_t>(start * to_strides[axis]);
        start += part.dims[axis];
        detail->moves.push_back(move);
      }
      break;
    }
    case Opcode::interleave: {
      for (uint32_t part = 0; part < 2; ++part) {
        MoveDetail move = make_move(decoder, d, instruction.operands[part]);
        const bool scalar = !decoder.is_tile(instruction.operands[part]);
        move.box.rank = scalar ? 0 : from.rank;
        for (size_t i = 0; i < move.box.rank; ++i) {
          move.box.extent[i] = to.dims[i];
          move.box.to_stride[i] = to_strides[i];
          move.box.from_stride[i] = from_strides[i];
        }
        move.to.offset += static_cast<uint32_t>(part * element);
        detail->moves.push_back(move);
      }
      break;
    }
    default:
      throw InternalError(concat("layout instruction ", name_of(instruction.opcode), " has no decoder"));
  }
  Tick& tick = decoder.make_tick(index);
  decoder.costs.layout(tick, to.bytes());
  Op& op = decoder.emit(run_layout, index);
  op.detail = detail;
  op.tick = &tick;
}

void decode_sort(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const Value& value = decoder.value(instruction.results[0]);
  const auto axis = static_cast<size_t>(instruction.attributes[0]);
  auto* detail = decoder.loaded.details.make<SortDetail>();
  detail->to = decoder.place(instruction.results[0]);
  detail->from = decoder.place(instruction.operands[0]);
  detail->dtype = value.dtype;
  detail->outer = product(value, 0, axis);
  detail->axis = value.dims[axis];
  detail->inner = product(value, axis + 1, value.rank);
  detail->descending = instruction.attributes[1] != 0;
  decoder.need_scratch(static_cast<size_t>(detail->axis) * size_of(value.dtype));
  Tick& tick = decoder.make_tick(index);
  // Radix sort: a pass over the bytes for each byte of the key.
  decoder.costs.layout(tick, value.bytes() * size_of(value.dtype));
  Op& op = decoder.emit(run_sort, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace mtia::emulator
