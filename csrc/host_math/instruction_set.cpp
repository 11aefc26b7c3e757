// Asks cpuid (through the compiler's builtin, which also checks that the operating system saves the registers) and, for
// the tiles of AMX, the operating system.
#include "host_math/instruction_set.h"

#include <array>
#include <cstdlib>
#include <string>

#include "base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace mtia::host_math {

namespace {

struct Row {
  std::string_view name;
  LoopSet loops;
  HostBits bits;
};

constexpr std::array rows{
#define MTIA_HOST_ISA_ROW(name, loops, dots, bf16, i8, bits) Row{#name, LoopSet::loops, HostBits::bits},
#include "host_math/host_isas.def"
#undef MTIA_HOST_ISA_ROW
};

const Row& row_of(HostIsa isa) { return rows[static_cast<size_t>(isa)]; }

#if defined(__x86_64__)
constexpr unsigned leaf_7_subleaf_0 = 0;
constexpr unsigned leaf_7_subleaf_1 = 1;

struct Registers {
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
};

Registers cpuid_leaf_7(unsigned subleaf) {
  Registers r;
  if (__get_cpuid_count(7, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool has_bit(unsigned word, unsigned bit) { return (word >> bit & 1U) != 0; }

// Linux hands out the 8 KiB of tile registers to a process that asks for them; it refuses where a thread's signal stack
// is too small for them, or where the machine's owner forbids it.
bool tiles_are_granted() {
  constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long tile_data = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

bool has_tiles_of_bf16() { return has_bit(cpuid_leaf_7(leaf_7_subleaf_0).edx, 22); }

// Rows that the host runs slower than those before them, which give the same bits: the cores with tiles do their
// VDPBF16PS at half the rate of float32's multiply-add.
bool is_slow(HostIsa isa) { return isa == HostIsa::avx512_bf16 && has_tiles_of_bf16(); }

bool host_has(HostIsa isa) {
  const auto has = [&](HostIsa lower) { return host_has(lower); };
  switch (isa) {
    case HostIsa::plain:
    case HostIsa::amx_model:
      return true;
    case HostIsa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    case HostIsa::avx2_vnni:
      return has(HostIsa::avx2) && has_bit(cpuid_leaf_7(leaf_7_subleaf_1).eax, 4);
    case HostIsa::avx512:
      return has(HostIsa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512cd");
    case HostIsa::avx512_vnni:
      return has(HostIsa::avx512) && __builtin_cpu_supports("avx512vnni");
    case HostIsa::avx512_bf16:
      return has(HostIsa::avx512_vnni) && __builtin_cpu_supports("avx512bf16");
    case HostIsa::amx: {
      const unsigned edx = cpuid_leaf_7(leaf_7_subleaf_0).edx;
      const bool amx_tile = has_bit(edx, 24);
      const bool amx_int8 = has_bit(edx, 25);
      return has(HostIsa::avx512_bf16) && has_tiles_of_bf16() && amx_tile && amx_int8 && tiles_are_granted();
    }
  }
  return false;
}
#else
bool is_slow(HostIsa) { return false; }
bool host_has(HostIsa) { return true; }  // the rows of other hosts are left out when compiled
#endif

bool is_set(const char* variable) { return variable != nullptr && *variable != '\0'; }

}  // namespace

std::string_view name_of(HostIsa isa) { return row_of(isa).name; }
LoopSet loops_of(HostIsa isa) { return row_of(isa).loops; }
HostBits bits_of(HostIsa isa) { return row_of(isa).bits; }

std::vector<HostIsa> available_isas() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  std::vector<HostIsa> isas;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (host_has(static_cast<HostIsa>(i))) isas.push_back(static_cast<HostIsa>(i));
  }
  return isas;
}

HostIsa choose_isa(const char* wanted, const char* bits) {
  const bool portable = is_set(bits) && std::string_view(bits) == "portable";
  if (is_set(bits) && !portable && std::string_view(bits) != "fastest") {
    throw InvalidArgument(concat("MTIA_SIM_HOST_BITS is '", bits, "'"), "host_math",
                          "set it to portable or fastest, or unset it");
  }
  std::string known;
  HostIsa best = HostIsa::plain;
  for (const HostIsa isa : available_isas()) {
    if (portable && bits_of(isa) != HostBits::portable) continue;
    if (is_set(wanted) && name_of(isa) == wanted) return isa;
    known += (known.empty() ? "" : ", ") + std::string(name_of(isa));
    if (!is_slow(isa)) best = isa;
  }
  if (!is_set(wanted)) return best;
  throw InvalidArgument(concat("MTIA_SIM_HOST_ISA is '", wanted, "', this CPU runs: ", known,
                               portable ? " with MTIA_SIM_HOST_BITS=portable" : ""),
                        "host_math", "name one of them or unset the variable");
}

HostIsa selected_isa() {
  static const HostIsa isa = choose_isa(std::getenv("MTIA_SIM_HOST_ISA"), std::getenv("MTIA_SIM_HOST_BITS"));
  return isa;
}

}  // namespace mtia::host_math
