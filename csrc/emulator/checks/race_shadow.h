// Who touched which byte of device memory last: a written, a read and an atomic bit a byte, kept for the last command
// that touched a page and for one before it that nothing orders with it. Bounded: 3/8 of the memory touched by one
// stream of commands, twice that where several work.
//
// As in Triton's ConSan, state belongs to memory and not to a growing graph of events; as in FastTrack, a command needs
// to be compared only with the last ones at the same place.
#pragma once

#include <cstdint>
#include <optional>

#include "emulator/checks/bit_plane.h"

namespace mtia::emulator {

enum class AccessKind : uint8_t { read, write, atomic };

// Commands are numbered by epochs, ascending. Not thread-safe.
class RaceShadow {
 public:
  // Whether the command `epoch` happened before the one at work.
  struct Order {
    bool (*happened_before)(const void* context, uint32_t epoch) = nullptr;
    const void* context = nullptr;
  };

  struct Conflict {
    uint64_t address;
    uint32_t epoch;  // the current one: another program of the same launch
    AccessKind kind;
  };

  RaceShadow(uint64_t base, uint64_t capacity);

  // The command at work from now on. Other commands are compared with it only where `concurrent`.
  void begin(uint32_t epoch, bool concurrent, Order order);
  // A conflict of an access with what was painted; `within`: by the current command too.
  std::optional<Conflict> test(AccessKind kind, uint64_t address, uint64_t bytes, bool within);
  void paint(AccessKind kind, uint64_t address, uint64_t bytes);
  void reset();

 private:
  static constexpr uint64_t page_bytes = 4096;
  struct Page {
    uint32_t epoch;
    uint32_t dirty;  // bit a plane
  };
  // What one command left in each page.
  struct Layer {
    Layer(uint64_t base, uint64_t capacity);
    void reset();

    BitPlane planes[3];  // by AccessKind
    Reservation memory;
    Page* pages;
  };

  template <typename Body>
  void for_pages(uint64_t address, uint64_t bytes, const Body& body);
  void turn(uint64_t page);
  bool happened_before(uint32_t epoch);
  static std::optional<Conflict> find(const Layer& layer, uint64_t page, AccessKind kind, uint64_t address,
                                      uint64_t bytes);

  uint64_t base_;
  Layer current_;
  Layer other_;
  uint32_t epoch_ = 0;
  bool concurrent_ = false;
  Order order_;
  uint32_t asked_epoch_ = 0;
  bool asked_answer_ = true;
};

}  // namespace mtia::emulator
