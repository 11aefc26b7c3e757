// Where the ranks of a group are: in which domains and pods, and on a torus at which places.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "chip/chip_spec.h"
#include "network/cluster.h"

namespace mtia::network {

enum class Topology : uint8_t { switches, pairs, torus };

// A dimension of the torus along which the group has more than one chip.
struct TorusAxis {
  double chips = 1;    // of the group, side by side
  double hop = 1;      // links from one to the next
  bool closes = true;  // the last is a neighbour of the first
};

struct Layout {
  double ranks = 1;
  double domains = 1;
  double in_domain = 1;  // the most of one domain
  double pods = 1;
  Topology topology = Topology::switches;
  std::vector<TorusAxis> axes;  // of the domain that has the most

  Layout(const ChipSpec& chip, const Cluster& cluster, std::span<const int64_t> members);
};

// Sides of a torus of so many chips, as equal as whole numbers allow, the longest last: 16 in 2 dimensions are 4 x 4.
std::vector<int64_t> torus_sides(int64_t chips, int64_t dimensions);

}  // namespace mtia::network
