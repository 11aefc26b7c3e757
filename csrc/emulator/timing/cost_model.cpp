// Durations and energies from the chip's rates.
#include "emulator/timing/cost_model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace mtia::emulator {
namespace {

SubCycles sub_cycles(double cycles) {
  return static_cast<SubCycles>(std::llround(cycles * static_cast<double>(cycle)));
}

// elements / rate, rounded up to a whole cycle.
SubCycles at_rate(double elements, double rate) { return static_cast<SubCycles>(std::ceil(elements / rate)) * cycle; }

uint64_t femtojoules(double picojoules, double count) {
  return static_cast<uint64_t>(std::llround(picojoules * count * 1000.0));
}

uint64_t round_up(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

bool is_division(Opcode opcode) {
  switch (opcode) {
    case Opcode::div_f:
    case Opcode::rem_f:
    case Opcode::sqrt:
    case Opcode::div_s:
    case Opcode::div_u:
    case Opcode::rem_s:
    case Opcode::rem_u:
      return true;
    default:
      return false;
  }
}

bool counts_flops(Opcode opcode) {
  const Form form = info_of(opcode).form;
  return form == Form::float_binary || form == Form::float_ternary || form == Form::float_unary;
}

double vector_rate(const ChipSpec& chip, DType dtype) {
  switch (dtype) {
    case DType::I1:
    case DType::I8:
      return chip.vector_8bit_elements_per_cycle;
    case DType::I16:
    case DType::F16:
      return chip.vector_16bit_elements_per_cycle;
    case DType::BF16:
    case DType::F8E4M3:
    case DType::F8E5M2:
      return chip.vector_bf16_elements_per_cycle;
    case DType::I32:
    case DType::F32:
      return chip.vector_32bit_elements_per_cycle;
    case DType::I64:
      return chip.vector_i64_elements_per_cycle;
    case DType::F64:
      return chip.vector_f64_elements_per_cycle;
  }
  return chip.vector_32bit_elements_per_cycle;
}

double vector_picojoules(const ChipSpec& chip, DType dtype) {
  switch (size_of(dtype)) {
    case 1:
      return chip.vector_8bit_picojoules;
    case 2:
      return chip.vector_16bit_picojoules;
    case 4:
      return chip.vector_32bit_picojoules;
    default:
      return chip.vector_64bit_picojoules;
  }
}

}  // namespace

// A chip of one kind of product (dot_waited_fraction of 1) has none that programs could rather wait for.
CostModel::CostModel(const ChipSpec& chip, bool waits_for_products)
    : chip_(chip),
      takes_turns_(chip.dot_beside_vector == 0 || (waits_for_products && chip.dot_waited_fraction < 1)),
      dot_fraction_(waits_for_products ? chip.dot_waited_fraction : 1) {
  issue_ = sub_cycles(chip.command_issue_cycles);
  scalar_ = sub_cycles(1.0 / chip.scalar_instructions_per_cycle);
  program_ = sub_cycles(chip.program_start_cycles);
  sram_latency_ = sub_cycles(chip.cycles(chip.sram_latency_ns * 1e-9));
  dram_latency_ = sub_cycles(chip.cycles(chip.dram_latency_ns * 1e-9));
  fabric_issue_ = sub_cycles(chip.fabric_issue_cycles);
  fabric_byte_ = static_cast<uint64_t>(std::llround(256.0 * static_cast<double>(cycle) / chip.fabric_bytes_per_cycle));
  fabric_row_ = sub_cycles(chip.fabric_row_cycles);
  fabric_misaligned_row_ = sub_cycles(chip.fabric_misaligned_row_cycles);
  fabric_indexed_ = {sub_cycles(chip.fabric_gather_cycles_per_element),
                     sub_cycles(chip.fabric_scatter_cycles_per_element),
                     sub_cycles(chip.fabric_atomic_cycles_per_element)};
  alignment_ = chip.fabric_alignment_bytes;
  misaligned_allowed_ = chip.fabric_misaligned_allowed != 0;
  access_bytes_ = chip.dram_access_bytes;
}

SubCycles CostModel::local_time(uint64_t bytes) const {
  return at_rate(static_cast<double>(bytes), chip_.local_memory_bytes_per_cycle);
}

void CostModel::elementwise(Tick& tick, Opcode opcode, DType dtype, uint64_t elements, uint64_t local_bytes) const {
  const auto count = static_cast<double>(elements);
  tick.opcode = opcode;
  tick.unit = info_of(opcode).unit;
  double picojoules = 0;
  SubCycles duration = 0;
  if (tick.unit == Unit::simd) {
    const double slowdown = dtype == DType::F64 ? chip_.simd_f64_slowdown : 1.0;
    duration = at_rate(count * slowdown, chip_.simd_elements_per_cycle);
    picojoules = chip_.simd_picojoules * slowdown;
  } else {
    tick.unit = Unit::vector;
    // Philox: ten rounds of two wide products and their xors for four words.
    const double work = opcode == Opcode::philox ? 40.0 : (is_division(opcode) ? chip_.vector_divide_slowdown : 1.0);
    duration = at_rate(count * work, vector_rate(chip_, dtype));
    picojoules = vector_picojoules(chip_, dtype) * work;
  }
  tick.duration = std::max(duration, local_time(local_bytes));
  tick.femtojoules = femtojoules(picojoules, count) + femtojoules(chip_.instruction_picojoules, 1);
  tick.flops = counts_flops(opcode) ? elements * (opcode == Opcode::fma_f ? 2 : 1) : 0;
  tick.local_bytes = local_bytes;
}

void CostModel::dot(Tick& tick, DType operands, uint64_t batch, uint64_t m, uint64_t n, uint64_t k, int64_t precision,
                    uint64_t local_bytes) const {
  double rate = 0;
  double picojoules = 0;
  double passes = 1;
  switch (operands) {
    case DType::I8:
      rate = chip_.dot_i8_macs_per_cycle;
      picojoules = chip_.dot_i8_picojoules_per_mac;
      break;
    case DType::F8E4M3:
    case DType::F8E5M2:
      rate = chip_.dot_f8_macs_per_cycle;
      picojoules = chip_.dot_i8_picojoules_per_mac;
      break;
    case DType::F16:
    case DType::BF16:
      rate = chip_.dot_f16_macs_per_cycle;
      picojoules = chip_.dot_f16_picojoules_per_mac;
      break;
    case DType::F64:
      rate = chip_.dot_f64_macs_per_cycle;
      picojoules = chip_.dot_f64_picojoules_per_mac;
      break;
    default:
      if (precision == 1 || precision == 2) {
        rate = chip_.dot_tf32_macs_per_cycle;
        picojoules = chip_.dot_tf32_picojoules_per_mac;
        passes = precision == 2 ? 3 : 1;
      } else if (precision == 3 || precision == 4) {
        rate = chip_.dot_f16_macs_per_cycle;
        picojoules = chip_.dot_f16_picojoules_per_mac;
        passes = precision == 3 ? 3 : 6;
      } else {
        rate = chip_.dot_f32_macs_per_cycle;
        picojoules = chip_.dot_f32_picojoules_per_mac;
      }
      break;
  }
  if (rate <= 0) {
    throw Unsupported(concat("the dot product engine of ", chip_.name, " has no ", name_of(operands), " products"), "",
                      "convert the operands, to f16 for example, or choose a chip that has them");
  }
  const uint64_t depth = std::max<uint64_t>(1, chip_.dot_tile_k_bytes / size_of(operands));
  product(tick, Opcode::dot, batch, m, n, k, depth, passes, rate, picojoules, local_bytes);
}

void CostModel::dot_scaled(Tick& tick, DType a, DType b, std::array<ScaleGroups, 2> scales, uint64_t batch, uint64_t m,
                           uint64_t n, uint64_t k, uint64_t local_bytes) const {
  const auto refuse = [this](std::string_view what) {
    throw Unsupported(concat("the dot product engine of ", chip_.name, " has no ", what), "",
                      "scale the operands in bf16, or choose a chip that has them");
  };
  if (chip_.dot_mx_block_elements == 0) refuse("products of MX formats");
  const bool four_bits = a == DType::I8 && b == DType::I8;
  const bool numbers = four_bits && chip_.dot_f4_number_scales != 0;
  for (const ScaleGroups& scale : scales) {
    if (scale.elements == 0) continue;
    if (scale.dtype != DType::I8 && !numbers) refuse("scales that are numbers, for these operands");
    const uint64_t block = numbers ? std::min<uint64_t>(16, chip_.dot_mx_block_elements) : chip_.dot_mx_block_elements;
    if (scale.elements % block != 0) refuse(concat("scales of ", scale.elements, " elements, but of ", block));
  }
  const double rate = four_bits ? chip_.dot_f4_macs_per_cycle : chip_.dot_f8_macs_per_cycle;
  if (rate <= 0) refuse(four_bits ? "e2m1 products" : "f8 products");
  const double picojoules = four_bits ? chip_.dot_f4_picojoules_per_mac : chip_.dot_i8_picojoules_per_mac;
  product(tick, Opcode::dot_scaled, batch, m, n, k, chip_.dot_tile_k_bytes * (four_bits ? 2 : 1), 1, rate, picojoules,
          local_bytes);
}

void CostModel::product(Tick& tick, Opcode opcode, uint64_t batch, uint64_t m, uint64_t n, uint64_t k, uint64_t depth,
                        double passes, double rate, double picojoules, uint64_t local_bytes) const {
  const uint64_t worked = batch * chip_.dot_padded(m, n) * round_up(k, depth);
  const auto macs = static_cast<double>(batch * m * n * k);
  tick.opcode = opcode;
  tick.unit = Unit::dot;
  tick.duration =
      std::max(at_rate(static_cast<double>(worked) * passes, rate * dot_fraction_), local_time(local_bytes));
  tick.latency = sub_cycles(chip_.dot_fill_cycles);
  tick.femtojoules = femtojoules(picojoules * passes, macs) + femtojoules(chip_.instruction_picojoules, 1);
  tick.dot_flops = 2 * batch * m * n * k;
  tick.flops = tick.dot_flops;
  tick.local_bytes = local_bytes;
}

void CostModel::reduction(Tick& tick, DType dtype, uint64_t elements, uint64_t local_bytes) const {
  const double slowdown = size_of(dtype) == 8 ? 2.0 : 1.0;
  tick.opcode = Opcode::reduce;
  tick.unit = Unit::reduce;
  tick.duration = std::max(at_rate(static_cast<double>(elements) * slowdown, chip_.reduction_elements_per_cycle),
                           local_time(local_bytes));
  tick.femtojoules = femtojoules(chip_.reduction_picojoules * slowdown, static_cast<double>(elements)) +
                     femtojoules(chip_.instruction_picojoules, 1);
  tick.flops = is_float(dtype) ? elements : 0;
  tick.local_bytes = local_bytes;
}

void CostModel::layout(Tick& tick, uint64_t bytes_moved) const {
  tick.opcode = Opcode::permute;
  tick.unit = Unit::layout;
  tick.duration =
      std::max(at_rate(static_cast<double>(bytes_moved), chip_.layout_bytes_per_cycle), local_time(2 * bytes_moved));
  tick.femtojoules = femtojoules(chip_.instruction_picojoules, 1);
  tick.local_bytes = 2 * bytes_moved;
}

void CostModel::fabric(Tick& tick, uint64_t local_bytes, bool outgoing) const {
  tick.opcode = outgoing ? Opcode::dma_store : Opcode::dma_load;
  tick.unit = Unit::fabric;
  tick.queue = outgoing ? 1 : 0;
  tick.femtojoules = femtojoules(chip_.instruction_picojoules, 1);
  tick.local_bytes = local_bytes;
}

}  // namespace mtia::emulator
