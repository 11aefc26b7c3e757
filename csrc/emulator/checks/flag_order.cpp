// Writes and volatile loads in the order of their times, over the bytes that volatile loads read.
#include "emulator/checks/flag_order.h"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace mtia::emulator {
namespace {

constexpr size_t most_rows = size_t{1} << 21;

struct Row {
  uint64_t begin;
  uint64_t end;
  const TimedAccess* access;
};

// Who wrote each byte last, of those that were asked for.
class LastWriters {
 public:
  // Ranges by ascending begin.
  void follow(uint64_t begin, uint64_t end) {
    if (!parts_.empty() && begin <= parts_.rbegin()->second.end) {
      Part& last = parts_.rbegin()->second;
      last.end = std::max(last.end, end);
    } else {
      parts_[begin] = {end, nullptr};
    }
  }
  void write(const Row& row) {
    split(row.begin);
    split(row.end);
    for (auto part = parts_.lower_bound(row.begin); part != parts_.end() && part->first < row.end; ++part)
      part->second.writer = row.access;
  }
  // Calls body(write) for each that the row's bytes come from.
  template <typename Body>
  void read(const Row& row, const Body& body) const {
    auto part = parts_.upper_bound(row.begin);
    if (part != parts_.begin()) --part;
    for (; part != parts_.end() && part->first < row.end; ++part) {
      if (part->second.end > row.begin && part->second.writer != nullptr) body(*part->second.writer);
    }
  }

 private:
  struct Part {
    uint64_t end;
    const TimedAccess* writer;
  };

  void split(uint64_t at) {
    auto part = parts_.upper_bound(at);
    if (part == parts_.begin()) return;
    --part;
    if (part->first == at || part->second.end <= at) return;
    const Part behind = part->second;
    part->second.end = at;
    parts_[at] = behind;
  }

  std::map<uint64_t, Part> parts_;  // by begin
};

// What one program told others of and learnt from them, each by ascending time.
struct Exchange {
  struct Learnt {
    uint64_t when;
    uint64_t until;  // what others told by then
  };
  std::vector<uint64_t> told;
  std::vector<Learnt> learnt;
};

using Exchanges = std::unordered_map<uint64_t, Exchange>;  // by program

Exchanges exchanges_of(const std::vector<Row>& rows, LastWriters& writers) {
  Exchanges result;
  for (const Row& row : rows) {
    const TimedAccess& access = *row.access;
    if (!access.record.is_volatile) {
      writers.write(row);
      continue;
    }
    writers.read(row, [&](const TimedAccess& write) {
      if (write.program == access.program) return;
      result[write.program].told.push_back(write.record.time);
      std::vector<Exchange::Learnt>& learnt = result[access.program].learnt;
      const uint64_t before = learnt.empty() ? 0 : learnt.back().until;
      learnt.push_back({access.record.time, std::max(before, write.record.time)});
    });
  }
  for (auto& [program, exchange] : result) std::sort(exchange.told.begin(), exchange.told.end());
  return result;
}

void apply(const Exchange& exchange, AccessRecord& record) {
  const auto told = std::lower_bound(exchange.told.begin(), exchange.told.end(), record.time);
  if (told != exchange.told.end()) record.released = std::min(record.released, *told);
  const auto behind =
      std::upper_bound(exchange.learnt.begin(), exchange.learnt.end(), record.time,
                       [](uint64_t time, const Exchange::Learnt& learnt) { return time < learnt.when; });
  if (behind != exchange.learnt.begin()) record.acquired = std::max(record.acquired, std::prev(behind)->until);
}

}  // namespace

bool order_by_flags(std::vector<TimedAccess>& accesses) {
  std::vector<Row> rows;
  for (const TimedAccess& access : accesses) {
    if (access.record.kind == AccessKind::read && !access.record.is_volatile) continue;
    const bool complete = for_each_row(access.record.rows(), [&](uint64_t address, uint64_t bytes) {
      if (rows.size() == most_rows) return false;
      rows.push_back({address, address + bytes, &access});
      return true;
    });
    if (!complete) return false;
  }
  LastWriters writers;
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.begin < b.begin; });
  for (const Row& row : rows) {
    if (row.access->record.is_volatile) writers.follow(row.begin, row.end);
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.access->record.time < b.access->record.time; });
  const Exchanges exchanges = exchanges_of(rows, writers);
  for (TimedAccess& access : accesses) {
    if (const auto found = exchanges.find(access.program); found != exchanges.end())
      apply(found->second, access.record);
  }
  return true;
}

}  // namespace mtia::emulator
