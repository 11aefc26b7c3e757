// The kinds of findings of checked mode, from checks.def.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace mtia::emulator {

enum class Check : uint8_t {
#define MTIA_CHECK(name, category, severity, what, remedy) name,
#include "emulator/checks/checks.def"
#undef MTIA_CHECK
};

inline constexpr size_t check_count = 0
#define MTIA_CHECK(name, category, severity, what, remedy) +1
#include "emulator/checks/checks.def"
#undef MTIA_CHECK
    ;

enum class Severity : uint8_t { warning, error, always };

struct CheckInfo {
  std::string_view name;
  ErrorCategory category;
  Severity severity;
  std::string_view what;
  std::string_view remedy;
};

inline const CheckInfo& info_of(Check check) {
  static constexpr CheckInfo table[] = {
#define MTIA_CHECK(name, category, severity, what, remedy) \
  {#name, ErrorCategory::category, Severity::severity, what, remedy},
#include "emulator/checks/checks.def"
#undef MTIA_CHECK
  };
  return table[static_cast<size_t>(check)];
}

}  // namespace mtia::emulator
