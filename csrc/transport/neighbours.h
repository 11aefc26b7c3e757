// Processes of one host that find each other, hand each other memory, and notice when one is gone.
#pragma once

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "transport/shared_memory.h"

namespace mtia::transport {

// What each rank tells all others before they meet; plain bytes.
struct Card {
  std::array<char, 96> host{};     // the same where memory and sockets can be shared; empty: this rank does not share
  std::array<char, 48> address{};  // where it can be called
};

// Where other processes of this host can call: a socket of Linux's abstract names, which end with the process.
class Doorway {
 public:
  // Throws std::runtime_error where the host has no such sockets.
  Doorway();
  Card card() const { return card_; }
  int file() const { return socket_.get(); }

 private:
  FileDescriptor socket_;
  Card card_;
};

// Another process, by a connection that it closes when it leaves.
class Neighbour {
 public:
  Neighbour() = default;
  Neighbour(FileDescriptor connection, SharedMemory memory);
  std::byte* memory() const { return memory_.data(); }
  enum class State { here, left, ended };
  State state() const;

 private:
  FileDescriptor connection_;
  FileDescriptor process_;  // where the kernel gives one: children that a process forked keep its connections open
  SharedMemory memory_;
};

// Every one of `cards` calls those before it and is called by those behind; they hand each other their memories, of
// `bytes` each. Blocks until all have. The entry of `own` stays empty. Throws std::runtime_error.
std::vector<Neighbour> meet_neighbours(const Doorway& door, std::span<const Card> cards, size_t own,
                                       const SharedMemory& memory, size_t bytes, std::chrono::milliseconds timeout);

}  // namespace mtia::transport
