// One handler of the process for faults of its own code, and a chain of those who may know one: checked mode's guards
// of pinned memory, roles of C++ kernels.
#pragma once

#include <csignal>

namespace mtia {

// Deals with a fault: true where it is this link's own, and the thread goes on as the link left `context`. Called in a
// signal handler, so it neither allocates nor waits.
using FaultLink = bool (*)(int signal, siginfo_t* information, void* context);

// Adds `link` for SIGSEGV, SIGBUS, SIGFPE or SIGILL, unless it is there; the latest is asked first.
void add_fault_link(int signal, FaultLink link);

// Puts the chain in front of the handlers that others (faulthandler) installed since, or back where they took it away:
// they would take our faults for crashes. What no link knows is passed on to them. Called before faults are expected.
void renew_fault_chain();

}  // namespace mtia
