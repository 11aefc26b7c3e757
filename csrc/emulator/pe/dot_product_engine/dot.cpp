// The instruction dot.
#include <cstring>

#include "base/error.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/dot_product_engine/dot_sums.h"
#include "emulator/pe/dot_product_engine/operand_packs.h"
#include "emulator/pe/tile.h"
#include "host_math/dot.h"

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
  DotSums sums;
  DType operands = DType::F32;
  int64_t k = 1;
};

const Op* run_dot(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const DotDetail*>(op->detail);
  for (const DotDetail::Operand* operand : {&detail.a, &detail.b}) {
    if (operand->set_aside != 0)
      std::memcpy(frame.scratch + operand->scratch, frame.at(operand->place), operand->set_aside);
  }
  std::byte* d = detail.sums.begin(frame);
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
  const auto m = static_cast<size_t>(detail.sums.m);
  const auto n = static_cast<size_t>(detail.sums.n);
  const auto k = static_cast<size_t>(detail.k);
  const auto step = static_cast<int64_t>(size_of(detail.sums.dtype)) * detail.sums.m * detail.sums.n;
  for (int64_t batch = 0; batch < detail.sums.batch; ++batch) {
    const host_math::Matrix sums{d + batch * step, detail.sums.n, 1};
    const host_math::ConstMatrix a = side(detail.a, batch);
    const host_math::ConstMatrix b = side(detail.b, batch);
    if (const std::byte* right = packed(OperandPacks::Side::right, detail.b, b, detail.k, detail.sums.n);
        right != nullptr) {
      const std::byte* left = packed(OperandPacks::Side::left, detail.a, a, detail.sums.m, detail.k);
      host_math::dot_packed(detail.operands, sums, a, left, right, m, n, k, detail.sums.accumulate);
    } else {
      host_math::dot(detail.operands, sums, a, b, m, n, k, detail.sums.accumulate);
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
  auto* detail = decoder.loaded.details.make<DotDetail>();
  detail->a = make_operand(decoder, instruction.operands[0]);
  detail->b = make_operand(decoder, instruction.operands[1]);
  detail->sums = decode_sums(decoder, instruction);
  detail->operands = a.dtype;
  detail->k = a.dims[a.rank - 1U];
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
  decoder.costs.dot(tick, a.dtype, static_cast<uint64_t>(detail->sums.batch), static_cast<uint64_t>(detail->sums.m),
                    static_cast<uint64_t>(detail->sums.n), static_cast<uint64_t>(detail->k), instruction.attributes[0],
                    decoder.local_bytes(instruction));
  if (detail->sums.stay()) tick.latency = 0;
  Op& op = decoder.emit(run_dot, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace mtia::emulator
