// Element by element: what a result's element is computed from, and whether that explains it.
#include "emulator/inspection/non_finite.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"

namespace mtia::emulator {
namespace {

constexpr size_t reported_values = 8;

std::string text_of(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[32];
  std::snprintf(text, sizeof(text), "%.7g", value);
  return text;
}

// Calls body(element) for the elements of input number `place` that the result's element at `index` is computed from.
template <typename Body>
void for_contributions(const Elements& result, const std::array<uint32_t, Elements::max_rank>& index,
                       const Elements& input, size_t place, const Dependence& dependence, const Body& body) {
  const auto broadcast = [&] {
    uint64_t element = 0;
    for (uint32_t d = 0; d < input.rank; ++d) element = element * input.dims[d] + (input.dims[d] == 1 ? 0 : index[d]);
    body(element);
  };
  if (input.rank == 0) return body(0);
  switch (dependence.kind) {
    case Dependence::Kind::element_wise:
      return broadcast();
    case Dependence::Kind::along_axis: {
      if (place != 0) return broadcast();
      const bool dropped = result.rank < input.rank;
      for (uint32_t i = 0; i < input.dims[dependence.axis]; ++i) {
        uint64_t element = 0;
        for (uint32_t d = 0, r = 0; d < input.rank; ++d) {
          const bool reduced = d == dependence.axis;
          element = element * input.dims[d] + (reduced ? i : index[r]);
          if (!(reduced && dropped)) ++r;
        }
        body(element);
      }
      return;
    }
    case Dependence::Kind::product: {
      if (place >= 2) return broadcast();
      const uint32_t batch = input.rank - 2;
      const uint64_t rows = input.dims[batch];
      const uint64_t columns = input.dims[batch + 1];
      const uint64_t first = batch != 0 ? index[0] * rows * columns : 0;
      if (place == 0) {
        for (uint64_t k = 0; k < columns; ++k) body(first + index[batch] * columns + k);
      } else {
        for (uint64_t k = 0; k < rows; ++k) body(first + k * columns + index[batch + 1]);
      }
      return;
    }
    case Dependence::Kind::moved:
      return;
  }
}

}  // namespace

std::optional<uint64_t> first_unexplained(const Elements& result, std::span<const Elements> inputs,
                                          const Dependence& dependence, const NonFiniteRules& rules) {
  if (dependence.kind == Dependence::Kind::moved) return std::nullopt;
  const uint64_t total = result.count();
  const size_t size = size_of(result.dtype);
  for (uint64_t i = first_non_finite(result.dtype, result.bytes.data(), total); i < total;
       i = first_non_finite(result.dtype, result.bytes.data(), total, i + 1)) {
    const bool is_nan = class_of(result.dtype, result.bytes.data() + i * size) == FloatClass::nan;
    if (!is_nan && !rules.infinities) continue;
    const auto index = result.index_of(i);
    bool explained = false;
    for (size_t place = 0; place < inputs.size() && !explained; ++place) {
      const Elements& input = inputs[place];
      if (!input.has_nan && (is_nan || !input.has_infinity)) continue;
      for_contributions(result, index, input, place, dependence, [&](uint64_t element) {
        const FloatClass found = class_of(input.dtype, input.bytes.data() + element * size_of(input.dtype));
        explained = explained || (is_nan ? found == FloatClass::nan : found != FloatClass::finite);
      });
    }
    if (!explained) return i;
  }
  return std::nullopt;
}

void describe_element(NonFiniteFinding& finding, uint64_t element, const Elements& result,
                      std::span<const Elements> inputs, const Dependence& dependence) {
  const auto index = result.index_of(element);
  finding.result = result.name;
  finding.result_type = result.type();
  finding.index.assign(index.begin(), index.begin() + result.rank);
  finding.value = result.at(element);
  finding.inputs.clear();
  for (size_t place = 0; place < inputs.size(); ++place) {
    const Elements& input = inputs[place];
    InputReport report{input.name, input.type(), 0, {}};
    for_contributions(result, index, input, place, dependence,
                      [&](uint64_t part) { report.values.push_back(input.at(part)); });
    report.elements = report.values.size();
    if (report.values.size() > reported_values) {
      const auto weight = [](double value) { return std::isfinite(value) ? std::fabs(value) : HUGE_VAL; };
      std::partial_sort(report.values.begin(), report.values.begin() + reported_values, report.values.end(),
                        [&](double a, double b) { return weight(a) > weight(b); });
      report.values.resize(reported_values);
    }
    finding.inputs.push_back(std::move(report));
  }
}

std::string NonFiniteFinding::where() const {
  std::string text = concat(launched_by, launched_by.empty() ? "" : ", ", "kernel ", kernel);
  if (is_tile_program) text += concat(", program (", program[0], ", ", program[1], ", ", program[2], ")");
  text += concat(" on PE ", pe);
  if (!file.empty()) text += concat(", ", file.substr(file.rfind('/') + 1), ":", line);
  return text + concat(is_tile_program ? ", instruction " : ", call ", instruction, " `", disassembly, "`");
}

std::string NonFiniteFinding::problem() const {
  std::string text = concat("made ", text_of(value));
  if (!index.empty()) {
    text += " at [";
    for (size_t i = 0; i < index.size(); ++i) text += concat(i == 0 ? "" : ", ", index[i]);
    text += "]";
  }
  text += concat(" of ", result.empty() ? "its result" : result, " (", result_type, ")");
  const char* separator = " from ";
  for (size_t i = 0; i < inputs.size(); ++i) {
    const InputReport& input = inputs[i];
    if (input.elements == 0) continue;
    const std::string name = input.name.empty() ? concat("operand ", i) : input.name;
    text += separator;
    separator = ", ";
    if (input.elements == 1) {
      text += concat(name, " = ", text_of(input.values[0]));
      continue;
    }
    text +=
        concat(input.elements, " elements of ", name, input.elements > input.values.size() ? ", the largest " : " ");
    for (size_t v = 0; v < input.values.size(); ++v) text += concat(v == 0 ? "" : " ", text_of(input.values[v]));
  }
  return text;
}

}  // namespace mtia::emulator
