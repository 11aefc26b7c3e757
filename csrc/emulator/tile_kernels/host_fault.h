// Signals that a kernel's own code raises on the host (a bad pointer, a division by zero, a full stack) end the role
// with an error instead of the process.
#pragma once

#include <string>

namespace mtia::emulator {

// Watches the code of a loaded shared object (of dlopen): a link of base/fault_chain.h for SIGSEGV, SIGBUS, SIGFPE and
// SIGILL. Does nothing on other hosts than x86-64 Linux.
void watch_faults_of(void* shared_object);

// Gives the calling thread a stack for signals, unless it has one: a role's own may be full.
void prepare_thread_for_faults();

// Ends the running role because its code `what` ("calls abort()") at the call that returns to `instruction`. Outside of
// a role it aborts the process. Without unwinding: abort() and its like may not throw.
[[noreturn]] void give_up(const char* what, const void* instruction);

}  // namespace mtia::emulator
