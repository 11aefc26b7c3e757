// Ranks by domain, pod and place.
#include "network/layout.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace mtia::network {
namespace {

int64_t size_or_all(uint64_t size) { return size > 0 ? static_cast<int64_t>(size) : INT64_MAX; }

std::vector<TorusAxis> axes_of(const std::vector<int64_t>& sides, const std::vector<int64_t>& places) {
  std::vector<TorusAxis> axes;
  int64_t stride = 1;
  for (const int64_t side : sides) {
    std::set<int64_t> coordinates;
    for (const int64_t place : places) coordinates.insert(place / stride % side);
    stride *= side;
    const auto count = static_cast<int64_t>(coordinates.size());
    if (count < 2) continue;
    const int64_t hop = (*coordinates.rbegin() - *coordinates.begin()) / (count - 1);
    axes.push_back({static_cast<double>(count), static_cast<double>(hop), count * hop >= side});
  }
  return axes;
}

}  // namespace

std::vector<int64_t> torus_sides(int64_t chips, int64_t dimensions) {
  std::vector<int64_t> sides;
  for (int64_t left = dimensions; left > 0; --left) {
    auto side = static_cast<int64_t>(std::pow(static_cast<double>(chips), 1.0 / static_cast<double>(left)) + 1e-9);
    side = std::max<int64_t>(side, 1);
    while (chips % side != 0) --side;
    sides.push_back(side);
    chips /= side;
  }
  return sides;
}

Layout::Layout(const ChipSpec& chip, const Cluster& cluster, std::span<const int64_t> members) {
  const int64_t domain_size = size_or_all(chip.domain_chips), pod_size = size_or_all(cluster.pod_chips);
  std::map<int64_t, std::vector<int64_t>> places;
  std::set<int64_t> all_pods;
  for (const int64_t rank : members) {
    places[rank / domain_size].push_back(rank % domain_size);
    all_pods.insert(rank / pod_size);
  }
  const auto largest = std::max_element(places.begin(), places.end(),
                                        [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  ranks = static_cast<double>(members.size());
  domains = static_cast<double>(places.size());
  pods = static_cast<double>(all_pods.size());
  in_domain = static_cast<double>(largest->second.size());
  if (chip.domain_chips > 1) topology = static_cast<Topology>(cluster.domain_topology);
  if (topology == Topology::torus) {
    const auto dimensions = static_cast<int64_t>(std::max<uint64_t>(cluster.torus_dimensions, 1));
    axes = axes_of(torus_sides(domain_size, dimensions), largest->second);
  }
}

}  // namespace mtia::network
