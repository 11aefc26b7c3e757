// How chips are wired, beside what a ChipSpec has of it.
#pragma once

#include <cstdint>
#include <string_view>

namespace mtia::network {

struct Cluster {
#define CLUSTER_TYPE_integer uint64_t
#define CLUSTER_TYPE_real double
#define CLUSTER_FIELD(group, field, type, unit, minimum, maximum, summary) CLUSTER_TYPE_##type field{};
#include "network/cluster_fields.def"
#undef CLUSTER_FIELD
#undef CLUSTER_TYPE_integer
#undef CLUSTER_TYPE_real

  // Reads what mtia_core.chips writes: one "name=value" a line, in any order; what is not there is 0. Throws
  // InvalidChip, which names the field, its value and its range.
  static Cluster parse(std::string_view text);
};

// Of all chips of this process. Set before the first exchange.
const Cluster& present_cluster();
void set_present_cluster(const Cluster& cluster);

}  // namespace mtia::network
