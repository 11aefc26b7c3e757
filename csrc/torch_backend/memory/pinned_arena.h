// Pinned memory of checked mode: one sparse memory file, mapped once for the program and once for the device, so that
// pages can be taken from the program while the device uses them.
#pragma once

#include <cstddef>

namespace mtia::torch_backend {

inline constexpr size_t pinned_page = 4096;

// A block of a power of two of bytes, at least a page; nullptr where the arena is full or the host has no such memory.
std::byte* take_from_arena(size_t bytes);
// Its contents are gone, its addresses are taken again by a later block of its size.
void give_to_arena(std::byte* block, size_t bytes);

// Async-signal-safe.
bool is_in_arena(const void* data) noexcept;
// The same bytes, as commands of the device reach them; `data` itself outside of the arena.
void* device_view(const void* data) noexcept;

}  // namespace mtia::torch_backend
