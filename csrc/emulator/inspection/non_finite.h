// Where a NaN or an infinity comes from: which elements of an operation's result its inputs do not explain.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "emulator/inspection/elements.h"

namespace mtia::emulator {

// Which elements of the inputs an element of the result is computed from.
struct Dependence {
  enum class Kind : uint8_t {
    element_wise,  // those at its own index, broadcast
    along_axis,    // of the first input, all along `axis`, which the result keeps (a scan) or drops
    product,       // of the first two a row and a column, of the third its own
    moved          // copies of elements: nothing is computed
  };
  Kind kind = Kind::moved;
  uint32_t axis = 0;
};

struct NonFiniteRules {
  bool infinities = true;  // else only NaN counts
};

// An input's elements from which a result's element was computed.
struct InputReport {
  std::string name;
  std::string type;            // "32x64xf32"
  uint64_t elements = 0;       // that contribute
  std::vector<double> values;  // of these: all where they are few, else those that are not finite and the largest
};

// Arithmetic that made a NaN or an infinity.
struct NonFiniteFinding {
  std::string kernel;
  bool is_tile_program = true;        // else a C++ kernel: its program id means nothing
  std::array<uint32_t, 3> program{};  // program id
  uint32_t pe = 0;
  int64_t instruction = -1;  // index in the tile program; of a C++ kernel, the number of the call on its PE
  std::string disassembly;   // of the instruction; the call's name
  std::string file;          // of the kernel's source
  uint32_t line = 0;
  std::string result;  // its name in the source
  std::string result_type;
  std::vector<int64_t> index;  // in the result
  double value = 0;
  std::vector<InputReport> inputs;
  std::string launched_by;  // who launched the kernel: "aten::exp at train.py:42"; empty where unknown

  std::string where() const;    // who launched it, then kernel, program, PE, line and instruction, as in every error
  std::string problem() const;  // "exp made inf at [3, 17] of e (32x64xf32) from x = 91.2"
};

// The first element of `result` that is not finite although nothing it is computed from explains it: a NaN from no NaN,
// an infinity from finite numbers.
std::optional<uint64_t> first_unexplained(const Elements& result, std::span<const Elements> inputs,
                                          const Dependence& dependence, const NonFiniteRules& rules);

// Fills result, index, value and inputs.
void describe_element(NonFiniteFinding& finding, uint64_t element, const Elements& result,
                      std::span<const Elements> inputs, const Dependence& dependence);

}  // namespace mtia::emulator
