// A tile of a C++ kernel has no number of its own: what is known of it is kept by its place.
#include "emulator/inspection/call_tracker.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {
namespace {

constexpr size_t most_findings = 256;  // kept of one PE; later ones share the last's number

Elements read(const Tile& tile) {
  Elements elements;
  elements.dtype = tile.dtype;
  elements.rank = 2;
  elements.dims = {static_cast<uint32_t>(tile.rows), static_cast<uint32_t>(tile.columns)};
  const size_t size = size_of(tile.dtype);
  elements.bytes.resize(static_cast<size_t>(tile.elements()) * size);
  std::byte* to = elements.bytes.data();
  for (int64_t row = 0; row < tile.rows; ++row) {
    for (int64_t column = 0; column < tile.columns; ++column, to += size) std::memcpy(to, tile.at(row, column), size);
  }
  elements.classify();
  return elements;
}

Elements number(double value) {
  Elements elements;
  elements.dtype = DType::F64;
  elements.is_scalar = true;
  elements.bytes.resize(sizeof(value));
  std::memcpy(elements.bytes.data(), &value, sizeof(value));
  elements.classify();
  return elements;
}

std::pair<const std::byte*, const std::byte*> reach(const Tile& tile) {
  if (tile.elements() == 0) return {tile.data, tile.data};
  return {tile.data, tile.at(tile.rows - 1, tile.columns - 1) + size_of(tile.dtype)};
}

}  // namespace

uint32_t CallTracker::stain_of(const Pe& pe, const Tile& tile) {
  const auto [begin, end] = reach(tile);
  uint32_t first = none;
  for (const Stain& stain : pe.stains) {
    if (stain.begin < end && begin < stain.end) first = std::min(first, stain.finding);
  }
  return first;
}

void CallTracker::set_stain(Pe& pe, const Tile& tile, uint32_t finding) {
  const auto [begin, end] = reach(tile);
  std::erase_if(pe.stains, [&](const Stain& stain) { return stain.begin >= begin && stain.end <= end; });
  if (finding != none) pe.stains.push_back({begin, end, finding});
}

void CallTracker::before(const PeState& state, std::string_view call, const Dependence& dependence,
                         std::initializer_list<CallInput> inputs) {
  Pe& pe = pes_[state.pe];
  ++pe.calls;
  pe.call = call;
  pe.dependence = dependence;
  pe.inputs.clear();
  pe.inherited = none;
  for (const CallInput& input : inputs) {
    if (input.tile != nullptr) {
      pe.inherited = std::min(pe.inherited, stain_of(pe, *input.tile));
      pe.inputs.push_back(read(*input.tile));
    } else if (input.packed != nullptr) {
      pe.inputs.push_back(pe.packed[input.packed]);
    } else if (input.number) {
      pe.inputs.push_back(number(*input.number));
    }
  }
}

uint32_t CallTracker::keep_finding(const PeState& state, Pe& pe, const Elements& result, uint64_t element) const {
  if (pe.findings.size() < most_findings) {
    NonFiniteFinding& finding = pe.findings.emplace_back();
    finding.kernel = kernel_;
    finding.is_tile_program = false;
    finding.pe = state.pe;
    finding.instruction = pe.calls;
    finding.disassembly = pe.call;
    if (has_roles_ && state.role != nullptr) {
      finding.disassembly += concat(" of role ", state.role->name());
      finding.file = state.role->line.file;
      finding.line = static_cast<uint32_t>(state.role->line.line);
    }
    describe_element(finding, element, result, pe.inputs, pe.dependence);
  }
  return static_cast<uint32_t>(pe.findings.size() - 1);
}

void CallTracker::after(const PeState& state, const Tile& tile) {
  Pe& pe = pes_[state.pe];
  uint32_t origin = none;
  Elements result = read(tile);
  if (result.has_nan || result.has_infinity) {
    origin = pe.inherited;
    if (const auto made = first_unexplained(result, pe.inputs, pe.dependence, rules_))
      origin = std::min(origin, keep_finding(state, pe, result, *made));
  }
  set_stain(pe, tile, origin);
}

void CallTracker::pack(const PeState& state, const Tile& source, const std::byte* packed) {
  pes_[state.pe].packed[packed] = read(source);
}

void CallTracker::store(const PeState& state, const Tile& source) {
  Pe& pe = pes_[state.pe];
  const uint32_t origin = pe.stored ? none : stain_of(pe, source);
  if (origin == none) return;
  const Elements elements = read(source);
  const bool made_nan = pe.findings[origin].value != pe.findings[origin].value;
  if (elements.has_nan || (elements.has_infinity && !made_nan)) pe.stored = origin;
}

std::optional<NonFiniteFinding> CallTracker::finding() const {
  for (const Pe& pe : pes_) {
    if (pe.stored) return pe.findings[*pe.stored];
  }
  return std::nullopt;
}

}  // namespace mtia::emulator
