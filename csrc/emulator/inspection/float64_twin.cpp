// Memory keeps its dtypes: a load lands in the old value and is widened, a store is rounded into the old value first.
#include "emulator/inspection/float64_twin.h"

#include <algorithm>
#include <bit>
#include <map>
#include <utility>
#include <vector>

#include "base/error.h"
#include "emulator/inspection/elements.h"
#include "emulator/pe/command_processor/decoder.h"
#include "emulator/pe/command_processor/loaded_program.h"
#include "program/verify.h"

namespace mtia::emulator {
namespace {

class Widener {
 public:
  explicit Widener(const TileProgram& source) : source_(source), twin_(source) {
    twin_.instructions.clear();
    twin_.names.clear();
    wide_.assign(source.values.size(), absent);
  }

  TileProgram run() {
    check_views();
    for (const Argument& argument : source_.arguments) {
      if (is_float(source_.values[argument.value].dtype)) convert(wide(argument.value), argument.value, absent);
    }
    for (const Instruction& instruction : source_.instructions) {
      location_ = instruction.location;
      widen(instruction);
    }
    return std::move(twin_);
  }

 private:
  bool is_narrow(uint32_t id) const {
    return id != absent && is_float(source_.values[id].dtype) && source_.values[id].dtype != DType::F64;
  }

  [[noreturn]] static void refuse() {
    throw Unsupported("the kernel looks at the bits of its floats, which float64 has not", "",
                      "compare it by hand with a reference of your own");
  }

  // A slot may be read as another dtype than it was written as: a bitcast without an instruction.
  void check_views() const {
    std::vector<uint32_t> writer(source_.slots.size(), absent);
    for (const Instruction& instruction : source_.instructions) {
      if (instruction.opcode == Opcode::bitcast && (is_float(source_.values[instruction.results[0]].dtype) ||
                                                    is_float(source_.values[instruction.operands[0]].dtype)))
        refuse();
      for (const uint32_t id : instruction.operands) {
        if (id == absent || !source_.values[id].is_tile()) continue;
        const uint32_t written = writer[source_.values[id].slot];
        if (written != absent && is_float(source_.values[written].dtype) != is_float(source_.values[id].dtype))
          refuse();
      }
      for (const uint32_t id : instruction.results) {
        if (id != absent && source_.values[id].is_tile()) writer[source_.values[id].slot] = id;
      }
    }
  }

  uint32_t wide_slot(uint32_t slot) {
    const auto found = wide_slots_.find(slot);
    if (found != wide_slots_.end()) return found->second;
    uint64_t elements = 0;
    for (const Value& value : source_.values) {
      if (value.is_tile() && value.slot == slot && is_float(value.dtype))
        elements = std::max(elements, value.elements());
    }
    Slot made;
    made.offset = (twin_.local_memory_bytes + 63) / 64 * 64;
    made.bytes = static_cast<uint32_t>(elements * sizeof(double));
    made.buffers = source_.slots[slot].buffers;
    twin_.local_memory_bytes = made.offset + made.bytes * made.buffers;
    twin_.slots.push_back(made);
    const auto number = static_cast<uint32_t>(twin_.slots.size() - 1);
    wide_slots_.emplace(slot, number);
    return number;
  }

  // The value that stands for `id` in the twin.
  uint32_t wide(uint32_t id) {
    if (!is_narrow(id)) return id;
    if (wide_[id] != absent) return wide_[id];
    Value value = source_.values[id];
    if (value.kind == ValueKind::constant)
      value.bits = std::bit_cast<uint64_t>(number_of(value.dtype, reinterpret_cast<const std::byte*>(&value.bits)));
    value.dtype = DType::F64;
    if (value.is_tile()) value.slot = wide_slot(value.slot);
    twin_.values.push_back(value);
    return wide_[id] = static_cast<uint32_t>(twin_.values.size() - 1);
  }

  void convert(uint32_t to, uint32_t from, uint32_t location) {
    if (to != from) twin_.instructions.push_back({Opcode::convert_f, {to}, {from}, {0}, location});
  }

  // The old value, rounded from its twin.
  uint32_t rounded(uint32_t id) {
    if (is_narrow(id) && source_.values[id].kind != ValueKind::constant) convert(id, wide(id), location_);
    return id;
  }

  void widen(const Instruction& instruction) {
    const Form form = info_of(instruction.opcode).form;
    switch (form) {
      case Form::print:
        return;
      case Form::dma_load:
      case Form::gather:
      case Form::dma_store:
      case Form::scatter:
      case Form::gather_rows:
      case Form::scatter_rows:
      case Form::atomic_rmw:
      case Form::atomic_cas:
      case Form::dot_scaled:  // its operands have no wider type
        for (const uint32_t id : instruction.operands) rounded(id);
        twin_.instructions.push_back(instruction);
        for (const uint32_t id : instruction.results) {
          if (is_narrow(id)) convert(wide(id), id, location_);
        }
        return;
      default:
        break;
    }
    Instruction twin = instruction;
    for (uint32_t& id : twin.operands) id = wide(id);
    for (uint32_t& id : twin.results) id = wide(id);
    if (form == Form::float_to_float) {
      twin.opcode = Opcode::copy;
      twin.attributes.clear();
    }
    if (form == Form::dot && twin_.values[twin.results[0]].dtype == DType::F64) twin.attributes[0] = 0;
    twin_.instructions.push_back(std::move(twin));
  }

  const TileProgram& source_;
  TileProgram twin_;
  std::vector<uint32_t> wide_;
  std::map<uint32_t, uint32_t> wide_slots_;
  uint32_t location_ = absent;
};

}  // namespace

std::shared_ptr<const LoadedProgram> float64_twin(const LoadedProgram& program) {
  TileProgram twin = Widener(program.program).run();
  verify(twin);
  auto loaded = std::make_shared<LoadedProgram>(std::move(twin), program.costs.chip());
  loaded->tolerates_out_of_bounds = program.tolerates_out_of_bounds;
  Decoder(*loaded).decode();
  return loaded;
}

}  // namespace mtia::emulator
