// The network model against published figures and by hand, and what message engines compute.
#include "network/network.h"

#include <array>
#include <cstring>
#include <numeric>
#include <vector>

#include "emulator/machine.h"
#include "kernels/kernel_launch.h"
#include "network/cluster_of_file.h"
#include "network/layout.h"
#include "network/reduction.h"
#include "test.h"

namespace {

using mtia::ChipSpec;
using mtia::DType;
using mtia::network::account;
using mtia::network::Cluster;
using mtia::network::Collective;
using mtia::network::Combiner;
using mtia::network::NetworkAccount;
using mtia::network::Reduction;

ChipSpec linked_chip() {
  ChipSpec chip = mtia::test::small_chip();
  chip.peer_link_bytes_per_second = 100e9;
  chip.domain_chips = 4;
  chip.scale_out_bytes_per_second = 10e9;
  chip.link_efficiency = 0.5;
  chip.peer_latency_ns = 1000;
  chip.scale_out_latency_ns = 5000;
  chip.message_launch_ns = 2000;
  chip.peer_picojoules_per_byte = 10;
  chip.scale_out_picojoules_per_byte = 100;
  return chip;
}

std::vector<int64_t> first_ranks(int64_t count) {
  std::vector<int64_t> ranks(static_cast<size_t>(count));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

TEST(an_all_gather_in_a_domain_is_one_step) {
  // 2 us, 1 us, and 3/4 of 4e6 bytes at 50 GB/s.
  const NetworkAccount found = account(linked_chip(), {}, Collective::all_gather, 4'000'000, first_ranks(4));
  CHECK_NEAR(found.seconds, 2e-6 + 1e-6 + 3e6 / 50e9, 1e-12);
  CHECK_EQ(found.peer_bytes, 3'000'000U);
  CHECK_EQ(found.scale_out_bytes, 0U);
  CHECK_NEAR(found.joules, 3e6 * 10e-12, 1e-12);
}

TEST(between_domains_both_links_work_side_by_side) {
  // Of 8 ranks in 2 domains: 1/8 crosses at 5 GB/s, then 2 * 3/8 go round at 50 GB/s.
  const NetworkAccount found = account(linked_chip(), {}, Collective::all_gather, 8'000'000, first_ranks(8));
  CHECK_EQ(found.scale_out_bytes, 1'000'000U);
  CHECK_EQ(found.peer_bytes, 6'000'000U);
  CHECK_NEAR(found.seconds, 2e-6 + 5e-6 + 1e-6 + 1e6 / 5e9, 1e-12);
  CHECK_EQ(found.algorithm, "hierarchical");
}

TEST(small_sums_go_at_once_and_large_ones_in_two_steps) {
  const ChipSpec chip = linked_chip();
  CHECK_EQ(account(chip, {}, Collective::all_reduce, 64, first_ranks(4)).algorithm, "at once");
  const NetworkAccount large = account(chip, {}, Collective::all_reduce, 4'000'000, first_ranks(4));
  CHECK_EQ(large.algorithm, "direct");
  CHECK_NEAR(large.seconds, 2e-6 + 2 * 1e-6 + 2 * 3e6 / 50e9, 1e-12);
}

// GB/s that each chip of an all-gather of 1 GiB a rank receives.
double received_gigabytes_per_second(const ChipSpec& chip, const Cluster& cluster, int64_t ranks) {
  const uint64_t part = uint64_t{1} << 30;
  const auto count = static_cast<uint64_t>(ranks);
  const double seconds = account(chip, cluster, Collective::all_gather, part * count, first_ranks(ranks)).seconds;
  return static_cast<double>(part * (count - 1)) / seconds * 1e-9;
}

TEST(all_gathers_of_mtia300_take_what_hccl_measured) {
  const ChipSpec chip = mtia::test::chip_of_file("mtia300");
  const Cluster cluster = mtia::test::cluster_of_file("mtia300");
  CHECK_NEAR(received_gigabytes_per_second(chip, cluster, 16), 940, 1);   // calibrates link_efficiency
  CHECK_NEAR(received_gigabytes_per_second(chip, cluster, 128), 796, 1);  // HCCL: 838
}

TEST(small_collectives_of_mtia300_take_5_to_6_microseconds) {
  const ChipSpec chip = mtia::test::chip_of_file("mtia300");
  const Cluster cluster = mtia::test::cluster_of_file("mtia300");
  for (const Collective collective : {Collective::all_gather, Collective::reduce_scatter, Collective::all_reduce}) {
    CHECK_NEAR(account(chip, cluster, collective, 4096, first_ranks(16)).seconds, 5e-6,
               0.1e-6);  // calibrates peer_latency_ns
    CHECK_NEAR(account(chip, cluster, collective, 65536, first_ranks(16)).seconds, 5.5e-6, 0.6e-6);
  }
}

// Bytes over seconds, times what nccl-tests multiply it with, in GB/s.
double bus_bandwidth(const char* chip, Collective collective, int64_t ranks) {
  const uint64_t bytes = uint64_t{8} << 30;
  const double others = static_cast<double>(ranks - 1) / static_cast<double>(ranks);
  const double seconds =
      account(mtia::test::chip_of_file(chip), mtia::test::cluster_of_file(chip), collective, bytes, first_ranks(ranks))
          .seconds;
  return (collective == Collective::all_reduce ? 2 : 1) * others * static_cast<double>(bytes) / seconds * 1e-9;
}

TEST(rings_and_switches_reach_what_nccl_tests_measure) {
  CHECK_NEAR(bus_bandwidth("h100", Collective::all_gather, 8), 370, 1);    // calibrates link_efficiency
  CHECK_NEAR(bus_bandwidth("h100", Collective::all_reduce, 8), 480, 1);    // and switch_reduction_efficiency
  CHECK_NEAR(bus_bandwidth("h200", Collective::all_reduce, 8), 477.4, 5);  // nccl-tests 272, Azure
  CHECK_NEAR(bus_bandwidth("a100", Collective::all_reduce, 8), 231.6, 1);  // calibrates
  CHECK_NEAR(bus_bandwidth("a100", Collective::all_reduce, 16), 192, 8);   // NCCL 1576, eight cards of 200 Gbit/s
  CHECK_NEAR(bus_bandwidth("h100", Collective::all_gather, 16), 376, 4);   // nccl-tests 290: 8 x 47 GB/s
}

// 8 chips in domains of 4, as NCCL's rings lie: 7/8 of the bytes leave each chip, of those 3/4 over its domain's links
// and 1/4 over its own card.
TEST(rings_enter_each_domain_once_for_every_chip_of_it) {
  ChipSpec chip = linked_chip();
  Cluster cluster;
  cluster.uses_rings = 1;
  const NetworkAccount found = account(chip, cluster, Collective::all_gather, 8'000'000, first_ranks(8));
  CHECK_EQ(found.algorithm, "ring");
  CHECK_EQ(found.peer_bytes, 5'250'000U);
  CHECK_EQ(found.scale_out_bytes, 1'750'000U);
  CHECK_NEAR(found.seconds, 2e-6 + 5e-6 + 6 * 1e-6 + 1.75e6 / 5e9, 1e-12);
  CHECK_NEAR(found.joules, 5.25e6 * 10e-12 + 1.75e6 * 100e-12, 1e-12);
  // Of many ranks small sums climb trees: 2 x 3 steps in the domain, 2 x 4 between 16 of them.
  CHECK_EQ(account(chip, cluster, Collective::all_reduce, 64, first_ranks(64)).algorithm, "tree");
  CHECK_NEAR(account(chip, cluster, Collective::all_reduce, 0, first_ranks(64)).seconds, 2e-6 + 6 * 1e-6 + 8 * 5e-6,
             1e-12);
}

TEST(the_faster_of_two_protocols_is_taken) {
  ChipSpec chip = linked_chip();
  Cluster cluster;
  cluster.low_latency_fraction = 0.25;
  cluster.stream_latency_factor = 4;
  CHECK_NEAR(account(chip, cluster, Collective::all_gather, 4000, first_ranks(4)).seconds, 2e-6 + 1e-6 + 3e3 / 12.5e9,
             1e-12);
  CHECK_NEAR(account(chip, cluster, Collective::all_gather, 4'000'000, first_ranks(4)).seconds,
             2e-6 + 4e-6 + 3e6 / 50e9, 1e-12);
}

TEST(switches_that_add_get_each_byte_once) {
  ChipSpec chip = linked_chip();
  Cluster cluster;
  cluster.uses_rings = 1;
  cluster.switch_reduction_efficiency = 0.45;  // of 100 GB/s
  const NetworkAccount found = account(chip, cluster, Collective::all_reduce, 4'000'000, first_ranks(4));
  CHECK_EQ(found.algorithm, "switches");
  CHECK_EQ(found.peer_bytes, 5'000'000U);
  CHECK_NEAR(found.seconds, 2e-6 + 2e-6 + 5e6 / 45e9, 1e-12);
}

TEST(pods_share_links_to_each_other) {
  ChipSpec chip = linked_chip();
  Cluster cluster;
  cluster.pod_chips = 8;
  cluster.pod_out_bytes_per_second = 1e9;
  cluster.pod_out_latency_ns = 9000;
  // From each of 4 chips of a place to the 3 others, of which 2 are in the other pod, 1 MB at 0.5 GB/s each.
  const NetworkAccount found = account(chip, cluster, Collective::all_gather, 16'000'000, first_ranks(16));
  CHECK_NEAR(found.seconds, 2e-6 + 2 * 9e-6 + 1e-6 + 2e6 / 0.5e9, 1e-12);
  CHECK_NEAR(account(chip, cluster, Collective::send, 1'000'000, std::array<int64_t, 2>{0, 8}).seconds,
             2e-6 + 9e-6 + 1e6 / 0.5e9, 1e-12);
  CHECK_NEAR(account(chip, cluster, Collective::send, 1'000'000, std::array<int64_t, 2>{0, 4}).seconds,
             2e-6 + 5e-6 + 1e6 / 5e9, 1e-12);
}

TEST(a_link_between_each_two_chips_serves_those_two_alone) {
  ChipSpec chip = linked_chip();
  Cluster cluster;
  cluster.domain_topology = 1;
  CHECK_NEAR(account(chip, cluster, Collective::send, 1'000'000, std::array<int64_t, 2>{0, 1}).seconds,
             2e-6 + 1e-6 + 1e6 / (50e9 / 3), 1e-12);
  CHECK_NEAR(account(chip, cluster, Collective::all_gather, 4'000'000, first_ranks(4)).seconds,
             2e-6 + 1e-6 + 3e6 / 50e9, 1e-12);
}

TEST(a_torus_has_sides_as_equal_as_its_chips_allow) {
  CHECK(mtia::network::torus_sides(256, 2) == (std::vector<int64_t>{16, 16}));
  CHECK(mtia::network::torus_sides(8960, 3) == (std::vector<int64_t>{20, 16, 28}));
  CHECK(mtia::network::torus_sides(8, 2) == (std::vector<int64_t>{2, 4}));
}

TEST(on_a_torus_rings_use_the_links_of_the_axes_that_a_group_spans) {
  ChipSpec chip = linked_chip();
  Cluster cluster;
  chip.domain_chips = 64;
  cluster.domain_topology = 2;
  cluster.torus_dimensions = 2;  // 8 x 8, 25 GB/s both ways round along each axis
  // All 64: both axes, 4 hops along each.
  CHECK_NEAR(account(chip, cluster, Collective::all_gather, 64'000'000, first_ranks(64)).seconds,
             2e-6 + 8e-6 + 63e6 / 50e9, 1e-12);
  // A row: one closed ring.
  CHECK_NEAR(account(chip, cluster, Collective::all_gather, 8'000'000, first_ranks(8)).seconds,
             2e-6 + 4e-6 + 7e6 / 25e9, 1e-12);
  // Half a row: a line, whose ends are no neighbours.
  CHECK_NEAR(account(chip, cluster, Collective::all_gather, 4'000'000, first_ranks(4)).seconds,
             2e-6 + 3e-6 + 3e6 / 12.5e9, 1e-12);
  // Two neighbours have one link.
  CHECK_NEAR(account(chip, cluster, Collective::send, 1'000'000, first_ranks(2)).seconds, 2e-6 + 1e-6 + 1e6 / 12.5e9,
             1e-12);
}

TEST(a_rank_alone_waits_for_its_launch_only) {
  CHECK_NEAR(account(linked_chip(), {}, Collective::all_reduce, 1 << 20, first_ranks(1)).seconds, 2e-6, 1e-15);
}

TEST(more_bytes_never_take_less) {
  for (uint64_t variant = 0; variant < 12; ++variant) {
    ChipSpec chip = linked_chip();
    Cluster cluster;
    cluster.domain_topology = variant % 3;
    cluster.torus_dimensions = 2;
    cluster.uses_rings = variant / 3 % 2;
    cluster.low_latency_fraction = variant < 6 ? 0 : 0.2;
    cluster.stream_latency_factor = 3;
    cluster.switch_reduction_efficiency = variant % 2 == 0 ? 0 : 0.5;
    for (size_t kind = 0; kind < mtia::network::collective_count; ++kind) {
      for (int64_t count = 2; count < 20; ++count) {
        double before = 0;
        for (uint64_t bytes = 1024; bytes < (1U << 26); bytes *= 4) {
          const double seconds =
              account(chip, cluster, static_cast<Collective>(kind), bytes, first_ranks(count)).seconds;
          CHECK(seconds >= before);
          before = seconds;
        }
      }
    }
  }
}

template <typename T>
std::vector<T> combined(const Reduction& reduction, const std::vector<std::vector<T>>& parts) {
  std::vector<const std::byte*> pointers;
  for (const std::vector<T>& part : parts) pointers.push_back(reinterpret_cast<const std::byte*>(part.data()));
  std::vector<T> result(parts.front().size());
  mtia::network::combine(reduction, reinterpret_cast<std::byte*>(result.data()), pointers, result.size());
  return result;
}

TEST(sums_are_made_in_the_order_of_ranks) {
  // 1e8 + 1 - 1e8 in float32 is 0, in another order 1.
  const std::vector<std::vector<float>> parts{{1e8F}, {1.0F}, {-1e8F}};
  CHECK_EQ(combined({Combiner::sum, DType::F32, false, 1}, parts)[0], 0.0F);
  CHECK_EQ(combined<float>({Combiner::average, DType::F32, false, 1}, {{3.0F}, {6.0F}})[0], 4.5F);
  CHECK_EQ(combined<float>({Combiner::sum, DType::F32, false, 0.5}, {{3.0F}, {6.0F}})[0], 4.5F);
}

TEST(halves_are_summed_in_float32) {
  // 256 + 1 + 1 in bfloat16 is 256, in float32 258: 0x4380, 0x3F80, 0x4381.
  const std::vector<std::vector<uint16_t>> parts{{0x4380}, {0x3F80}, {0x3F80}};
  CHECK_EQ(combined({Combiner::sum, DType::BF16, false, 1}, parts)[0], 0x4381U);
}

TEST(integers_wrap_and_truths_stay_truths) {
  CHECK_EQ(static_cast<int>(combined<int8_t>({Combiner::sum, DType::I8, false, 1}, {{100}, {100}})[0]), -56);
  CHECK_EQ(static_cast<int>(combined<uint8_t>({Combiner::maximum, DType::I8, true, 1}, {{200}, {100}})[0]), 200);
  CHECK_EQ(static_cast<int>(combined<uint8_t>({Combiner::sum, DType::I1, false, 1}, {{1}, {1}})[0]), 1);
  CHECK_EQ(combined<int64_t>({Combiner::bit_xor, DType::I64, false, 1}, {{5}, {6}})[0], 3);
}

}  // namespace
