// Launches beside operations with other chips.
#include "runtime/grid_sharing.h"

#include <array>

#include "emulator/machine.h"
#include "kernels/kernel_launch.h"
#include "network/cluster_of_file.h"
#include "test.h"

namespace {

using mtia::ChipSpec;
using mtia::emulator::LaunchAccount;
using mtia::network::LinkUse;
using mtia::runtime::seconds_beside;

LaunchAccount launch(double core_seconds, double dram_seconds) {
  LaunchAccount account;
  account.core_seconds = core_seconds;
  account.dram_seconds = dram_seconds;
  account.seconds = core_seconds + dram_seconds;
  return account;
}

TEST(a_launch_that_reads_dram_gets_what_collectives_leave) {
  ChipSpec chip = mtia::test::small_chip();
  const double half = chip.dram_bytes_per_second * chip.dram_efficiency / 2;
  const std::array<LinkUse, 1> all_along{{{0, 100, {1, 0, half, 0}}}};
  CHECK_NEAR(seconds_beside(chip, all_along, 0, launch(0, 10)), 20, 1e-9);
  // Half of it done when the other ends, and the rest at the full rate.
  const std::array<LinkUse, 1> at_first{{{0, 10, {1, 0, half, 0}}}};
  CHECK_NEAR(seconds_beside(chip, at_first, 0, launch(0, 10)), 15, 1e-9);
  const std::array<LinkUse, 1> later{{{5, 100, {1, 0, half, 0}}}};
  CHECK_NEAR(seconds_beside(chip, later, 0, launch(0, 10)), 15, 1e-9);
  CHECK_NEAR(seconds_beside(chip, {}, 0, launch(0, 10)), 10, 1e-12);
}

TEST(pes_of_collectives_are_missing_once) {
  ChipSpec chip = mtia::test::small_chip();
  const double half = static_cast<double>(chip.pe_count()) / 2;
  const std::array<LinkUse, 2> two{{{0, 100, {1, 0, 0, half}}, {0, 100, {0, 1, 0, half}}}};
  CHECK_NEAR(seconds_beside(chip, two, 0, launch(10, 0)), 20, 1e-9);
}

// HCCL: a product beside a collective is slowed by less than 0.5 %.
TEST(a_product_of_mtia300_is_hardly_slowed) {
  const ChipSpec chip = mtia::test::chip_of_file("mtia300");
  const double collective = mtia::test::cluster_of_file("mtia300").collective_dram_accesses * 940e9;
  const std::array<LinkUse, 1> other{{{0, 1, {1, 1, collective, 0}}}};
  const LaunchAccount product = launch(260e-6, 40e-6);  // of 4096^3 in bf16: 137 GFLOP at 530, 200 MB from DRAM
  const double slower = seconds_beside(chip, other, 0, product) / product.seconds - 1;
  CHECK(slower < 0.005);
}

}  // namespace
