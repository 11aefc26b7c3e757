// Programs of a grid that take turns on one host thread: each starts in order, runs until it ends, and, where it spins
// in a loop, lets the others go on. So locks, flags and messages between programs work in any pattern, as long as those
// that wait for each other are on different PEs. The turns depend on nothing but the programs.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "emulator/fibers/fiber.h"

namespace mtia::emulator {

class ProgramTurns {
 public:
  // What runs the programs. A place is what a program keeps while it waits (local memory, registers): 0 is the thread's
  // own, where a grid whose programs never wait runs altogether.
  class Client {
   public:
    virtual ~Client() = default;
    // Whether this program is to run at all.
    virtual bool wants(uint64_t program) = 0;
    // Runs a program to its end; false where it failed: nothing else then starts.
    virtual bool run(uint64_t program, size_t place) = 0;
    // A waiting program goes on after others ran, the last of them on this PE.
    virtual void resumed(uint32_t pe, uint32_t after) = 0;
  };

  // Program i runs on PE i mod pes, those of a PE in order. `shuffle`: seed of an order drawn at random from those that
  // are possible; 0: that of the grid.
  ProgramTurns(Client& client, StackPool& stacks, uint64_t programs, uint32_t pes, uint64_t shuffle);
  ~ProgramTurns();

  void run();
  uint32_t pes() const { return pes_; }

  // Called by the program that runs, on its own stack: lets another one run, and returns when it is its turn again.
  // Throws Abandoned where another one failed meanwhile.
  void spin();

 private:
  struct Turn {
    ProgramTurns* turns = nullptr;
    Fiber fiber;
    FiberStack* stack = nullptr;  // none: the thread's own
    size_t place = 0;
    uint64_t program = 0;
  };

  bool draw();
  bool may_start();
  void start(Turn& turn);
  bool execute(Turn& turn);
  Turn& idle();
  Turn& longest_waiting();
  uint32_t pe_of(const Turn& turn) const { return static_cast<uint32_t>(turn.program % pes_); }
  void change(Turn& to, bool finished = false);
  static void begin(void* turn);

  Client& client_;
  StackPool& stacks_;
  const uint64_t programs_;
  const uint32_t pes_;
  uint64_t shuffle_;
  std::vector<uint64_t> upcoming_;  // where shuffled: the next program of each PE
  std::vector<bool> busy_;          // PEs
  uint64_t next_ = 0;               // program to start
  bool drawn_ = false;              // where shuffled: next_ is
  bool failed_ = false;
  uint32_t last_pe_ = 0;
  std::deque<Turn> turns_;  // the thread's first
  std::vector<Turn*> idle_;
  std::deque<Turn*> waiting_;
  Turn* current_ = nullptr;
};

}  // namespace mtia::emulator
