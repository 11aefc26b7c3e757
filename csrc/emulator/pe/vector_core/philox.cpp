// Philox 4x32 on tiles of counters (Salmon et al., SC 2011), and histogram.
#include <cstring>

#include "emulator/pe/command_processor/decoder.h"
#include "host_math/layout.h"

namespace mtia::emulator {
namespace {

struct PhiloxDetail {
  struct Operand {
    Place place;
    bool single = true;
    bool wide = false;  // i64: the low 32 bits count
  };
  std::array<Operand, 6> operands;  // seed low and high, counter 0 to 3
  std::array<Place, 4> results;
  uint32_t result_mask = 0;  // which results exist
  bool scalar = false;
  std::array<uint32_t, 4> scalars{};
  uint64_t elements = 1;
  int64_t rounds = 10;
};

constexpr uint32_t multiplier_0 = 0xD2511F53U;
constexpr uint32_t multiplier_1 = 0xCD9E8D57U;
constexpr uint32_t weyl_0 = 0x9E3779B9U;
constexpr uint32_t weyl_1 = 0xBB67AE85U;

uint32_t word(const PhiloxDetail::Operand& operand, const std::byte* data, uint64_t i) {
  uint32_t value = 0;
  std::memcpy(&value, data + (operand.single ? 0 : i * (operand.wide ? 8 : 4)), sizeof(value));
  return value;
}

// A block of lanes at once, so that the compiler vectorises the rounds.
constexpr uint64_t lanes = 64;

void run_block(const PhiloxDetail& detail, const std::array<const std::byte*, 6>& data, uint64_t first, uint64_t count,
               uint32_t (*out)[lanes]) {
  uint32_t key[2][lanes];
  uint32_t counter[4][lanes];
  for (uint64_t i = 0; i < lanes; ++i) {
    const uint64_t at = first + (i < count ? i : 0);
    for (size_t k = 0; k < 2; ++k) key[k][i] = word(detail.operands[k], data[k], at);
    for (size_t c = 0; c < 4; ++c) counter[c][i] = word(detail.operands[2 + c], data[2 + c], at);
  }
  for (int64_t round = 0; round < detail.rounds; ++round) {
    for (uint64_t i = 0; i < lanes; ++i) {
      const uint64_t p0 = static_cast<uint64_t>(multiplier_0) * counter[0][i];
      const uint64_t p1 = static_cast<uint64_t>(multiplier_1) * counter[2][i];
      const uint32_t c1 = counter[1][i];
      const uint32_t c3 = counter[3][i];
      counter[0][i] = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ key[0][i];
      counter[1][i] = static_cast<uint32_t>(p1);
      counter[2][i] = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ key[1][i];
      counter[3][i] = static_cast<uint32_t>(p0);
      key[0][i] += weyl_0;
      key[1][i] += weyl_1;
    }
  }
  std::memcpy(out, counter, sizeof(counter));
}

const Op* run_philox(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const PhiloxDetail*>(op->detail);
  std::array<const std::byte*, 6> data{};
  for (size_t i = 0; i < 6; ++i) data[i] = frame.at(detail.operands[i].place);
  uint32_t out[4][lanes];
  for (uint64_t first = 0; first < detail.elements; first += lanes) {
    const uint64_t count = std::min(lanes, detail.elements - first);
    run_block(detail, data, first, count, out);
    for (size_t r = 0; r < 4; ++r) {
      if ((detail.result_mask >> r & 1U) == 0) continue;
      if (detail.scalar) {
        frame.scalars()[detail.scalars[r]] = normalised(DType::I32, out[r][0]);
      } else {
        std::memcpy(frame.at(detail.results[r]) + first * 4, out[r], count * 4);
      }
    }
  }
  if (op->tick != nullptr) {
    frame.pe->board.issue(*op->tick);
  } else {
    frame.pe->board.issue_scalar(40);
  }
  return op + 1;
}

struct HistogramDetail {
  Place to;
  Place from;
  Place mask;
  bool has_mask = false;
  bool scalar_mask = false;
  DType dtype = DType::I32;
  uint64_t bins = 1;
  uint64_t elements = 1;
};

const Op* run_histogram(const Op* op, Frame& frame) {
  const auto& detail = *static_cast<const HistogramDetail*>(op->detail);
  auto* counts = reinterpret_cast<int32_t*>(frame.at(detail.to));
  const std::byte* from = frame.at(detail.from);
  std::memset(counts, 0, detail.bins * sizeof(int32_t));
  const size_t size = size_of(detail.dtype);
  if (!detail.has_mask) {
    host_math::histogram(detail.dtype, counts, detail.bins, from, detail.elements);
  } else {
    const std::byte* mask = frame.at(detail.mask);
    for (uint64_t i = 0; i < detail.elements; ++i) {
      if (mask[detail.scalar_mask ? 0 : i] == std::byte{0}) continue;
      host_math::histogram(detail.dtype, counts, detail.bins, from + i * size, 1);
    }
  }
  frame.pe->board.issue(*op->tick);
  return op + 1;
}

}  // namespace

void decode_philox(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  auto* detail = decoder.loaded.details.make<PhiloxDetail>();
  for (size_t i = 0; i < 6; ++i) {
    const uint32_t id = instruction.operands[i];
    detail->operands[i] = {decoder.place(id), !decoder.is_tile(id), decoder.value(id).dtype == DType::I64};
  }
  for (size_t r = 0; r < instruction.results.size(); ++r) {
    const uint32_t id = instruction.results[r];
    if (id == absent) continue;
    detail->result_mask |= 1U << r;
    detail->scalar = !decoder.is_tile(id);
    detail->scalars[r] = id;
    if (!detail->scalar) {
      detail->results[r] = decoder.place(id);
      detail->elements = decoder.value(id).elements();
    }
  }
  detail->rounds = instruction.attributes[0];
  Tick* tick = nullptr;
  if (!detail->scalar) {
    tick = &decoder.make_tick(index);
    decoder.costs.elementwise(*tick, Opcode::philox, DType::I32, detail->elements, decoder.local_bytes(instruction));
  } else {
    decoder.emit_waits(instruction.operands);
  }
  Op& op = decoder.emit(run_philox, index);
  op.detail = detail;
  op.tick = tick;
}

void decode_histogram(Decoder& decoder, uint32_t index) {
  const Instruction& instruction = decoder.program.instructions[index];
  const Value& from = decoder.value(instruction.operands[0]);
  auto* detail = decoder.loaded.details.make<HistogramDetail>();
  detail->to = decoder.place(instruction.results[0]);
  detail->from = decoder.place(instruction.operands[0]);
  if (const uint32_t mask = Decoder::operand(instruction, 1); mask != absent) {
    detail->has_mask = true;
    detail->scalar_mask = !decoder.is_tile(mask);
    detail->mask = decoder.place(mask);
  }
  detail->dtype = from.dtype;
  detail->bins = decoder.value(instruction.results[0]).elements();
  detail->elements = from.elements();
  Tick& tick = decoder.make_tick(index);
  decoder.costs.elementwise(tick, Opcode::add_i, DType::I32, from.elements(), decoder.local_bytes(instruction));
  Op& op = decoder.emit(run_histogram, index);
  op.detail = detail;
  op.tick = &tick;
}

}  // namespace mtia::emulator
