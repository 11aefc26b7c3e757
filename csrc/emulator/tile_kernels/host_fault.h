// Signals that a kernel's own code raises on the host (a bad pointer, a division by zero, a full stack) end the role
// with an error instead of the process.
#pragma once

#include <string>

namespace mtia::emulator {

// Watches the code of a loaded shared object (of dlopen). The first call puts handlers of SIGSEGV, SIGBUS, SIGFPE and
// SIGILL in front of those that are there; these still get what no role's code raised. Does nothing on other hosts than
// x86-64 Linux.
void watch_faults_of(void* shared_object);

// Gives the calling thread a stack for signals, unless it has one: a role's own may be full.
void prepare_thread_for_faults();

}  // namespace mtia::emulator
