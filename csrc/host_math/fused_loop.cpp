// Puts generated code into executable memory.
#include "host_math/fused_loop.h"

#include <cstring>

#include "host_math/fused/generator.h"
#include "host_math/instruction_set.h"

#if defined(__x86_64__)
#include <sys/mman.h>
#endif

namespace mtia::host_math {

#if defined(__x86_64__)

bool has_fused_loops() { return selected_isa() >= HostIsa::avx512; }

FusedLoop::~FusedLoop() { munmap(code_, bytes_); }

std::unique_ptr<const FusedLoop> make_fused_loop(std::span<const FusedInstruction> instructions) {
  if (!has_fused_loops()) return nullptr;
  const auto code = generate_fused_loop(instructions);
  if (!code) return nullptr;
  void* memory = mmap(nullptr, code->size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  auto loop = std::make_unique<const FusedLoop>(memory, code->size());
  std::memcpy(memory, code->data(), code->size());
  // Never writable and executable at once.
  if (mprotect(memory, code->size(), PROT_READ | PROT_EXEC) != 0) return nullptr;
  return loop;
}

#else

bool has_fused_loops() { return false; }

FusedLoop::~FusedLoop() = default;

std::unique_ptr<const FusedLoop> make_fused_loop(std::span<const FusedInstruction>) { return nullptr; }

#endif

}  // namespace mtia::host_math
