// Puts generated code into executable memory: chunks that many loops share, because a process has a limited number of
// mappings.
#include "host_math/fused_loop.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "host_math/fused/generator.h"
#include "host_math/instruction_set.h"

#if defined(__x86_64__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace mtia::host_math {

#if defined(__x86_64__)

// Memory mapped twice, so that no mapping is ever writable and executable.
class CodeChunk {
 public:
  static constexpr size_t alignment = 64;

  // nullptr where the host gives no such memory.
  static std::shared_ptr<CodeChunk> make(size_t bytes) {
    const int file = memfd_create("mtia_sim_code", MFD_CLOEXEC);
    if (file < 0) return nullptr;
    void* writable = MAP_FAILED;
    void* executable = MAP_FAILED;
    if (ftruncate(file, static_cast<off_t>(bytes)) == 0) {
      writable = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      executable = mmap(nullptr, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    }
    close(file);
    if (writable != MAP_FAILED && executable != MAP_FAILED)
      return std::make_shared<CodeChunk>(static_cast<uint8_t*>(writable), static_cast<uint8_t*>(executable), bytes);
    if (writable != MAP_FAILED) munmap(writable, bytes);
    if (executable != MAP_FAILED) munmap(executable, bytes);
    return nullptr;
  }

  CodeChunk(uint8_t* writable, uint8_t* executable, size_t bytes)
      : writable_(writable), executable_(executable), bytes_(bytes), process_(getpid()) {}
  ~CodeChunk() {
    munmap(writable_, bytes_);
    munmap(executable_, bytes_);
  }
  CodeChunk(const CodeChunk&) = delete;
  CodeChunk& operator=(const CodeChunk&) = delete;

  // A forked child shares its parent's chunks: it runs their code, but writes into its own.
  bool takes(size_t bytes) const { return getpid() == process_ && bytes <= bytes_ - used_; }

  FusedLoop::Function put(const std::vector<uint8_t>& code) {
    std::memcpy(writable_ + used_, code.data(), code.size());
    auto* const start = executable_ + used_;
    used_ = std::min(bytes_, (used_ + code.size() + alignment - 1) / alignment * alignment);
    return reinterpret_cast<FusedLoop::Function>(start);
  }

 private:
  uint8_t* writable_;
  uint8_t* executable_;
  size_t bytes_;
  pid_t process_;
  size_t used_ = 0;
};

bool has_fused_loops() { return loops_of(selected_isa()) == LoopSet::avx512; }

std::unique_ptr<const FusedLoop> make_fused_loop(std::span<const FusedInstruction> instructions) {
  if (!has_fused_loops()) return nullptr;
  const HostIsa isa = selected_isa();
  const auto code = generate_fused_loop(instructions, isa == HostIsa::avx512_bf16 || isa == HostIsa::amx);
  if (!code) return nullptr;
  constexpr size_t chunk_bytes = size_t{256} << 10;
  static std::mutex mutex;
  static std::shared_ptr<CodeChunk> current;
  const std::lock_guard lock(mutex);
  if (current == nullptr || !current->takes(code->size())) {
    current = CodeChunk::make(std::max(chunk_bytes, code->size()));
    if (current == nullptr) return nullptr;
  }
  const FusedLoop::Function function = current->put(*code);
  return std::make_unique<const FusedLoop>(current, function);
}

#else

class CodeChunk {};

bool has_fused_loops() { return false; }

std::unique_ptr<const FusedLoop> make_fused_loop(std::span<const FusedInstruction>) { return nullptr; }

#endif

}  // namespace mtia::host_math
