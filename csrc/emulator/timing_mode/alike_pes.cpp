// Programs are told apart by what alike_programs found to decide, PEs by the sequence of programs that they run.
#include "emulator/timing_mode/alike_pes.h"

#include <algorithm>
#include <unordered_map>

#include "emulator/pe/command_processor/loaded_program.h"
#include "emulator/timing_mode/timed_program.h"

namespace mtia::emulator {
namespace {

constexpr uint64_t most_moves = uint64_t{1} << 22;  // of programs times transfers: 32 MiB

template <typename T>
struct Hash {
  size_t operator()(const std::vector<T>& key) const {
    uint64_t hash = key.size();
    for (const T value : key) hash = (hash ^ static_cast<uint64_t>(value)) * 0x9E3779B97F4A7C15ULL + (hash >> 29);
    return hash;
  }
};

template <typename T>
using Numbers = std::unordered_map<std::vector<T>, uint32_t, Hash<T>>;

int64_t moved_by(const std::vector<AddressTerm>& terms, const Frame& frame) {
  uint64_t bytes = 0;
  for (const AddressTerm& term : terms) {
    uint64_t product = static_cast<uint64_t>(term.scale) * frame.scalars()[term.root];
    for (const uint32_t factor : term.factors) product *= frame.scalars()[factor];
    bytes += product;
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace

AlikePes::AlikePes(const TimedProgram& program, uint64_t programs, uint32_t pes)
    : program_(program), programs_(programs), pes_(pes), transfers_(program.alike.transfers.size()) {}

bool AlikePes::is_worthwhile() const {
  return program_.alike.is_known && pes_ > 1 && programs_ <= most_moves / std::max<size_t>(1, transfers_);
}

void AlikePes::find(Frame& frame) {
  const AlikePrograms& alike = program_.alike;
  const auto alignment = static_cast<int64_t>(program_.program->costs.alignment());
  moved_.resize(programs_ * transfers_);
  Numbers<int64_t> kinds;
  std::vector<std::vector<uint32_t>> sequences(pes_);
  std::vector<int64_t> key;
  for (uint64_t number = 0; number < programs_; ++number) {
    frame.id = {static_cast<uint32_t>(number % frame.grid[0]),
                static_cast<uint32_t>(number / frame.grid[0] % frame.grid[1]),
                static_cast<uint32_t>(number / frame.grid[0] / frame.grid[1])};
    for (const Op* op : program_.makers) op->run(op, frame);
    key.clear();
    for (const uint32_t scalar : alike.deciding) key.push_back(frame.integer(scalar));
    for (const AlikePrograms::Bound& bound : alike.bounds)
      key.push_back(std::clamp(frame.integer(bound.scalar), bound.low, bound.high));
    for (const AlikePrograms::Wrap& wrap : alike.wraps) {
      const int64_t start = frame.integer(wrap.start);
      key.push_back(wrap.is_whole(start, frame.integer(wrap.size), wrap.extent) ? INT64_MIN : start);
    }
    for (size_t transfer = 0; transfer < transfers_; ++transfer) {
      const int64_t moved = moved_by(alike.transfers[transfer], frame);
      moved_[number * transfers_ + transfer] = moved;
      if (alignment > 1) key.push_back((moved % alignment + alignment) % alignment);
    }
    const uint32_t kind = kinds.try_emplace(key, static_cast<uint32_t>(kinds.size())).first->second;
    sequences[number % pes_].push_back(kind);
  }
  Numbers<uint32_t> leaders;
  like_.resize(pes_);
  ranges_.assign(pes_, {});
  walked_.clear();
  for (uint32_t pe = 0; pe < pes_; ++pe) {
    const auto [place, is_new] = leaders.try_emplace(std::move(sequences[pe]), pe);
    like_[pe] = place->second;
    if (is_new) {
      walked_.push_back(pe);
    } else if (ranges_[like_[pe]].empty()) {
      ranges_[like_[pe]].resize(turns_of(pe) * transfers_ + 1);  // one more, so that it is not empty
    }
  }
}

TransferRange* AlikePes::ranges_of(uint32_t pe, uint64_t program) {
  return ranges_[pe].empty() ? nullptr : ranges_[pe].data() + (program - pe) / pes_ * transfers_;
}

bool AlikePes::follow(uint32_t pe, uint32_t leader, std::span<PeState> pes) {
  std::vector<Window> windows = pes[leader].windows;
  for (Window& window : windows) {
    window.low = UINT64_MAX;
    window.high = 0;
  }
  for (uint64_t turn = 0; turn < turns_of(pe); ++turn) {
    for (size_t transfer = 0; transfer < transfers_; ++transfer) {
      const TransferRange& range = ranges_[leader][turn * transfers_ + transfer];
      if (range.is_scattered) return false;
      if (range.high == 0) continue;
      const auto by = static_cast<uint64_t>(moved_[(pe + turn * pes_) * transfers_ + transfer] -
                                            moved_[(leader + turn * pes_) * transfers_ + transfer]);
      const uint64_t low = range.low + by;
      const uint64_t high = range.high + by;
      Window& window = windows[range.window];
      if (low < window.range.begin || high > window.range.end || low >= high) return false;
      window.low = std::min(window.low, low);
      window.high = std::max(window.high, high);
    }
  }
  pes[pe].board = pes[leader].board;
  pes[pe].windows = std::move(windows);
  pes[pe].timed = pes[leader].timed;
  return true;
}

std::vector<uint32_t> AlikePes::share(std::span<PeState> pes) {
  std::vector<uint32_t> left;
  for (uint32_t pe = 0; pe < pes_; ++pe) {
    if (like_[pe] != pe && !follow(pe, like_[pe], pes)) left.push_back(pe);
  }
  return left;
}

}  // namespace mtia::emulator
