// Formulas in the alpha-beta model (Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations
// in MPICH, 2005), for chips behind switches: every chip of a domain reaches every other in one step.
#include "network/network.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace mtia::network {
namespace {

// Ranks of a group by the domain that they are in.
struct Layout {
  double ranks = 1;
  double domains = 1;
  double in_domain = 1;  // the most of one domain

  Layout(const ChipSpec& chip, std::span<const int64_t> members) {
    std::map<int64_t, int64_t> counts;
    const int64_t size = chip.domain_chips > 0 ? static_cast<int64_t>(chip.domain_chips) : INT64_MAX;
    for (const int64_t rank : members) ++counts[rank / size];
    int64_t most = 1;
    for (const auto& [domain, count] : counts) most = std::max(most, count);
    ranks = static_cast<double>(members.size());
    domains = static_cast<double>(counts.size());
    in_domain = static_cast<double>(most);
  }
};

class Links {
 public:
  explicit Links(const ChipSpec& chip) : chip_(chip) {
    const double efficiency = chip.link_efficiency > 0 ? chip.link_efficiency : 1;
    peer_ = (chip.peer_link_bytes_per_second > 0 ? chip.peer_link_bytes_per_second : chip.host_link_bytes_per_second) *
            efficiency;
    out_ = chip.scale_out_bytes_per_second > 0 ? chip.scale_out_bytes_per_second * efficiency : peer_;
  }

  // Seconds that a chip's links take to send these bytes, side by side.
  double send(double peer_bytes, double out_bytes) const {
    if (out_bytes == 0 && chip_.domain_uses_scale_out != 0) return peer_bytes / (peer_ + out_);
    return std::max(peer_bytes / peer_, out_bytes / out_);
  }

  double step(const Layout& layout) const {
    return (layout.domains > 1 ? chip_.scale_out_latency_ns : chip_.peer_latency_ns) * 1e-9;
  }

  double combine(double bytes) const {
    return chip_.message_reduction_bytes_per_second > 0 ? bytes / chip_.message_reduction_bytes_per_second : 0;
  }

 private:
  const ChipSpec& chip_;
  double peer_;
  double out_;
};

// What one chip sends, in how many steps of latency.
struct Plan {
  double peer_bytes = 0;
  double out_bytes = 0;
  double steps = 1;
  double combined_bytes = 0;
  std::string_view algorithm = "direct";
};

// Every chip gets the others' parts: first those of its place in other domains, whose parts then go round its own.
Plan all_gather(const Layout& layout, double bytes) {
  const double part = bytes / layout.ranks;
  Plan plan;
  plan.out_bytes = part * (layout.domains - 1);
  plan.peer_bytes = layout.domains * part * (layout.in_domain - 1);
  plan.steps = (layout.in_domain > 1 ? 1 : 0) + std::ceil(std::log2(layout.domains));
  if (layout.domains > 1) plan.algorithm = "hierarchical";
  return plan;
}

Plan reduce_scatter(const Layout& layout, double bytes) {
  Plan plan = all_gather(layout, bytes);
  plan.combined_bytes = bytes;
  return plan;
}

Plan both(const Plan& first, const Plan& second) {
  return {first.peer_bytes + second.peer_bytes, first.out_bytes + second.out_bytes, first.steps + second.steps,
          first.combined_bytes + second.combined_bytes, first.algorithm};
}

// Each chip sends all it has to every other, and each combines for itself: one step.
Plan at_once(const Layout& layout, double bytes, bool combines) {
  Plan plan;
  plan.peer_bytes = bytes * (layout.in_domain - 1);
  plan.out_bytes = bytes * (layout.ranks - layout.in_domain);
  plan.combined_bytes = combines ? bytes * layout.ranks : 0;
  plan.algorithm = "at once";
  return plan;
}

Plan all_to_all(const Layout& layout, double bytes) {
  Plan plan;
  plan.peer_bytes = bytes * (layout.in_domain - 1) / layout.ranks;
  plan.out_bytes = bytes * (layout.ranks - layout.in_domain) / layout.ranks;
  return plan;
}

// Halves of the group at a time.
Plan tree(const Layout& layout, double bytes) {
  Plan plan;
  (layout.domains > 1 ? plan.out_bytes : plan.peer_bytes) = bytes;
  plan.steps = std::ceil(std::log2(layout.ranks));
  plan.algorithm = "tree";
  return plan;
}

// What the root receives, or sends, is what takes longest.
Plan to_one(const Layout& layout, double bytes) {
  Plan plan = all_to_all(layout, bytes);
  plan.algorithm = "to one";
  return plan;
}

double seconds_of(const Links& links, const Layout& layout, const Plan& plan) {
  return plan.steps * links.step(layout) +
         std::max(links.send(plan.peer_bytes, plan.out_bytes), links.combine(plan.combined_bytes));
}

Plan best(const Links& links, const Layout& layout, const Plan& a, const Plan& b) {
  return seconds_of(links, layout, b) < seconds_of(links, layout, a) ? b : a;
}

Plan plan_of(const Links& links, const Layout& layout, Collective collective, double bytes) {
  switch (collective) {
    case Collective::barrier:
      return at_once(layout, 0, false);
    case Collective::send:
      return tree(layout, bytes);
    case Collective::broadcast:
      return best(links, layout, tree(layout, bytes), both(to_one(layout, bytes), all_gather(layout, bytes)));
    case Collective::gather:
    case Collective::scatter:
      return to_one(layout, bytes);
    case Collective::all_gather:
      return all_gather(layout, bytes);
    case Collective::reduce_scatter:
      return reduce_scatter(layout, bytes);
    case Collective::all_reduce:
      return best(links, layout, both(reduce_scatter(layout, bytes), all_gather(layout, bytes)),
                  at_once(layout, bytes, true));
    case Collective::reduce:
      return both(reduce_scatter(layout, bytes), to_one(layout, bytes));
    default:
      return all_to_all(layout, bytes);
  }
}

}  // namespace

std::string_view name_of(Collective collective) {
  constexpr std::string_view names[] = {"barrier",    "send",           "broadcast",  "gather", "scatter",
                                        "all_gather", "reduce_scatter", "all_reduce", "reduce", "all_to_all"};
  return names[static_cast<size_t>(collective)];
}

NetworkAccount account(const ChipSpec& chip, Collective collective, uint64_t bytes, std::span<const int64_t> ranks) {
  NetworkAccount result;
  result.algorithm = "none";
  result.seconds = chip.message_launch_ns * 1e-9;
  if (ranks.size() < 2) return result;
  const Layout layout(chip, ranks);
  const Links links(chip);
  const Plan plan = plan_of(links, layout, collective, static_cast<double>(bytes));
  result.seconds += seconds_of(links, layout, plan);
  result.peer_bytes = static_cast<uint64_t>(plan.peer_bytes);
  result.scale_out_bytes = static_cast<uint64_t>(plan.out_bytes);
  result.joules =
      (plan.peer_bytes * chip.peer_picojoules_per_byte + plan.out_bytes * chip.scale_out_picojoules_per_byte) * 1e-12;
  result.algorithm = plan.algorithm;
  return result;
}

}  // namespace mtia::network
