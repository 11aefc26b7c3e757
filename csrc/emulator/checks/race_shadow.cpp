// Pages are turned over lazily, when a command first touches them.
#include "emulator/checks/race_shadow.h"

#include <algorithm>
#include <cstring>

namespace mtia::emulator {
namespace {

constexpr AccessKind all_kinds[] = {AccessKind::read, AccessKind::write, AccessKind::atomic};
constexpr uint64_t page_words = 4096 / 64;

uint32_t bit_of(AccessKind kind) { return 1U << static_cast<uint32_t>(kind); }

bool is_harmless(AccessKind a, AccessKind b) { return a == b && a != AccessKind::write; }

}  // namespace

RaceShadow::Layer::Layer(uint64_t base, uint64_t capacity)
    : planes{{base, capacity}, {base, capacity}, {base, capacity}},
      memory((capacity / page_bytes + 1) * sizeof(Page), "checked mode"),
      pages(memory.as<Page>()) {}

void RaceShadow::Layer::reset() {
  for (BitPlane& plane : planes) plane.reset();
  memory.reset();
}

RaceShadow::RaceShadow(uint64_t base, uint64_t capacity)
    : base_(base), current_(base, capacity), other_(base, capacity) {}

void RaceShadow::reset() {
  current_.reset();
  other_.reset();
}

void RaceShadow::begin(uint32_t epoch, bool concurrent, Order order) {
  epoch_ = epoch;
  concurrent_ = concurrent;
  order_ = order;
  asked_epoch_ = 0;
}

bool RaceShadow::happened_before(uint32_t epoch) {
  if (!concurrent_ || epoch == 0) return true;
  if (epoch != asked_epoch_) {
    asked_epoch_ = epoch;
    asked_answer_ = order_.happened_before(order_.context, epoch);
  }
  return asked_answer_;
}

// Calls body(page, address, bytes) for the part of the range in each page, which is the current command's by then.
template <typename Body>
void RaceShadow::for_pages(uint64_t address, uint64_t bytes, const Body& body) {
  while (bytes != 0) {
    const uint64_t page = (address - base_) / page_bytes;
    const uint64_t part = std::min(bytes, base_ + (page + 1) * page_bytes - address);
    if (current_.pages[page].epoch != epoch_) turn(page);
    body(page, address, part);
    address += part;
    bytes -= part;
  }
}

void RaceShadow::turn(uint64_t page) {
  Page& now = current_.pages[page];
  const uint64_t address = base_ + page * page_bytes;
  const bool keep = now.dirty != 0 && !happened_before(now.epoch);
  if (keep) other_.pages[page].epoch = now.epoch;
  for (const AccessKind kind : all_kinds) {
    uint64_t* words = current_.planes[static_cast<size_t>(kind)].words(address);
    if (keep) {
      const uint32_t dirty = (now.dirty | other_.pages[page].dirty) & bit_of(kind);
      if (dirty != 0) std::memcpy(other_.planes[static_cast<size_t>(kind)].words(address), words, page_words * 8);
    }
    if ((now.dirty & bit_of(kind)) != 0) std::memset(words, 0, page_words * 8);
  }
  if (keep) other_.pages[page].dirty = now.dirty;
  now = {epoch_, 0};
}

std::optional<RaceShadow::Conflict> RaceShadow::find(const Layer& layer, uint64_t page, AccessKind kind,
                                                     uint64_t address, uint64_t bytes) {
  const Page& state = layer.pages[page];
  for (const AccessKind other : {AccessKind::write, AccessKind::atomic, AccessKind::read}) {
    if (is_harmless(kind, other) || (state.dirty & bit_of(other)) == 0) continue;
    const uint64_t found = layer.planes[static_cast<size_t>(other)].first_set(address, bytes);
    if (found != address + bytes) return Conflict{found, state.epoch, other};
  }
  return std::nullopt;
}

std::optional<RaceShadow::Conflict> RaceShadow::test(AccessKind kind, uint64_t address, uint64_t bytes, bool within) {
  std::optional<Conflict> conflict;
  for_pages(address, bytes, [&](uint64_t page, uint64_t at, uint64_t part) {
    if (conflict) return;
    if (within) conflict = find(current_, page, kind, at, part);
    if (conflict || !concurrent_) return;
    const Page& other = other_.pages[page];
    if (other.dirty != 0 && !happened_before(other.epoch)) conflict = find(other_, page, kind, at, part);
  });
  return conflict;
}

void RaceShadow::paint(AccessKind kind, uint64_t address, uint64_t bytes) {
  for_pages(address, bytes, [&](uint64_t page, uint64_t at, uint64_t part) {
    current_.pages[page].dirty |= bit_of(kind);
    current_.planes[static_cast<size_t>(kind)].set(at, part);
  });
}

}  // namespace mtia::emulator
