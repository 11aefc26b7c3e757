// Meetings, links and work queues.
#include "emulator/tile_kernels/between_pes.h"

#include <algorithm>

#include "base/error.h"
#include "emulator/checks/access_log.h"

namespace mtia::emulator {
namespace {

// In checked mode: what this PE did so far comes before what others do when they have learnt of it. Barriers alone wait
// for stores.
void tell_of_progress(const Role& role) {
  if (AccessLog* log = role.pe->state->log; log != nullptr) log->synchronise();
}

uint64_t key_of(uint32_t role, uint8_t along, uint32_t place) {
  return (static_cast<uint64_t>(role) << 40U) | (static_cast<uint64_t>(along) << 32U) | place;
}

const char* line_name(uint8_t along) { return along == 0 ? "row" : "column"; }

uint32_t line_number(const Role& role, uint8_t along) { return along == 0 ? role.row : role.column; }

// Everything on the chip that crosses its network: a round trip.
SubCycles round_trip(const Role& role) { return role.pe->state->costs->sram_latency(); }

bool same_region(const mtia_region& a, const mtia_region& b, const mtia_tile& mine, const mtia_tile& theirs) {
  return a.base == b.base && a.row_stride == b.row_stride && a.column_stride == b.column_stride &&
         a.valid_rows == b.valid_rows && a.valid_columns == b.valid_columns && mine.rows == theirs.rows &&
         mine.columns == theirs.columns;
}

}  // namespace

void BetweenPes::check_full_lines(const char* operation) const {
  if (count_ == rows_ * columns_) return;
  throw InvalidArgument(concat(operation, " on ", count_, " PEs, which are no full rows of ", columns_), "",
                        "launch on a rectangle: kernel[rows, columns]");
}

BetweenPes::Meeting& BetweenPes::barrier_of(uint32_t role) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Meeting>& meeting = barriers_[role];
  if (!meeting) meeting = std::make_unique<Meeting>();
  return *meeting;
}

BetweenPes::Meeting& BetweenPes::line_of(const Role& role, uint8_t along) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Meeting>& meeting = lines_[key_of(role.number, along, line_number(role, along))];
  if (!meeting) meeting = std::make_unique<Meeting>();
  return *meeting;
}

SubCycles BetweenPes::meet(Meeting& meeting, Role& role, uint32_t wanted, SubCycles ready, WaitKind kind) {
  std::unique_lock lock(meeting.mutex, std::adopt_lock);
  meeting.latest = std::max(meeting.latest, ready);
  if (meeting.present.size() + 1 == wanted) {
    const SubCycles start = meeting.latest;
    meeting.latest = 0;
    for (Role* other : meeting.present) {
      other->granted_time = start;
      wake(*other);
    }
    meeting.present.clear();
    return start;
  }
  role.begin_wait(kind, wanted);
  meeting.present.push_back(&role);
  lock.unlock();
  wait(role);
  return role.granted_time;
}

SubCycles BetweenPes::barrier(Role& role) {
  Meeting& meeting = barrier_of(role.number);
  meeting.mutex.lock();
  tell_of_progress(role);
  const SubCycles departure = meet(meeting, role, count_, role.board.finish(), WaitKind::barrier) + round_trip(role);
  tell_of_progress(role);
  return departure;
}

SubCycles BetweenPes::meet_for_multicast(Role& role, uint8_t along, const mtia_region& region, const mtia_tile& tile,
                                         SubCycles ready) {
  check_full_lines("multicast");
  Meeting& meeting = line_of(role, along);
  meeting.mutex.lock();
  if (meeting.present.empty()) {
    meeting.region = region;
    meeting.tile = tile;
  } else if (!same_region(meeting.region, region, meeting.tile, tile)) {
    const mtia_region first = meeting.region;
    const std::string other = meeting.present.front()->place();
    meeting.mutex.unlock();
    throw InvalidArgument(concat("multicast along a ", line_name(along), " of different regions: (", region.row, ", ",
                                 region.column, ") here, (", first.row, ", ", first.column, ") for ", other,
                                 " (mtia_rule_multicast_participants_must_agree)"),
                          "",
                          concat("let all PEs of the ", line_name(along), " read the same part of the same tensor"));
  }
  role.waits_along = along;
  return meet(meeting, role, line_length(along), ready, WaitKind::multicast);
}

uint32_t BetweenPes::place_in_line(const Role& role, uint8_t along) const {
  return along == 0 ? role.column : role.row;
}

uint32_t BetweenPes::line_length(uint8_t along) const { return along == 0 ? columns_ : rows_; }

BetweenPes::Link& BetweenPes::link_into(const Role& role, uint8_t along, uint32_t behind) {
  const uint32_t place = role.index + behind * (along == 0 ? 1 : columns_);
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Link>& link = links_[key_of(role.number, along, place)];
  if (!link) link = std::make_unique<Link>();
  return *link;
}

std::unique_ptr<BetweenPes::Message> BetweenPes::receive(Role& role, uint8_t along) {
  check_full_lines("reduce_along");
  Link& link = link_into(role, along, 0);
  std::unique_lock lock(link.mutex);
  while (link.messages.empty()) {
    role.begin_wait(WaitKind::message, 0);
    role.waits_along = along;
    link.receiver = &role;
    lock.unlock();
    wait(role);
    lock.lock();
    link.receiver = nullptr;
  }
  std::unique_ptr<Message> message = std::move(link.messages.front());
  link.messages.pop_front();
  return message;
}

SubCycles BetweenPes::room_at(Role& role, uint8_t along) {
  check_full_lines("reduce_along");
  Link& link = link_into(role, along, 1);
  std::unique_lock lock(link.mutex);
  while (link.in_use == Link::capacity) {
    role.begin_wait(WaitKind::link, 0);
    role.waits_along = along;
    link.sender = &role;
    lock.unlock();
    wait(role);
    lock.lock();
    link.sender = nullptr;
  }
  ++link.in_use;
  if (link.sent++ < Link::capacity) return 0;
  const SubCycles free_at = link.free_at.front();
  link.free_at.pop_front();
  return free_at;
}

void BetweenPes::send(Role& role, uint8_t along, std::unique_ptr<Message> message) {
  Link& link = link_into(role, along, 1);
  const std::lock_guard lock(link.mutex);
  link.messages.push_back(std::move(message));
  if (link.receiver != nullptr && link.messages.size() == 1) wake(*link.receiver);
}

void BetweenPes::consumed(Role& role, uint8_t along, SubCycles time) {
  Link& link = link_into(role, along, 0);
  const std::lock_guard lock(link.mutex);
  link.free_at.push_back(time);
  if (link.in_use-- == Link::capacity && link.sender != nullptr) wake(*link.sender);
}

int64_t BetweenPes::next_item(Role& role, uint32_t queue, int64_t items) {
  {
    const std::lock_guard lock(draws_mutex_);
    role.begin_wait(WaitKind::item, queue);
    draws_.push_back({&role, queue, items});
  }
  wait(role);
  role.board.wait_until(role.granted_time);
  return role.granted_item;
}

bool BetweenPes::grant() {
  if (draws_.empty()) return false;
  // Whoever is given an item draws again a round trip later at the earliest: earlier draws cannot come any more.
  std::sort(draws_.begin(), draws_.end(), [](const Draw& a, const Draw& b) {
    const SubCycles first = a.role->board.now();
    const SubCycles second = b.role->board.now();
    if (first != second) return first < second;
    return a.role->index != b.role->index ? a.role->index < b.role->index : a.role->number < b.role->number;
  });
  const SubCycles horizon = draws_.front().role->board.now() + std::max<SubCycles>(round_trip(*draws_.front().role), 1);
  size_t given = 0;
  while (given < draws_.size() && draws_[given].role->board.now() < horizon) {
    const Draw& draw = draws_[given++];
    int64_t& next = next_item_[draw.queue];
    draw.role->granted_item = next < draw.items ? next++ : -1;
    draw.role->granted_time = draw.role->board.now() + round_trip(*draw.role);
  }
  const std::vector<Draw> granted(draws_.begin(), draws_.begin() + static_cast<ptrdiff_t>(given));
  draws_.erase(draws_.begin(), draws_.begin() + static_cast<ptrdiff_t>(given));
  for (const Draw& draw : granted) wake(*draw.role);
  return true;
}

std::string BetweenPes::reason(const Role& role) const {
  const std::lock_guard lock(mutex_);
  const auto present = [](const Meeting& meeting) { return meeting.present.size(); };
  switch (role.waits) {
    case WaitKind::barrier:
      return concat(" for all PEs: ", present(*barriers_.at(role.number)), " of ", role.waits_for_pages, " have come");
    case WaitKind::multicast:
      return concat(" along ", line_name(role.waits_along), " ", line_number(role, role.waits_along), ": ",
                    present(*lines_.at(key_of(role.number, role.waits_along, line_number(role, role.waits_along)))),
                    " of ", role.waits_for_pages, " PEs have come");
    case WaitKind::message:
      return concat(" for the part of the PE before it along ", line_name(role.waits_along), " ",
                    line_number(role, role.waits_along));
    case WaitKind::link:
      return concat(" for the PE behind it along ", line_name(role.waits_along), " ",
                    line_number(role, role.waits_along), " to take the parts that were sent");
    case WaitKind::item:
      return concat(" for an item of work queue ", role.waits_for_pages);
    case WaitKind::pages:
      break;
  }
  return {};
}

}  // namespace mtia::emulator
