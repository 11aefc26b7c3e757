// Formulas in the alpha-beta model (Thakur, Rabenseifner and Gropp, Optimization of Collective Communication Operations
// in MPICH, 2005); rings and trees over several servers as NCCL lays them (its src/graph/tuning.cc); tori as in J.
// Austin et al., How to Scale Your Model, 2025.
#include "network/algorithms.h"

#include <algorithm>
#include <cmath>

namespace mtia::network {
namespace {

// Of the links' rate, as NCCL counts it: chains of a tree send and combine in both directions at once.
constexpr double tree_efficiency = 0.9;

double halvings(double count) { return std::ceil(std::log2(count)); }

Plan both(const Plan& first, const Plan& second) {
  Plan plan = first;
  plan.peer_bytes += second.peer_bytes;
  plan.out_bytes += second.out_bytes;
  plan.pod_bytes += second.pod_bytes;
  plan.peer_steps += second.peer_steps;
  plan.out_steps += second.out_steps;
  plan.combined_bytes += second.combined_bytes;
  return plan;
}

Plan combining(Plan plan, double bytes) {
  plan.combined_bytes = bytes;
  return plan;
}

class Planner {
 public:
  Planner(const Cluster& cluster, const Layout& layout) : cluster_(cluster), layout_(layout) {}

  std::vector<Plan> plans(Collective collective, double bytes) const {
    std::vector<Plan> found;
    const Plan gathered = all_gather(bytes);
    const Plan scattered = combining(gathered, bytes);
    switch (collective) {
      case Collective::barrier:
        return plans(Collective::all_reduce, 4);
      case Collective::send:
        return {send(bytes)};
      case Collective::broadcast:
        return {pipeline(bytes), tree(bytes), both(to_one(bytes), gathered)};
      case Collective::gather:
      case Collective::scatter:
        return {to_one(bytes)};
      case Collective::all_gather:
        return {gathered};
      case Collective::reduce_scatter:
        return {scattered};
      case Collective::all_reduce:
        found = {both(scattered, gathered)};
        if (layout_.domains > 1 && uses_rings()) found.push_back(tree_of_domains(bytes));
        if (cluster_.switch_reduction_efficiency > 0 && layout_.in_domain > 1) found.push_back(by_switches(bytes));
        if (!uses_rings()) found.push_back(at_once(bytes));
        return found;
      case Collective::reduce:
        return {both(scattered, to_one(bytes)), combining(pipeline(bytes), bytes)};
      default:
        return {all_to_all(bytes)};
    }
  }

 private:
  bool uses_rings() const { return cluster_.uses_rings != 0; }
  bool is_torus() const { return layout_.topology == Topology::torus; }
  double others(double count) const { return (count - 1) / count; }
  // Of what goes to other domains at random, the part that leaves the pod.
  double leaving() const { return layout_.pods > 1 ? others(layout_.pods) / others(layout_.domains) : 0; }

  // Bytes that leave the domain, of which some leave the pod.
  static void send_out(Plan& plan, double bytes, double leaving) {
    plan.pod_bytes = bytes * leaving;
    plan.out_bytes = bytes - plan.pod_bytes;
  }

  // Hops round all axes of the torus; on a closed one to both sides.
  double torus_steps() const {
    double steps = 0;
    for (const TorusAxis& axis : layout_.axes) steps += axis.closes ? std::ceil((axis.chips - 1) / 2) : axis.chips - 1;
    return steps;
  }

  double steps_in_domain() const { return is_torus() ? torus_steps() : layout_.in_domain > 1 ? 1 : 0; }

  Plan all_gather(double bytes) const { return uses_rings() && !is_torus() ? ring(bytes) : in_levels(bytes); }

  // One ring through all chips, which enters and leaves each domain once for every chip of it: a link between domains
  // carries 1 / in_domain of the bytes.
  Plan ring(double bytes) const {
    Plan plan;
    const double sent = bytes * others(layout_.ranks);
    plan.algorithm = "ring";
    plan.peer_bytes = layout_.in_domain > 1 ? sent * (layout_.domains > 1 ? others(layout_.in_domain) : 1) : 0;
    if (layout_.domains > 1) {
      // Of the domains in a row only the last of a pod sends to another.
      send_out(plan, sent / layout_.in_domain, layout_.pods > 1 ? layout_.pods / layout_.domains : 0);
      plan.out_steps = layout_.domains - 1;
    }
    plan.peer_steps = layout_.ranks - 1 - plan.out_steps;
    return plan;
  }

  // First the parts of the chips of its place in other domains, by recursive doubling, which then go round its own.
  Plan in_levels(double bytes) const {
    const double part = bytes / layout_.ranks;
    Plan plan;
    send_out(plan, part * (layout_.domains - 1), leaving());
    plan.peer_bytes = layout_.domains * part * (layout_.in_domain - 1);
    plan.peer_steps = steps_in_domain();
    plan.out_steps = halvings(layout_.domains);
    plan.algorithm = layout_.domains == 1    ? is_torus() ? "torus" : "direct"
                     : layout_.in_domain > 1 ? "hierarchical"
                                             : "halving-doubling";
    return plan;
  }

  // Each chip sends all it has to every other, and each combines for itself: one step.
  Plan at_once(double bytes) const {
    Plan plan;
    plan.peer_bytes = bytes * (layout_.in_domain - 1);
    send_out(plan, bytes * (layout_.ranks - layout_.in_domain), leaving());
    plan.combined_bytes = bytes * layout_.ranks;
    plan.peer_steps = layout_.domains > 1 ? 0 : steps_in_domain();
    plan.out_steps = layout_.domains > 1 ? 1 : 0;
    plan.algorithm = "at once";
    return plan;
  }

  // The switches add, and send the sums to all: a byte leaves a chip once, and as a part of the sums once more.
  Plan by_switches(double bytes) const {
    Plan plan;
    plan.is_reduced_by_switches = true;
    plan.peer_bytes = bytes * (1 + 1 / layout_.in_domain);
    plan.peer_steps = 2;
    plan.algorithm = "switches";
    if (layout_.domains > 1) add_tree_out(plan, bytes);
    return plan;
  }

  // Two binary trees of domains at once, each of which is the other's leaves, along chains of chips in each domain.
  Plan tree_of_domains(double bytes) const {
    Plan plan;
    plan.peer_bytes = layout_.in_domain > 1 ? 2 * bytes / tree_efficiency : 0;
    plan.peer_steps = 2 * (layout_.in_domain - 1);
    plan.combined_bytes = bytes;
    plan.algorithm = "tree";
    add_tree_out(plan, bytes);
    return plan;
  }

  // Between two domains sums go one way and half of the tensor each; in a larger tree both ways.
  void add_tree_out(Plan& plan, double bytes) const {
    send_out(plan, (layout_.domains > 2 ? 2 : 1) * bytes / layout_.in_domain, leaving());
    plan.out_steps = 2 * halvings(layout_.domains);
  }

  // From one to all, halves of the group at a time, each message as long as the tensor.
  Plan tree(double bytes) const {
    Plan plan;
    plan.out_steps = halvings(layout_.domains);
    plan.peer_steps = is_torus() ? torus_steps() : halvings(layout_.in_domain);
    plan.peer_bytes = layout_.in_domain > 1 ? bytes * plan.peer_steps : 0;
    send_out(plan, bytes * plan.out_steps, leaving());
    plan.algorithm = "tree";
    return plan;
  }

  // From one to all, from each chip to the next, in pieces.
  Plan pipeline(double bytes) const {
    Plan plan = ring(bytes);
    plan.peer_bytes = layout_.in_domain > 1 ? bytes : 0;
    if (is_torus()) plan.peer_steps = torus_steps();
    if (layout_.domains > 1)
      send_out(plan, bytes / layout_.in_domain, layout_.pods > 1 ? layout_.pods / layout_.domains : 0);
    return plan;
  }

  // What the root receives, or sends, is what takes longest.
  Plan to_one(double bytes) const {
    Plan plan = all_to_all(bytes);
    plan.algorithm = "to one";
    return plan;
  }

  Plan all_to_all(double bytes) const {
    Plan plan;
    // On a ring of n with two directions the mean message passes n / 4 links; on a line it passes n / 3.
    double links = 1;
    if (is_torus()) {
      links = 0;
      for (const TorusAxis& axis : layout_.axes) links += axis.hop * axis.chips / (axis.closes ? 4 : 3);
      links = std::max(links, 1.0);
    }
    plan.peer_bytes = bytes * (layout_.in_domain - 1) / layout_.ranks * links;
    send_out(plan, bytes * (layout_.ranks - layout_.in_domain) / layout_.ranks, leaving());
    plan.peer_steps = steps_in_domain();
    plan.out_steps = layout_.domains > 1 ? 1 : 0;
    return plan;
  }

  Plan send(double bytes) const {
    Plan plan;
    if (layout_.domains > 1) {
      send_out(plan, bytes, layout_.pods > 1 ? 1 : 0);
      plan.out_steps = 1;
    } else {
      plan.peer_bytes = bytes;
      plan.peer_steps = 1;
      for (const TorusAxis& axis : layout_.axes) plan.peer_steps += axis.hop;
      if (!layout_.axes.empty()) plan.peer_steps -= 1;
    }
    return plan;
  }

  const Cluster& cluster_;
  const Layout& layout_;
};

}  // namespace

std::vector<Plan> plans_of(const Cluster& cluster, const Layout& layout, Collective collective, double bytes) {
  return Planner(cluster, layout).plans(collective, bytes);
}

}  // namespace mtia::network
