// The shadow memory of checked mode against plain sets of bytes.
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "emulator/checks/bit_plane.h"
#include "emulator/checks/byte_rows.h"
#include "emulator/checks/clock_races.h"
#include "emulator/checks/race_shadow.h"
#include "test.h"

namespace {

using mtia::emulator::AccessKind;
using mtia::emulator::AccessRecord;
using mtia::emulator::BitPlane;
using mtia::emulator::ByteRows;
using mtia::emulator::RaceShadow;
using mtia::emulator::TimedAccess;

constexpr uint64_t base = uint64_t{1} << 32;
constexpr uint64_t capacity = uint64_t{1} << 20;

TEST(bit_plane_agrees_with_a_vector_of_bools) {
  std::mt19937 generator(1);
  BitPlane plane(base, capacity);
  std::vector<bool> expected(2048);
  for (int round = 0; round < 3000; ++round) {
    const uint64_t begin = generator() % expected.size();
    const uint64_t bytes = generator() % (expected.size() - begin + 1) % (round % 2 == 0 ? 16 : 2048);
    const auto fill = [&](uint64_t from, uint64_t count, bool value) {
      for (uint64_t i = 0; i < count; ++i) expected[from + i] = value;
    };
    switch (generator() % 4) {
      case 0:
        plane.set(base + begin, bytes);
        fill(begin, bytes, true);
        break;
      case 1:
        plane.clear(base + begin, bytes);
        fill(begin, bytes, false);
        break;
      case 2: {
        const uint64_t to = generator() % (expected.size() - bytes + 1);
        plane.copy(base + to, base + begin, bytes);
        const std::vector<bool> former = expected;
        for (uint64_t i = 0; i < bytes; ++i) expected[to + i] = former[begin + i];
        break;
      }
      default:
        break;
    }
    uint64_t first = begin;
    while (first < begin + bytes && !expected[first]) ++first;
    CHECK_EQ(plane.first_set(base + begin, bytes), base + first);
  }
  plane.reset();
  CHECK(!plane.any(base, capacity));
}

std::multiset<uint64_t> bytes_of(const ByteRows& rows) {
  std::multiset<uint64_t> bytes;
  for_each_row(rows, [&](uint64_t address, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) bytes.insert(address + i);
    return true;
  });
  return bytes;
}

TEST(rows_hold_the_bytes_of_their_elements) {
  std::mt19937 generator(2);
  for (int round = 0; round < 500; ++round) {
    const int64_t size = int64_t{1} << generator() % 4;
    ByteRows rows;
    rows.base = base;
    rows.run = static_cast<uint64_t>(size);
    std::multiset<uint64_t> expected;
    std::vector<int64_t> offsets{0};
    const auto dimensions = generator() % 4;
    for (uint32_t d = 0; d < dimensions; ++d) {
      const auto extent = static_cast<int64_t>(generator() % 5 + 1);
      const int64_t step = (static_cast<int64_t>(generator() % 41) - 20) * size;
      rows.add(extent, step);
      std::vector<int64_t> next;
      for (const int64_t offset : offsets) {
        for (int64_t i = 0; i < (step == 0 ? 1 : extent); ++i) next.push_back(offset + i * step);
      }
      offsets = next;
    }
    rows.join();
    for (const int64_t offset : offsets) {
      for (int64_t i = 0; i < size; ++i) expected.insert(base + static_cast<uint64_t>(offset + i));
    }
    CHECK(bytes_of(rows) == expected);
    CHECK_EQ(rows.end(), *expected.rbegin() + 1);
    CHECK_EQ(rows.base, *expected.begin());
  }
}

TEST(a_dense_tile_is_one_row) {
  ByteRows rows;
  rows.base = base;
  rows.run = 4;
  rows.add(8, 64 * 4);
  rows.add(64, 4);
  rows.join();
  CHECK_EQ(rows.rank, 0U);
  CHECK_EQ(rows.run, 8U * 64 * 4);
}

struct Orders {
  std::set<std::pair<uint32_t, uint32_t>> before;  // (earlier, now)
  uint32_t now = 0;
  static bool ask(const void* context, uint32_t epoch) {
    const auto& self = *static_cast<const Orders*>(context);
    return self.before.count({epoch, self.now}) != 0;
  }
};

// Commands one after the other, each with accesses to random bytes, against a list of all accesses by byte. Only the
// last command that touched a page, and one before it, are remembered: every conflict found must be one, and all with
// the last command to touch a page must be found.
TEST(race_shadow_finds_conflicts_of_unordered_commands_and_no_others) {
  std::mt19937 generator(3);
  struct Past {
    uint32_t epoch;
    AccessKind kind;
  };
  RaceShadow shadow(base, capacity);
  std::map<uint64_t, std::vector<Past>> history;
  std::map<uint64_t, uint32_t> last_epoch_of_page;
  Orders orders;
  int found_conflicts = 0;
  for (uint32_t epoch = 1; epoch <= 400; ++epoch) {
    orders.now = epoch;
    for (uint32_t earlier = 1; earlier < epoch; ++earlier) {
      if (generator() % 2 == 0) orders.before.insert({earlier, epoch});
    }
    shadow.begin(epoch, true, {&Orders::ask, &orders});
    std::map<uint64_t, std::vector<Past>> added;
    std::set<uint64_t> touched;
    for (int access = 0; access < 6; ++access) {
      const auto kind = static_cast<AccessKind>(generator() % 3);
      const uint64_t address = base + generator() % 12000;
      const uint64_t bytes = generator() % 300 + 1;
      const auto conflict = shadow.test(kind, address, bytes, false);
      bool last_conflicts = false;
      for (uint64_t byte = address; byte < address + bytes; ++byte) {
        const uint64_t page = byte / 4096;
        for (const Past& past : history[byte]) {
          const bool harmless = past.kind == kind && kind != AccessKind::write;
          const bool unordered = orders.before.count({past.epoch, epoch}) == 0;
          if (!harmless && unordered && last_epoch_of_page[page] == past.epoch && touched.count(page) == 0)
            last_conflicts = true;
          if (conflict && conflict->address == byte && conflict->epoch == past.epoch) {
            CHECK(unordered);
          }
        }
      }
      if (last_conflicts) CHECK(conflict.has_value());
      if (conflict) {
        ++found_conflicts;
        bool real = false;
        for (const Past& past : history[conflict->address]) {
          real = real || (past.epoch == conflict->epoch && past.kind == conflict->kind);
        }
        CHECK(real);
      }
      shadow.paint(kind, address, bytes);
      for (uint64_t byte = address; byte < address + bytes; ++byte) {
        added[byte].push_back({epoch, kind});
        touched.insert(byte / 4096);
      }
    }
    for (const auto& [byte, list] : added) history[byte].insert(history[byte].end(), list.begin(), list.end());
    for (const uint64_t page : touched) last_epoch_of_page[page] = epoch;
  }
  CHECK(found_conflicts > 50);
}

TEST(race_shadow_compares_the_programs_of_one_command) {
  RaceShadow shadow(base, capacity);
  shadow.begin(1, false, {});
  shadow.paint(AccessKind::write, base + 100, 50);
  shadow.paint(AccessKind::atomic, base + 8192, 4);
  CHECK(shadow.test(AccessKind::read, base, 101, true).has_value());
  CHECK_EQ(shadow.test(AccessKind::read, base, 101, true)->address, base + 100);
  CHECK(!shadow.test(AccessKind::write, base + 150, 1000, true).has_value());
  CHECK(!shadow.test(AccessKind::atomic, base + 8192, 4, true).has_value());
  CHECK(shadow.test(AccessKind::read, base + 8190, 4, true).has_value());
  shadow.begin(2, false, {});
  CHECK(!shadow.test(AccessKind::write, base, 16384, true).has_value());
}

TimedAccess timed(AccessKind kind, uint64_t program, uint64_t begin, uint64_t bytes, uint64_t acquired,
                  uint64_t released) {
  TimedAccess access;
  access.record.base = base + begin;
  access.record.run = bytes;
  access.record.kind = kind;
  access.record.acquired = acquired;
  access.record.released = released;
  access.program = program;
  return access;
}

TEST(clocks_order_what_a_lock_guards) {
  // Program 0 takes the lock at 1 and gives it at 2, program 1 takes it at 3.
  const std::vector<TimedAccess> guarded{timed(AccessKind::write, 0, 0, 64, 1, 2),
                                         timed(AccessKind::write, 1, 32, 64, 3, 4)};
  CHECK(find_clock_races(guarded, 10).empty());
  const std::vector<TimedAccess> open{timed(AccessKind::write, 0, 0, 64, 1, UINT64_MAX),
                                      timed(AccessKind::read, 1, 32, 64, 3, 4)};
  const auto races = find_clock_races(open, 10);
  CHECK_EQ(races.size(), size_t{1});
  CHECK_EQ(races[0].address, base + 32);
  const std::vector<TimedAccess> reads{timed(AccessKind::read, 0, 0, 64, 0, UINT64_MAX),
                                       timed(AccessKind::read, 1, 0, 64, 0, UINT64_MAX)};
  CHECK(find_clock_races(reads, 10).empty());
}

}  // namespace
