// What one chip sends in a collective, in how many steps, by the algorithms that a library has for it.
#pragma once

#include <string_view>
#include <vector>

#include "network/cluster.h"
#include "network/layout.h"
#include "network/network.h"

namespace mtia::network {

struct Plan {
  double peer_bytes = 0;
  double out_bytes = 0;   // to other domains of the pod
  double pod_bytes = 0;   // to other pods
  double peer_steps = 0;  // messages that wait for each other
  double out_steps = 0;
  double combined_bytes = 0;
  std::string_view algorithm = "direct";
  bool is_reduced_by_switches = false;
};

// All that the library has; none is empty. `bytes` as account()'s.
std::vector<Plan> plans_of(const Cluster& cluster, const Layout& layout, Collective collective, double bytes);

}  // namespace mtia::network
