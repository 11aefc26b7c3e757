// The network model against published figures and by hand, and what message engines compute.
#include "network/network.h"

#include <array>
#include <cstring>
#include <numeric>
#include <vector>

#include "emulator/machine.h"
#include "kernels/kernel_launch.h"
#include "network/reduction.h"
#include "test.h"

namespace {

using mtia::ChipSpec;
using mtia::DType;
using mtia::network::account;
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
  const NetworkAccount found = account(linked_chip(), Collective::all_gather, 4'000'000, first_ranks(4));
  CHECK_NEAR(found.seconds, 2e-6 + 1e-6 + 3e6 / 50e9, 1e-12);
  CHECK_EQ(found.peer_bytes, 3'000'000U);
  CHECK_EQ(found.scale_out_bytes, 0U);
  CHECK_NEAR(found.joules, 3e6 * 10e-12, 1e-12);
}

TEST(between_domains_both_links_work_side_by_side) {
  // Of 8 ranks in 2 domains: 1/8 crosses at 5 GB/s, then 2 * 3/8 go round at 50 GB/s.
  const NetworkAccount found = account(linked_chip(), Collective::all_gather, 8'000'000, first_ranks(8));
  CHECK_EQ(found.scale_out_bytes, 1'000'000U);
  CHECK_EQ(found.peer_bytes, 6'000'000U);
  CHECK_NEAR(found.seconds, 2e-6 + 2 * 5e-6 + 1e6 / 5e9, 1e-12);
}

TEST(small_sums_go_at_once_and_large_ones_in_two_steps) {
  const ChipSpec chip = linked_chip();
  CHECK_EQ(account(chip, Collective::all_reduce, 64, first_ranks(4)).algorithm, "at once");
  const NetworkAccount large = account(chip, Collective::all_reduce, 4'000'000, first_ranks(4));
  CHECK_EQ(large.algorithm, "direct");
  CHECK_NEAR(large.seconds, 2e-6 + 2 * 1e-6 + 2 * 3e6 / 50e9, 1e-12);
}

// GB/s that each chip of an all-gather of 1 GiB a rank receives.
double received_gigabytes_per_second(const ChipSpec& chip, int64_t ranks) {
  const uint64_t part = uint64_t{1} << 30;
  const auto count = static_cast<uint64_t>(ranks);
  const double seconds = account(chip, Collective::all_gather, part * count, first_ranks(ranks)).seconds;
  return static_cast<double>(part * (count - 1)) / seconds * 1e-9;
}

TEST(all_gathers_of_mtia300_take_what_hccl_measured) {
  const ChipSpec chip = mtia::test::chip_of_file("mtia300");
  CHECK_NEAR(received_gigabytes_per_second(chip, 16), 940, 1);   // calibrates link_efficiency
  CHECK_NEAR(received_gigabytes_per_second(chip, 128), 796, 1);  // HCCL: 838
}

TEST(a_rank_alone_waits_for_its_launch_only) {
  CHECK_NEAR(account(linked_chip(), Collective::all_reduce, 1 << 20, first_ranks(1)).seconds, 2e-6, 1e-15);
}

TEST(more_bytes_and_more_ranks_never_take_less) {
  const ChipSpec chip = linked_chip();
  for (int kind = 0; kind <= static_cast<int>(Collective::all_to_all); ++kind) {
    for (int64_t count = 2; count < 20; ++count) {
      double before = 0;
      for (uint64_t bytes = 1024; bytes < (1U << 26); bytes *= 4) {
        const double seconds = account(chip, static_cast<Collective>(kind), bytes, first_ranks(count)).seconds;
        CHECK(seconds >= before);
        before = seconds;
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
