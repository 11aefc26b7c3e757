// reserve, push, front and pop: their waits, their wake-ups and their time stamps.
#include "emulator/tile_kernels/circular_buffer.h"

#include <algorithm>

#include "base/error.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {
namespace {

constexpr uint32_t most_pages = 64;

// The one role that may produce, or consume; the first to do it is it.
void claim(Role*& owner, Role& role, const Ring& ring, const char* part, const char* rule) {
  if (owner == nullptr) owner = &role;
  if (owner != &role) {
    throw InvalidArgument(concat(ring.title(), " has a second ", part, ": role ", role.name(), " after role ",
                                 owner->name(), " (", rule, ")"),
                          "", concat("let one role be the ", part, " of each circular buffer"));
  }
}

void check_page_count(const Ring& ring, uint32_t pages, const char* operation) {
  if (pages == 0 || pages > ring.pages) {
    throw InvalidArgument(concat(operation, " of ", pages, " pages of ", ring.title(), ", which has ", ring.pages,
                                 " (mtia_rule_a_window_must_fit_its_circular_buffer)"),
                          "", "ask for fewer pages, or make the circular buffer larger");
  }
}

// Marks pages [first, first + count) as done and moves `edge` over all that are done from it on.
void advance(uint64_t& edge, uint64_t& ahead, uint64_t first, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) ahead |= uint64_t{1} << (first + i - edge);
  while ((ahead & 1U) != 0) {
    ahead >>= 1U;
    ++edge;
  }
}

// The number since the launch began of the page that a window's tile stands for: the one within the ring from `edge`
// on.
uint64_t position_of(const Ring& ring, const mtia_tile& tile, uint64_t edge) {
  const uint64_t place = tile.page - ring.first_page;
  return edge + (place + ring.pages - edge % ring.pages) % ring.pages;
}

void hand_out(Role& role, const Ring& ring, uint64_t first, uint32_t pages, mtia_tile* results) {
  for (uint32_t i = 0; i < pages; ++i)
    results[i] = role.pe->memory.handle_of(ring.first_page + static_cast<uint32_t>((first + i) % ring.pages));
}

// In checked mode: the other role is to learn of what this one did so far.
void hand_over(Role& role, uint32_t pages, const mtia_tile* tiles) {
  TileChecks* checks = role.pe->checks.get();
  for (uint32_t i = 0; checks != nullptr && i < pages; ++i) checks->handed_over(role, tiles[i].page);
}

void wait_for(Role& role, const Ring& ring, uint32_t pages) {
  role.begin_wait(WaitKind::pages, pages, &ring);
  wait(role);
}

void wake_if_waiting(Role* other, const Ring& ring) {
  if (other != nullptr && other->state == RoleState::waiting && other->waits == WaitKind::pages &&
      other->waits_for == &ring) {
    wake(*other);
  }
}

}  // namespace

std::string Ring::title() const {
  return name != nullptr ? concat("circular buffer ", name)
                         : concat("circular buffer ", number, " (", text_of(made), ")");
}

std::string Ring::occupancy() const {
  return concat(pushed - popped, " of ", pages, pages == 1 ? " page" : " pages", " pushed, ", reserved - pushed,
                " reserved, ", fronted - popped, " in use, ", pushed, " pushed and ", popped, " popped in all");
}

uint32_t make_ring(Role& role, const char* name, uint8_t dtype, int64_t rows, int64_t columns, uint32_t pages,
                   mtia_line made) {
  Ring ring;
  ring.name = name;
  ring.number = static_cast<uint32_t>(role.pe->rings.size());
  ring.made = made;
  ring.pages = pages;
  if (pages == 0 || pages > most_pages)
    throw InvalidArgument(concat(ring.title(), " of ", pages, " pages"), "", concat("use 1 to ", most_pages));
  for (uint32_t i = 0; i < pages; ++i) {
    const uint32_t page = role.pe->memory.allocate(static_cast<DType>(dtype), rows, columns);
    if (i == 0) ring.first_page = page;
  }
  role.pe->rings.push_back(ring);
  if (PeTrace* trace = role.board.trace()) trace->add_buffer(ring.title());
  return ring.number;
}

void ring_reserve(Role& role, uint32_t number, uint32_t pages, mtia_tile* results) {
  Ring& ring = role.pe->rings[number];
  check_page_count(ring, pages, "reserve");
  claim(ring.producer, role, ring, "producer", "mtia_rule_a_circular_buffer_has_one_producer");
  while (ring.reserved + pages > ring.popped + ring.pages) wait_for(role, ring, pages);
  hand_out(role, ring, ring.reserved, pages, results);
  if (TileChecks* checks = role.pe->checks.get()) {
    for (uint32_t i = 0; i < pages; ++i) checks->reserved(role, results[i].page);
  }
  ring.reserved += pages;
  ring.last_reserve = role.line;
}

void ring_push(Role& role, uint32_t number, uint32_t pages, const mtia_tile* tiles) {
  Ring& ring = role.pe->rings[number];
  const SubCycles now = role.board.now();
  for (uint32_t i = 0; i < pages; ++i) {
    PageTime& time = role.pe->state->pages[tiles[i].page];
    time.ready = std::max(time.ready, now);
    if (PeTrace* trace = role.board.trace()) trace->record_occupancy(time.ready, number, 1);
    role.pe->memory.renew(tiles[i].page);
  }
  hand_over(role, pages, tiles);
  advance(ring.pushed, ring.pushed_ahead, position_of(ring, tiles[0], ring.pushed), pages);
  ring.last_push = role.line;
  wake_if_waiting(ring.consumer, ring);
}

void ring_front(Role& role, uint32_t number, uint32_t pages, mtia_tile* results) {
  Ring& ring = role.pe->rings[number];
  check_page_count(ring, pages, "front");
  claim(ring.consumer, role, ring, "consumer", "mtia_rule_a_circular_buffer_has_one_consumer");
  while (ring.fronted + pages > ring.pushed) wait_for(role, ring, pages);
  hand_out(role, ring, ring.fronted, pages, results);
  if (TileChecks* checks = role.pe->checks.get()) {
    for (uint32_t i = 0; i < pages; ++i) checks->taken(role, results[i].page);
  }
  ring.fronted += pages;
  ring.last_front = role.line;
}

void ring_pop(Role& role, uint32_t number, uint32_t pages, const mtia_tile* tiles) {
  Ring& ring = role.pe->rings[number];
  const SubCycles now = role.board.now();
  for (uint32_t i = 0; i < pages; ++i) {
    PageTime& time = role.pe->state->pages[tiles[i].page];
    time.release = std::max(time.release, now);
    if (PeTrace* trace = role.board.trace()) trace->record_occupancy(time.release, number, -1);
    role.pe->memory.renew(tiles[i].page);
  }
  hand_over(role, pages, tiles);
  advance(ring.popped, ring.popped_ahead, position_of(ring, tiles[0], ring.popped), pages);
  wake_if_waiting(ring.producer, ring);
}

void check_rings_drained(const PeContext& pe) {
  for (const Ring& ring : pe.rings) {
    if (ring.reserved != ring.pushed || ring.fronted != ring.popped) {
      const bool produced = ring.reserved != ring.pushed;
      throw Undefined(concat(ring.title(), " ends with a window that never ended: ", ring.occupancy()),
                      text_of(produced ? ring.last_reserve : ring.last_front),
                      "let every window end before its role does");
    }
    if (ring.pushed != ring.popped) {
      throw Undefined(
          concat(ring.title(), " ends with ", ring.pushed - ring.popped,
                 ring.pushed - ring.popped == 1 ? " page" : " pages", " that nobody consumed: ", ring.occupancy()),
          concat("pushed at ", text_of(ring.last_push)), "let the consumer take as many pages as the producer makes");
    }
  }
}

}  // namespace mtia::emulator
