// The instruction dot.
#include <cstring>

#include "base/error.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/dot_product_engine/operand_packs.h"
#include "emulator/pe/tile.h"
#include "host_math/dot.h"
#include "host_math/elementwise.h"

namespace mtia::emulator {
namespace {

struct DotDetail {
  struct Operand {
    Place place;
    bool lazy = false;
    uint32_t number = 0;
    std::array<int64_t, 3> strides{};  // elements: batch, row, column
    size_t set_aside = 0;              // bytes to copy to scratch first: the result overwrites this operand
    size_t scratch = 0;                // where to
  };
  Operand a;
  Operand b;
  Place d;
  bool accumulate = false;
  bool copy_c = false;  // c lies elsewhere
  bool fill_c = false;  // c is a scalar
  Place c;
  DType operands = DType::F32;
  DType sums = DType::F32;
  int64_t batch = 1;
  int64_t m = 1;
  int64_t n = 1;
  int64_t k = 1;
};

const Op* run_dot(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const DotDetail*>(op->detail);
  std::byte* d = frame.at(detail.d);
  for (const DotDetail::Operand* operand : {&detail.a, &detail.b}) {
    if (operand->set_aside != 0)
      std::memcpy(frame.scratch + operand->scratch, frame.at(operand->place), operand->set_aside);
  }
  const size_t elements = static_cast<size_t>(detail.batch * detail.m * detail.n);
  if (detail.copy_c) std::memcpy(d, frame.at(detail.c), elements * size_of(detail.sums));
  if (detail.fill_c) host_math::fill(d, frame.at(detail.c), size_of(detail.sums), elements);
  const auto side = [&](const DotDetail::Operand& operand, int64_t batch) {
    const std::byte* data = operand.lazy             ? frame.lazy[operand.number].data
                            : operand.set_aside != 0 ? frame.scratch + operand.scratch
                                                     : frame.at(operand.place);
    const auto& strides = operand.lazy ? frame.lazy[operand.number].strides : operand.strides;
    return host_math::ConstMatrix{data + batch * strides[0] * static_cast<int64_t>(size_of(detail.operands)),
                                  strides[1], strides[2]};
  };
  // Programs that follow each other multiply by the same part of device memory.
  const auto packed = [&](OperandPacks::Side of, const DotDetail::Operand& operand,
                          const host_math::ConstMatrix& matrix, int64_t rows, int64_t columns) -> const std::byte* {
    if (!operand.lazy || !frame.lazy[operand.number].is_in_device_memory) return nullptr;
    Tile tile;
    tile.data = const_cast<std::byte*>(static_cast<const std::byte*>(matrix.data));
    tile.dtype = detail.operands;
    tile.rows = rows;
    tile.columns = columns;
    tile.row_stride = matrix.row_stride;
    tile.column_stride = matrix.column_stride;
    return frame.pe->packs->find(of, tile);
  };
  const auto m = static_cast<size_t>(detail.m);
  const auto n = static_cast<size_t>(detail.n);
  const auto k = static_cast<size_t>(detail.k);
  const auto step = static_cast<int64_t>(size_of(detail.sums)) * detail.m * detail.n;
  for (int64_t batch = 0; batch < detail.batch; ++batch) {
    const host_math::Matrix sums{d + batch * step, detail.n, 1};
    const host_math::ConstMatrix a = side(detail.a, batch);
    const host_math::ConstMatrix b = side(detail.b, batch);
    if (const std::byte* right = packed(OperandPacks::Side::right, detail.b, b, detail.k, detail.n); right != nullptr) {
      const std::byte* left = packed(OperandPacks::Side::left, detail.a, a, detail.m, detail.k);
      host_math::dot_packed(detail.operands, sums, a, left, right, m, n, k, detail.accumulate);
    } else {
      host_math::dot(detail.operands, sums, a, b, m, n, k, detail.accumulate);
    }
  }
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

DotDetail::Operand make_operand(const Decoder& decoder, uint32_t id) {
  const Value& value = decoder.value(id);
  DotDetail::Operand operand;
  operand.place = decoder.place(id);
  operand.lazy = decoder.lazy_value(id);
  operand.number = id;
  const size_t batch = value.rank - 2U;
  operand.strides = {static_cast<int64_t>(value.dims[batch]) * value.dims[batch + 1], value.dims[batch + 1], 1};
  return operand;
}

}  // namespace

void decode_dot(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const Value& a = decoder.value(instruction.operands[0]);
  const Value& d = decoder.value(instruction.results[0]);
  const size_t first = d.rank - 2U;
  auto* detail = decoder.loaded.details.make<DotDetail>();
  detail->a = make_operand(decoder, instruction.operands[0]);
  detail->b = make_operand(decoder, instruction.operands[1]);
  detail->d = decoder.place(instruction.results[0]);
  detail->operands = a.dtype;
  detail->sums = d.dtype;
  detail->batch = first != 0 ? d.dims[0] : 1;
  detail->m = d.dims[first];
  detail->n = d.dims[first + 1];
  detail->k = a.dims[first + 1];
  if (const uint32_t c = Decoder::operand(instruction, 2); c != absent) {
    detail->accumulate = true;
    detail->c = decoder.place(c);
    if (!decoder.is_tile(c)) {
      detail->fill_c = true;
    } else if (decoder.program.slots[decoder.value(c).slot].offset != decoder.program.slots[d.slot].offset) {
      detail->copy_c = true;
    }
  }
  size_t scratch = 0;
  for (const size_t o : {size_t{0}, size_t{1}}) {
    DotDetail::Operand& operand = o == 0 ? detail->a : detail->b;
    const Value& value = decoder.value(instruction.operands[o]);
    if (operand.lazy || !decoder.slots_overlap(value.slot, d.slot)) continue;
    operand.set_aside = value.bytes();
    operand.scratch = scratch;
    scratch += (operand.set_aside + 63) / 64 * 64;
  }
  decoder.need_scratch(scratch);
  Tick& tick = decoder.make_tick(index);
  decoder.costs.dot(tick, a.dtype, static_cast<uint64_t>(detail->batch), static_cast<uint64_t>(detail->m),
                    static_cast<uint64_t>(detail->n), static_cast<uint64_t>(detail->k), instruction.attributes[0],
                    decoder.local_bytes(instruction));
  // Sums that stay in the engine's accumulators need not leave its pipeline between products.
  if (detail->accumulate && !detail->copy_c && !detail->fill_c) tick.latency = 0;
  Op& op = decoder.emit(run_dot, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace mtia::emulator
