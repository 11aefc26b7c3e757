// Programs that take turns on one thread, with a client that waits in patterns.
#include <set>
#include <vector>

#include "emulator/grid/program_turns.h"
#include "emulator/grid/random_order.h"
#include "emulator/tile_kernels/role.h"
#include "test.h"

namespace mtia {
namespace {

using emulator::ProgramTurns;

// Each program waits for others to end before it ends.
struct Waiters final : ProgramTurns::Client {
  std::vector<std::vector<uint64_t>> wanted;
  std::vector<bool> done;
  std::vector<uint64_t> ended;
  std::set<size_t> places;
  uint64_t failing = UINT64_MAX;
  uint64_t resumptions = 0;
  ProgramTurns* turns = nullptr;

  bool wants(uint64_t) override { return true; }
  bool run(uint64_t program, size_t place) override {
    CHECK(places.insert(place).second);  // nobody else is there
    bool whole = program != failing;
    try {
      for (const uint64_t other : wanted[program]) {
        while (!done[other]) turns->spin();
      }
    } catch (const emulator::Abandoned&) {
      whole = false;
    }
    places.erase(place);
    done[program] = whole;
    ended.push_back(program);
    return whole;
  }
  void resumed(uint32_t pe, uint32_t after) override {
    CHECK(pe != after);
    ++resumptions;
  }
};

std::vector<uint64_t> run(Waiters& waiters, uint32_t pes, uint64_t shuffle = 0) {
  waiters.done.assign(waiters.wanted.size(), false);
  emulator::StackPool stacks;
  ProgramTurns turns(waiters, stacks, waiters.wanted.size(), pes, shuffle);
  waiters.turns = &turns;
  turns.run();
  return waiters.ended;
}

TEST(programs_that_never_wait_run_in_order_in_one_place) {
  Waiters waiters;
  waiters.wanted.resize(10);
  CHECK(run(waiters, 4) == (std::vector<uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  CHECK(waiters.resumptions == 0);
}

TEST(programs_wait_for_later_ones_on_other_pes) {
  Waiters waiters;
  waiters.wanted = {{1}, {2}, {3}, {}, {}, {4}};
  CHECK(run(waiters, 4) == (std::vector<uint64_t>{3, 2, 1, 0, 4, 5}));
}

TEST(programs_wait_in_random_patterns) {
  uint64_t state = 1;
  for (int round = 0; round < 200; ++round) {
    const auto pes = static_cast<uint32_t>(1 + emulator::random_below(state, 9));
    const size_t programs = 1 + emulator::random_below(state, 40);
    // Within a wave of `pes` programs anybody may wait for those of a lower rank, and for all of the waves before.
    std::vector<uint64_t> rank;
    for (size_t i = 0; i < programs; ++i) rank.push_back(i / pes * 1000000 + emulator::random_below(state, 1000000));
    Waiters waiters;
    waiters.wanted.resize(programs);
    for (size_t i = 0; i < programs; ++i) {
      for (size_t j = 0; j < programs; ++j) {
        if (rank[j] < rank[i] && j / pes <= i / pes && emulator::random_below(state, 4) == 0)
          waiters.wanted[i].push_back(j);
      }
    }
    const std::vector<uint64_t> first = run(waiters, pes);
    CHECK(first.size() == programs);
    std::vector<size_t> place(programs);
    for (size_t i = 0; i < programs; ++i) place[first[i]] = i;
    for (size_t i = 0; i < programs; ++i) {
      for (const uint64_t other : waiters.wanted[i]) CHECK(place[other] < place[i]);
      if (i >= pes) CHECK(place[i - pes] < place[i]);
    }
    waiters.ended.clear();
    CHECK(run(waiters, pes) == first);  // the same turns each time
  }
}

TEST(a_program_that_fails_ends_the_launch) {
  Waiters waiters;
  waiters.wanted = {{3}, {3}, {}, {}, {}};
  waiters.failing = 2;
  run(waiters, 4);
  CHECK(!waiters.done[0] && !waiters.done[3] && !waiters.done[4]);
}

TEST(shuffled_programs_run_once_each_and_in_order_on_a_pe) {
  for (uint64_t seed = 1; seed < 50; ++seed) {
    Waiters waiters;
    waiters.wanted.resize(30);
    const std::vector<uint64_t> order = run(waiters, 7, seed);
    CHECK(std::set<uint64_t>(order.begin(), order.end()).size() == 30);
    std::vector<uint64_t> last(7, 0);
    for (const uint64_t program : order) {
      CHECK(program < 7 || last[program % 7] == program - 7);
      last[program % 7] = program;
    }
  }
}

}  // namespace
}  // namespace mtia
