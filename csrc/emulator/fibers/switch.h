// The host's switch from one stack to another.
#pragma once

#include <cstddef>

namespace mtia::emulator {

// A context that calls start(argument) on the stack [bottom, bottom + bytes) when it is first switched to. `previous`:
// what an earlier call for the same fiber gave, or nullptr.
void* make_context(std::byte* bottom, size_t bytes, void (*start)(void*), void* argument, void* previous);

// Frees what make_context or mtia_switch_context made for a fiber that never runs again.
void free_context(void* context);

// Saves where the caller is in *from and goes on at `to`.
extern "C" void mtia_switch_context(void** from, void* to);
inline void switch_context(void** from, void* to) { mtia_switch_context(from, to); }

}  // namespace mtia::emulator
