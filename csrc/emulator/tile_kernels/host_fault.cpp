// The handler only changes where the thread goes on: at end_role, on the role's stack from its top. What stood there is
// given up, as in GridRun::kill.
#include "emulator/tile_kernels/host_fault.h"

#if defined(__x86_64__) && defined(__linux__)

#include <dlfcn.h>
#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <set>

#include "base/error.h"
#include "base/fault_chain.h"
#include "emulator/tile_kernels/grid_run.h"

namespace mtia::emulator {
namespace {

constexpr std::array watched_signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL};

// The executable part of a shared object; they stay loaded, so that nodes are never freed.
struct Code {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  uintptr_t base = 0;
  std::string path;
  const Code* next = nullptr;
};
std::atomic<const Code*> watched_code{nullptr};

struct Fault {
  int signal;
  bool writes;
  bool stack_is_full;
  uintptr_t address;
  uintptr_t instruction;
};
thread_local Fault fault;

const Code* code_at(uintptr_t instruction) {
  const Code* code = watched_code.load(std::memory_order_acquire);
  while (code != nullptr && (instruction < code->begin || instruction >= code->end)) code = code->next;
  return code;
}

std::string hexadecimal(uintptr_t address) {
  std::array<char, 20> text;
  std::snprintf(text.data(), text.size(), "0x%zx", static_cast<size_t>(address));
  return text.data();
}

// The first line of the kernel's own source at an instruction, where the host has addr2line: of inlined functions of
// mtia/kernel.h the line that calls them.
mtia_line line_of(uintptr_t instruction) {
  const Code* code = code_at(instruction);
  if (code == nullptr) return {};
  const std::string command =
      concat("addr2line -i -e '", code->path, "' ", hexadecimal(instruction - code->base), " 2>/dev/null");
  const std::unique_ptr<FILE, int (*)(FILE*)> output(popen(command.c_str(), "r"), &pclose);
  if (!output) return {};
  std::array<char, 4096> text;
  while (std::fgets(text.data(), text.size(), output.get()) != nullptr) {
    const std::string line = text.data();
    const size_t colon = line.rfind(':');
    if (colon == std::string::npos || line.front() == '?' || line.find("/include/mtia/") != std::string::npos) continue;
    const int number = std::atoi(line.c_str() + colon + 1);
    if (number == 0) continue;
    // Lines outlive the launch in errors and traces.
    static std::mutex mutex;
    static auto* const names = new std::set<std::string>;
    const std::lock_guard lock(mutex);
    return {names->insert(line.substr(0, colon)).first->c_str(), static_cast<uint32_t>(number)};
  }
  return {};
}

LaunchFailure failure_of(const char* what) {
  return LaunchFailure(concat("the kernel's code ", what), "", "look at the condition that led there");
}

LaunchFailure error_of(const Fault& fault) {
  if (fault.stack_is_full) {
    return LaunchFailure(concat("the role's stack is full: it has ", FiberStack::bytes >> 10, " KiB of host memory"),
                         "", "keep large arrays in tiles of local memory, and recursion shallow");
  }
  if (fault.signal == SIGFPE)
    return LaunchFailure("an integer is divided by zero, or its quotient has no place in its type", "",
                         "look at the divisor");
  if (fault.signal == SIGILL)
    return LaunchFailure("the kernel runs into an instruction that is none", "",
                         "look for __builtin_trap, __builtin_unreachable, or a function that ends without return");
  return LaunchFailure(
      concat("the kernel's code ", fault.writes ? "writes to" : "reads", " the host's address ",
             hexadecimal(fault.address), ", which it may not (", fault.signal == SIGBUS ? "SIGBUS" : "SIGSEGV", ")"),
      "", "a kernel reaches tensors by load and store into tiles; look at the pointers and indices of its own arrays");
}

[[noreturn]] void end(Role& role, uintptr_t instruction, const LaunchFailure& error) {
  if (const mtia_line line = line_of(instruction); line.file != nullptr) role.line = line;
  role.pe->run->kill(role, std::make_exception_ptr(error));
}

// Where a role goes on that raised a signal.
[[noreturn]] void end_role() { end(*GridRun::running(), fault.instruction, error_of(fault)); }

bool is_in_guard(const FiberStack& stack, uintptr_t address) {
  const auto bottom = reinterpret_cast<uintptr_t>(stack.bottom());
  return address < bottom && address >= bottom - static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
}

bool end_faulting_role(int signal, siginfo_t* information, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto instruction = static_cast<uintptr_t>(registers[REG_RIP]);
  const auto address = reinterpret_cast<uintptr_t>(information->si_addr);
  // si_code > 0: raised by the host's processor, not by kill().
  const Role* role = information->si_code > 0 ? GridRun::running() : nullptr;
  if (role != nullptr && role->stack != nullptr) {
    const bool stack_is_full = signal == SIGSEGV && is_in_guard(*role->stack, address);
    uintptr_t blamed = instruction;
    if (!stack_is_full && code_at(instruction) == nullptr) {
      // A function without a frame that the kernel called (memcpy), or a call of no function: who called is on the
      // stack's top.
      const auto top = static_cast<uintptr_t>(registers[REG_RSP]);
      const bool is_own = top >= reinterpret_cast<uintptr_t>(role->stack->bottom()) &&
                          top + sizeof(uintptr_t) <= reinterpret_cast<uintptr_t>(role->stack->top());
      blamed = is_own ? *reinterpret_cast<const uintptr_t*>(top) - 1 : 0;
    }
    if (stack_is_full || code_at(blamed) != nullptr) {
      constexpr greg_t write_bit = 2;  // of a page fault's error code
      fault = {signal, (registers[REG_ERR] & write_bit) != 0, stack_is_full, address, blamed};
      role->stack->forget_frames();
      // As after a call: the stack's top aligned, and a return address below it.
      const uintptr_t top = reinterpret_cast<uintptr_t>(role->stack->top()) & ~uintptr_t{63};
      registers[REG_RSP] = static_cast<greg_t>(top - sizeof(uintptr_t));
      constexpr greg_t direction_flag = 0x400;  // clear wherever a function begins
      registers[REG_EFL] &= ~direction_flag;
      registers[REG_RIP] = static_cast<greg_t>(reinterpret_cast<uintptr_t>(&end_role));
      return true;
    }
  }
  return false;
}

int note_code(dl_phdr_info* information, size_t, void* wanted) {
  Code& code = *static_cast<Code*>(wanted);
  if (information->dlpi_addr != code.base) return 0;
  for (int i = 0; i < information->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = information->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    code.begin = code.base + part.p_vaddr;
    code.end = code.begin + part.p_memsz;
  }
  return 1;
}

class SignalStack {
 public:
  SignalStack() {
    stack_t present{};
    sigaltstack(nullptr, &present);
    if ((present.ss_flags & SS_DISABLE) == 0) return;
    bytes_ = std::max<size_t>(size_t{64} << 10, 4 * static_cast<size_t>(sysconf(_SC_MINSIGSTKSZ)));
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) return;  // then a full stack ends the process, as without this
    memory_ = memory;
    stack_t own{};
    own.ss_sp = memory_;
    own.ss_size = bytes_;
    sigaltstack(&own, nullptr);
  }
  ~SignalStack() {
    if (memory_ == nullptr) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    munmap(memory_, bytes_);
  }
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

 private:
  size_t bytes_ = 0;
  void* memory_ = nullptr;
};

}  // namespace

void watch_faults_of(void* shared_object) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  link_map* map = nullptr;
  if (dlinfo(shared_object, RTLD_DI_LINKMAP, static_cast<void*>(&map)) != 0) return;
  auto code = std::make_unique<Code>();
  code->base = map->l_addr;
  code->path = map->l_name;
  dl_iterate_phdr(&note_code, code.get());
  if (code->begin == 0 || code_at(code->begin) != nullptr) return;
  for (const int signal : watched_signals) add_fault_link(signal, &end_faulting_role);
  code->next = watched_code.load();
  watched_code.store(code.release(), std::memory_order_release);
}

void prepare_thread_for_faults() {
  thread_local const SignalStack stack;
  fault = {};  // so that the thread has it before the handler, which must not allocate, wants it
}

void give_up(const char* what, const void* instruction) {
  Role* role = GridRun::running();
  if (role == nullptr || role->stack == nullptr) std::abort();  // not in a launch: of the program's own code
  end(*role, reinterpret_cast<uintptr_t>(instruction) - 1, failure_of(what));
}

}  // namespace mtia::emulator

#else

namespace mtia::emulator {
void watch_faults_of(void*) {}
void prepare_thread_for_faults() {}
void give_up(const char*, const void*) { std::abort(); }
}  // namespace mtia::emulator

#endif
