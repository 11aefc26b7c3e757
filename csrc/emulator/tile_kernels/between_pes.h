// What PEs of one launch do together: barriers, multicast reads, reduction chains over the link of the reduction
// engines, and work queues. Every message carries its time on the chip, so that it does not matter which host thread
// comes first.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "emulator/pe/processing_element.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {

class BetweenPes {
 public:
  BetweenPes(uint32_t count, uint32_t rows, uint32_t columns) : count_(count), rows_(rows), columns_(columns) {}

  // Returns the time on the chip at which all PEs' roles of this number have come.
  SubCycles barrier(Role& role);
  // All PEs of the line come with the same region. Returns when the transfer starts: when the last is ready for it.
  SubCycles meet_for_multicast(Role& role, uint8_t along, const mtia_region& region, const mtia_tile& tile,
                               SubCycles ready);

  struct Message {
    std::vector<std::byte> data;  // dense rows
    DType dtype = DType::F32;
    int64_t rows = 0;
    int64_t columns = 0;
    SubCycles ready = 0;  // when its last element arrives
  };
  // Along a line, a PE's place in it, and how long it is.
  uint32_t place_in_line(const Role& role, uint8_t along) const;
  uint32_t line_length(uint8_t along) const;
  // The message of the PE before this one; waits for it.
  std::unique_ptr<Message> receive(Role& role, uint8_t along);
  // When the link to the PE behind this one has room: the receiver is done with the message before the last.
  SubCycles room_at(Role& role, uint8_t along);
  void send(Role& role, uint8_t along, std::unique_ptr<Message> message);
  // Tells the sender when its message was used up.
  void consumed(Role& role, uint8_t along, SubCycles time);

  // Draws from a work queue at the role's time; waits until no other role can draw earlier.
  int64_t next_item(Role& role, uint32_t queue, int64_t items);
  // When all roles wait: gives items to the earliest draws. False: nobody draws.
  bool grant();

  // What a role waits for, in words.
  std::string reason(const Role& role) const;

 private:
  struct Meeting {  // of a barrier or a multicast
    std::mutex mutex;
    std::vector<Role*> present;
    SubCycles latest = 0;
    mtia_region region{};
    mtia_tile tile{};
  };
  struct Link {  // from one PE to the next
    static constexpr size_t capacity = 2;
    std::mutex mutex;
    std::deque<std::unique_ptr<Message>> messages;
    std::deque<SubCycles> free_at;  // of messages that were used up and whose room nobody took yet
    size_t in_use = 0;              // sent and not used up
    uint64_t sent = 0;
    Role* sender = nullptr;    // that waits
    Role* receiver = nullptr;  // that waits
  };
  struct Draw {
    Role* role;
    uint32_t queue;
    int64_t items;
  };

  void check_full_lines(const char* operation) const;
  SubCycles meet(Meeting& meeting, Role& role, uint32_t wanted, SubCycles ready, WaitKind kind);
  Meeting& barrier_of(uint32_t role);
  Meeting& line_of(const Role& role, uint8_t along);
  // The link whose receiver is the PE `behind` places behind `role` on its line.
  Link& link_into(const Role& role, uint8_t along, uint32_t behind);

  uint32_t count_;
  uint32_t rows_;
  uint32_t columns_;
  mutable std::mutex mutex_;  // of the tables
  std::map<uint32_t, std::unique_ptr<Meeting>> barriers_;
  std::map<uint64_t, std::unique_ptr<Meeting>> lines_;
  std::map<uint64_t, std::unique_ptr<Link>> links_;
  std::mutex draws_mutex_;
  std::vector<Draw> draws_;
  std::map<uint32_t, int64_t> next_item_;
};

}  // namespace mtia::emulator
