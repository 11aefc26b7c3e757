// Time of plans on the links of a chip, and the one of least time.
#include "network/network.h"

#include <algorithm>
#include <array>

#include "network/algorithms.h"

namespace mtia::network {
namespace {

double given_or(double value, double otherwise) { return value > 0 ? value : otherwise; }

// Seconds of a plan: those of its steps, then those of its bytes.
struct Time {
  double steps = 0;
  double peer = 0;
  double out = 0;
  double combining = 0;

  double bytes() const { return std::max({peer, out, combining}); }
  double whole() const { return steps + bytes(); }
};

class Links {
 public:
  Links(const ChipSpec& chip, const Cluster& cluster, const Layout& layout, Collective collective)
      : chip_(chip), cluster_(cluster), layout_(layout) {
    efficiency_ = given_or(chip.link_efficiency, 1);
    peer_ = given_or(chip.peer_link_bytes_per_second, chip.host_link_bytes_per_second) * efficiency_;
    const double out_efficiency = given_or(cluster.scale_out_efficiency, efficiency_);
    out_ = chip.scale_out_bytes_per_second > 0 ? chip.scale_out_bytes_per_second * out_efficiency : peer_;
    pod_ = cluster.pod_out_bytes_per_second > 0 ? cluster.pod_out_bytes_per_second * out_efficiency : out_;
    peer_ *= reached_part(collective);
  }

  // By the better protocol, where the library has two.
  Time time(const Plan& plan) const {
    const Time stream = time(plan, given_or(cluster_.stream_latency_factor, 1), 1);
    if (cluster_.low_latency_fraction == 0) return stream;
    const Time low_latency = time(plan, 1, cluster_.low_latency_fraction);
    return low_latency.whole() < stream.whole() ? low_latency : stream;
  }

 private:
  // Of all links of the domain, what those give which lead to chips of the group.
  double reached_part(Collective collective) const {
    if (layout_.in_domain < 2) return 1;
    if (layout_.topology == Topology::pairs)
      return std::min(1.0, (layout_.in_domain - 1) / static_cast<double>(chip_.domain_chips - 1));
    if (layout_.topology != Topology::torus) return 1;
    const auto dimensions = static_cast<double>(std::max<uint64_t>(cluster_.torus_dimensions, 1));
    if (collective == Collective::send) return 1 / (2 * dimensions);
    double part = 0;
    // Groups that lie between each other share the links that they hop over; a line has one direction's links at work.
    for (const TorusAxis& axis : layout_.axes) part += (axis.closes ? 1 : 0.5) / axis.hop;
    return part / dimensions;
  }

  Time time(const Plan& plan, double latency_factor, double rate) const {
    Time found;
    const double out_ns = layout_.pods > 1 ? given_or(cluster_.pod_out_latency_ns, chip_.scale_out_latency_ns)
                                           : chip_.scale_out_latency_ns;
    found.steps = (plan.peer_steps * chip_.peer_latency_ns + plan.out_steps * out_ns) * 1e-9 * latency_factor;
    const double peer =
        peer_ * rate * (plan.is_reduced_by_switches ? cluster_.switch_reduction_efficiency / efficiency_ : 1);
    const double out = plan.out_bytes + plan.pod_bytes;
    if (out == 0 && chip_.domain_uses_scale_out != 0) {
      found.peer = found.out = plan.peer_bytes / (peer + out_ * rate);
    } else {
      found.peer = plan.peer_bytes / peer;
      found.out = std::max(out / (out_ * rate), plan.pod_bytes / (pod_ * rate));
    }
    if (chip_.message_reduction_bytes_per_second > 0)
      found.combining = plan.combined_bytes / chip_.message_reduction_bytes_per_second;
    return found;
  }

  const ChipSpec& chip_;
  const Cluster& cluster_;
  const Layout& layout_;
  double efficiency_ = 1;
  double peer_ = 0;
  double out_ = 0;
  double pod_ = 0;
};

}  // namespace

std::string_view name_of(Collective collective) {
  constexpr std::array<std::string_view, collective_count> names = {
      "barrier",    "send",           "broadcast",  "gather", "scatter",
      "all_gather", "reduce_scatter", "all_reduce", "reduce", "all_to_all"};
  return names[static_cast<size_t>(collective)];
}

NetworkAccount account(const ChipSpec& chip, Collective collective, uint64_t bytes, std::span<const int64_t> ranks) {
  return account(chip, present_cluster(), collective, bytes, ranks);
}

NetworkAccount account(const ChipSpec& chip, const Cluster& cluster, Collective collective, uint64_t bytes,
                       std::span<const int64_t> ranks) {
  NetworkAccount result;
  result.algorithm = "none";
  result.seconds = chip.message_launch_ns * 1e-9;
  if (ranks.size() < 2) return result;
  const Layout layout(chip, cluster, ranks);
  const Links links(chip, cluster, layout, collective);
  Plan best;
  Time least;
  for (const Plan& plan : plans_of(cluster, layout, collective, static_cast<double>(bytes))) {
    const Time time = links.time(plan);
    if (least.whole() > 0 && time.whole() >= least.whole()) continue;
    least = time;
    best = plan;
  }
  result.seconds += least.whole();
  const double out = best.out_bytes + best.pod_bytes;
  result.peer_bytes = static_cast<uint64_t>(best.peer_bytes);
  result.scale_out_bytes = static_cast<uint64_t>(out);
  result.joules =
      (best.peer_bytes * chip.peer_picojoules_per_byte + best.out_bytes * chip.scale_out_picojoules_per_byte +
       best.pod_bytes * given_or(cluster.pod_out_picojoules_per_byte, chip.scale_out_picojoules_per_byte)) *
      1e-12;
  result.algorithm = best.algorithm;
  if (result.seconds > 0) {
    result.share.peer = least.peer / result.seconds;
    result.share.scale_out = least.out / result.seconds;
    result.share.dram_bytes_per_second = (best.peer_bytes + out) * cluster.collective_dram_accesses / result.seconds;
  }
  result.share.pes = static_cast<double>(cluster.collective_pes);
  return result;
}

}  // namespace mtia::network
