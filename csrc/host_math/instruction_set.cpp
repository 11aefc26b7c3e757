// Reads cpuid (through the compiler's builtin, which also checks that the operating system saves the registers).
#include "host_math/instruction_set.h"

#include <cstdlib>
#include <string>

#include "base/error.h"

namespace mtia::host_math {

std::string_view name_of(HostIsa isa) {
  constexpr std::string_view names[] = {"plain", "avx2", "avx512", "avx512_bf16"};
  return names[static_cast<size_t>(isa)];
}

std::vector<HostIsa> available_isas() {
  std::vector<HostIsa> isas{HostIsa::plain};
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  if (avx2) isas.push_back(HostIsa::avx2);
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512cd");
  if (avx512) isas.push_back(HostIsa::avx512);
  if (avx512 && __builtin_cpu_supports("avx512bf16")) isas.push_back(HostIsa::avx512_bf16);
#endif
  return isas;
}

namespace {

HostIsa choose_isa() {
  const std::vector<HostIsa> isas = available_isas();
  const char* wanted = std::getenv("MTIA_SIM_HOST_ISA");
  if (wanted == nullptr || *wanted == '\0') return isas.back();
  std::string known;
  for (const HostIsa isa : isas) {
    if (name_of(isa) == wanted) return isa;
    known += (known.empty() ? "" : ", ") + std::string(name_of(isa));
  }
  throw InvalidArgument(concat("MTIA_SIM_HOST_ISA is '", wanted, "', this CPU runs: ", known), "host_math",
                        "name one of them or unset the variable");
}

}  // namespace

HostIsa selected_isa() {
  static const HostIsa isa = choose_isa();
  return isa;
}

}  // namespace mtia::host_math
