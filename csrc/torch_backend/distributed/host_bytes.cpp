// Where a collective's bytes lie.
#include "torch_backend/distributed/host_bytes.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "runtime/device.h"

namespace mtia::torch_backend {

void HostBytes::add(std::span<std::byte> run) {
  if (run.empty()) return;
  runs_.push_back(run);
  begins_.push_back(size_);
  size_ += run.size();
}

HostBytes HostBytes::reading(runtime::Device& device, const Regions& regions, bool in_place, bool& is_known) {
  HostBytes result = writing(device, regions, in_place);
  if (in_place) return result;
  std::byte* place = result.copy_.span().data();
  for (const Region& region : regions) {
    if (region.bytes != 0 && is_known) is_known = device.fetch(region.address, region.bytes, place);
    place += region.bytes;
  }
  return result;
}

HostBytes HostBytes::writing(runtime::Device& device, const Regions& regions, bool in_place) {
  HostBytes result;
  if (in_place) {
    result.in_place_ = true;
    for (const Region& region : regions) {
      if (region.bytes != 0) result.add({device.exchanged_bytes(region.address, region.bytes), region.bytes});
    }
  } else {
    result = scratch(bytes_of(regions));
  }
  return result;
}

HostBytes HostBytes::scratch(size_t bytes) {
  HostBytes result;
  result.copy_ = transport::Buffer(bytes);
  result.add(result.copy_.span());
  return result;
}

void HostBytes::deliver(runtime::Device& device, const Regions& regions, bool is_known) const {
  if (in_place_) return;
  const std::byte* place = copy_.span().data();
  for (const Region& region : regions) {
    if (region.bytes != 0) device.deliver(region.address, region.bytes, is_known ? place : nullptr);
    place += region.bytes;
  }
}

std::span<std::byte> HostBytes::run_at(size_t offset) const {
  const auto run = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), offset) - begins_.begin()) - 1;
  return runs_[run].subspan(offset - begins_[run]);
}

std::vector<std::span<const std::byte>> HostBytes::runs(size_t offset, size_t bytes) const {
  std::vector<std::span<const std::byte>> found;
  while (bytes != 0) {
    std::span<std::byte> run = run_at(offset);
    run = run.first(std::min(run.size(), bytes));
    found.push_back(run);
    offset += run.size();
    bytes -= run.size();
  }
  return found;
}

void HostBytes::write(size_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const std::span<std::byte> run = run_at(offset);
    const size_t count = std::min(run.size(), bytes.size());
    if (run.data() != bytes.data()) std::memmove(run.data(), bytes.data(), count);
    offset += count;
    bytes = bytes.subspan(count);
  }
}

bool allows_writing_in_place(const CollectivePlan& plan, size_t own_rank) {
  struct Read {
    uint64_t begin, end;
  };
  std::vector<Read> reads;
  bool are_apart = true;  // what goes to different ranks
  for (size_t rank = 0; rank < plan.sent.size(); ++rank) {
    if (rank > 0 && !plan.sent[rank].empty() && plan.sent[rank] == plan.sent[rank - 1]) {
      are_apart = false;
      continue;
    }
    for (const Region& region : plan.sent[rank]) {
      if (region.bytes != 0) reads.push_back({region.address, region.address + region.bytes});
    }
  }
  std::sort(reads.begin(), reads.end(), [](const Read& a, const Read& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < reads.size(); ++i) {
    are_apart = are_apart && reads[i].begin >= reads[i - 1].end;
    reads[i].end = std::max(reads[i].end, reads[i - 1].end);  // the furthest so far
  }
  const auto meets_a_read = [&](const Regions& regions) {
    return std::any_of(regions.begin(), regions.end(), [&](const Region& region) {
      const auto behind = std::partition_point(
          reads.begin(), reads.end(), [&](const Read& read) { return read.begin < region.address + region.bytes; });
      return region.bytes != 0 && behind != reads.begin() && std::prev(behind)->end > region.address;
    });
  };
  // A piece of a result arrives when the piece of the part in its place has been read.
  const auto is_result_safe = [&](const Regions& written, size_t rank) {
    return (are_apart && written == plan.sent[rank]) || !meets_a_read(written);
  };
  for (size_t rank = 0; rank < plan.sent.size(); ++rank) {
    const bool stays = rank == own_rank && plan.received[rank] == plan.sent[rank];
    if (!stays && meets_a_read(plan.received[rank])) return false;
    if (!is_result_safe(plan.shared[rank], rank)) return false;
  }
  return is_result_safe(plan.combined, own_rank);
}

}  // namespace mtia::torch_backend
