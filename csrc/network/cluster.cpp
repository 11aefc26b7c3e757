// Reading and checking of a cluster's fields.
#include "network/cluster.h"

#include <charconv>
#include <string>

#include "base/error.h"

namespace mtia::network {
namespace {

template <typename T>
void read(T& field, std::string_view text, std::string_view name, double minimum, double maximum) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_read = error == std::errc() && end == text.data() + text.size();
  if (!is_read || !(static_cast<double>(value) >= minimum && static_cast<double>(value) <= maximum))
    throw InvalidChip(concat("cluster.", name, " = ", text, is_read ? " is out of range" : " is no such number"), "",
                      concat("give a number of ", minimum, " to ", maximum));
  field = value;
}

Cluster& present() {
  static Cluster cluster;
  return cluster;
}

}  // namespace

Cluster Cluster::parse(std::string_view text) {
  Cluster cluster;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, equals), value = line.substr(equals + 1);
    bool is_known = false;
#define CLUSTER_FIELD(group, field, type, unit, minimum, maximum, summary) \
  if (name == #field) {                                                    \
    read(cluster.field, value, name, minimum, maximum);                    \
    is_known = true;                                                       \
  }
#include "network/cluster_fields.def"
#undef CLUSTER_FIELD
    if (!is_known)
      throw InvalidChip(concat("no cluster has a field ", name), "",
                        "csrc/network/cluster_fields.def lists all fields");
  }
  return cluster;
}

const Cluster& present_cluster() { return present(); }

void set_present_cluster(const Cluster& cluster) { present() = cluster; }

}  // namespace mtia::network
