// Clusters of chip files.
#pragma once

#include <string>

#include "kernels/kernel_launch.h"
#include "network/cluster.h"

namespace mtia::test {

// What a file of python/mtia_core/chips has of cluster_fields.def.
inline network::Cluster cluster_of_file(const std::string& name) {
  std::string text;
  for (const auto& [field, value] : values_of_file(name)) {
#define CLUSTER_FIELD(group, row, type, unit, minimum, maximum, summary) \
  if (field == #row) text += field + "=" + value + "\n";
#include "network/cluster_fields.def"
#undef CLUSTER_FIELD
  }
  return network::Cluster::parse(text);
}

}  // namespace mtia::test
