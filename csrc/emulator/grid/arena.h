// Host memory of one worker thread: the PE's local memory and the interpreter's buffers; grown once, kept.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace mtia::emulator {

struct Arena {
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  struct Block {
    std::unique_ptr<std::byte, Free> memory;
    size_t bytes = 0;
    std::byte* get(size_t wanted) {
      if (wanted > bytes) {
        const size_t rounded = (wanted + 4095) / 4096 * 4096;
        memory.reset(static_cast<std::byte*>(std::aligned_alloc(4096, rounded)));
        if (!memory) throw std::bad_alloc();
        std::memset(memory.get(), 0, rounded);
        bytes = rounded;
      }
      return memory.get();
    }
  };
  Block local;
  Block scalars;
  Block strips;
  Block scratch;
  Block loops;
  Block lazy;
};

}  // namespace mtia::emulator
