// Stops a kernel under a debugger.
#pragma once

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "types.h"

namespace mtia::detail {

// Linux names the process that traces this one.
inline bool debugger_is_attached() {
  std::FILE* status = std::fopen("/proc/self/status", "r");
  if (status == nullptr) return false;
  bool attached = false;
  char line[256];
  while (std::fgets(line, sizeof(line), status) != nullptr) {
    if (std::strncmp(line, "TracerPid:", 10) == 0) attached = std::atoi(line + 10) != 0;
  }
  std::fclose(status);
  return attached;
}

inline void say_no_debugger(const mtia_line& where) {
  static std::atomic_flag said = ATOMIC_FLAG_INIT;
  if (said.test_and_set()) return;
  std::fprintf(stderr,
               "mtia_sim: %s:%u: breakpoint() goes on: no debugger is attached; run `gdb --args python ...`, or attach "
               "one with `gdb -p`\n",
               where.file, where.line);
}

}  // namespace mtia::detail

#if defined(__x86_64__)
#define MTIA_STOP_FOR_DEBUGGER() __asm__ volatile("int3")
#else
#define MTIA_STOP_FOR_DEBUGGER() std::raise(SIGTRAP)
#endif
