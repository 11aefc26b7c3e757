// What a collective moves, worked out from its tensors.
#include "torch_backend/distributed/collective.h"

#include <algorithm>

namespace mtia::torch_backend {

uint64_t bytes_of(const Regions& regions) {
  uint64_t sum = 0;
  for (const Region& region : regions) sum += region.bytes;
  return sum;
}

Regions slice(const Regions& regions, uint64_t offset, uint64_t bytes) {
  Regions found;
  for (const Region& region : regions) {
    if (bytes == 0) break;
    if (offset >= region.bytes) {
      offset -= region.bytes;
      continue;
    }
    const uint64_t taken = std::min(bytes, region.bytes - offset);
    found.push_back({region.address + offset, taken});
    bytes -= taken;
    offset = 0;
  }
  return found;
}

CollectivePlan plan_reduction(network::Collective kind, const network::Reduction& reduction, const Regions& tensors,
                              int rank, int size, std::optional<int> root) {
  const auto ranks = static_cast<size_t>(size);
  const uint64_t element = size_of(reduction.dtype);
  const uint64_t bytes = bytes_of(tensors);
  const uint64_t share = (bytes / element + ranks - 1) / ranks * element;
  CollectivePlan plan;
  plan.kind = kind;
  plan.reduction = reduction;
  plan.accounted_bytes = bytes;
  plan.received.resize(ranks);
  plan.shares_with.assign(ranks, !root.has_value());
  if (root.has_value()) plan.shares_with[static_cast<size_t>(*root)] = true;
  for (size_t part = 0; part < ranks; ++part) {
    const uint64_t first = std::min(bytes, part * share);
    plan.sent.push_back(slice(tensors, first, std::min(share, bytes - first)));
  }
  if (plan.shares_with[static_cast<size_t>(rank)]) plan.shared = plan.sent;
  return plan;
}

}  // namespace mtia::torch_backend
