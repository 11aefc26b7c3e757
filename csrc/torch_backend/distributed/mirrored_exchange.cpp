// Time from the network model, values from what this rank itself sends, nothing for each of the other ranks.
#include "torch_backend/distributed/mirrored_exchange.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>

#include "chip/chip_spec.h"
#include "network/contention.h"
#include "runtime/device.h"
#include "runtime/link_calendars.h"

namespace mtia::torch_backend {
namespace {

using network::Combiner;
using network::Reduction;

void deliver_unknown(runtime::Device& device, const Region& region) {
  if (region.bytes != 0) device.deliver(region.address, region.bytes, nullptr);
}

class MirroredCollective final : public runtime::Exchange {
 public:
  MirroredCollective(MirroredCommunicatorPointer communicator, MirroredPlan plan)
      : communicator_(std::move(communicator)), plan_(std::move(plan)) {
    ++communicator_->sequence;
    if (!communicator_->present) return;
    CollectivePlan meeting;
    meeting.signature = plan_.signature;
    meeting_ = make_collective(communicator_->present, std::move(meeting));
  }

  std::string_view name() const override { return network::name_of(plan_.kind); }

  void begin(runtime::Device& device, double chip_seconds) override {
    begin_ = std::max(chip_seconds, communicator_->latest_end);
    if (meeting_) {
      meeting_->begin(device, begin_);
      runtime::links_of(device).forget(meeting_.get());  // who only waits uses none
    }
    for (const MirroredMove& move : plan_.moves) arrived_.push_back(arrival_of(device, move));
    alone_ = communicator_->account(device.chip(), plan_.kind, plan_.accounted_bytes);
    uses_ = runtime::links_of(device).after(chip_seconds, told_uses);
    runtime::links_of(device).begin(this, {chip_seconds, chip_seconds + alone_.seconds, alone_.share});
    end_ = {begin_, network::end_beside(network::present_cluster(), uses_, begin_, alone_), alone_.joules,
            alone_.peer_bytes + alone_.scale_out_bytes};
    if (!meeting_) communicator_->latest_end = end_.end;
  }

  runtime::ExchangeEnd finish(runtime::Device& device) override {
    if (meeting_) {
      end_.begin = std::max(meeting_->finish(device).begin, communicator_->latest_end);
      end_.end = network::end_beside(network::present_cluster(), uses_, end_.begin, alone_);
      communicator_->latest_end = end_.end;
    }
    for (size_t i = 0; i < plan_.moves.size(); ++i) {
      const Region& to = plan_.moves[i].to;
      if (arrived_[i] == nullptr)
        deliver_unknown(device, to);
      else if (to.bytes != 0)
        device.deliver(to.address, to.bytes, arrived_[i].get());
    }
    arrived_.clear();
    return end_;
  }

 private:
  using Bytes = std::unique_ptr<std::byte[]>;

  // What a move writes; nothing where it is not known.
  Bytes arrival_of(runtime::Device& device, const MirroredMove& move) const {
    const uint64_t bytes = move.from.bytes;
    if (bytes == 0 || bytes * move.copies != move.to.bytes) return nullptr;
    auto sent = std::make_unique_for_overwrite<std::byte[]>(bytes);
    if (!device.fetch(move.from.address, bytes, sent.get())) return nullptr;
    if (move.reduction.has_value())
      combine_alike(*move.reduction, sent.get(), sent.get(), bytes / size_of(move.reduction->dtype),
                    communicator_->size());
    if (move.copies == 1) return sent;
    auto all = std::make_unique_for_overwrite<std::byte[]>(move.to.bytes);
    for (uint64_t copy = 0; copy < move.copies; ++copy) std::memcpy(all.get() + copy * bytes, sent.get(), bytes);
    return all;
  }

  const MirroredCommunicatorPointer communicator_;
  const MirroredPlan plan_;
  runtime::ExchangePointer meeting_;  // of the ranks that exist: when the last of them is there
  double begin_ = 0;
  network::NetworkAccount alone_;
  std::vector<network::LinkUse> uses_;  // by what was called before
  std::vector<Bytes> arrived_;
  runtime::ExchangeEnd end_;
};

class MirroredMessage final : public runtime::Exchange {
 public:
  MirroredMessage(MirroredCommunicatorPointer communicator, uint64_t bytes, Regions received, int peer)
      : communicator_(std::move(communicator)), bytes_(bytes), received_(std::move(received)), peer_(peer) {}

  std::string_view name() const override { return received_.empty() ? "send" : "receive"; }

  void begin(runtime::Device& device, double chip_seconds) override {
    const std::vector<int64_t>& ranks = communicator_->global_ranks;
    const std::array<int64_t, 2> both{ranks[static_cast<size_t>(communicator_->own_rank)],
                                      ranks[static_cast<size_t>(peer_)]};
    const network::NetworkAccount account = network::account(device.chip(), network::Collective::send, bytes_, both);
    const std::vector<network::LinkUse> uses = runtime::links_of(device).after(chip_seconds, told_uses);
    end_ = {chip_seconds, network::end_beside(network::present_cluster(), uses, chip_seconds, account), 0, 0};
    if (!received_.empty()) return;  // energy and links are the sender's
    runtime::links_of(device).begin(this, {end_.begin, end_.end, account.share});
    end_.joules = account.joules;
    end_.bytes = bytes_;
  }

  runtime::ExchangeEnd finish(runtime::Device& device) override {
    for (const Region& region : received_) deliver_unknown(device, region);
    return end_;
  }

 private:
  const MirroredCommunicatorPointer communicator_;
  const uint64_t bytes_;
  const Regions received_;
  const int peer_;
  runtime::ExchangeEnd end_;
};

void combine_two(const Reduction& reduction, std::byte* result, const std::byte* left, const std::byte* right,
                 size_t count) {
  const std::array<const std::byte*, 2> parts{left, right};
  network::combine(reduction, result, parts, count);
}

}  // namespace

const network::NetworkAccount& MirroredCommunicator::account(const ChipSpec& chip, network::Collective kind,
                                                             uint64_t bytes) {
  const auto [entry, is_new] = accounts_.try_emplace({kind, bytes});
  if (is_new) entry->second = network::account(chip, kind, bytes, global_ranks);
  return entry->second;
}

runtime::ExchangePointer make_mirrored_collective(MirroredCommunicatorPointer communicator, MirroredPlan plan) {
  return std::make_shared<MirroredCollective>(std::move(communicator), std::move(plan));
}

runtime::ExchangePointer make_mirrored_send(MirroredCommunicatorPointer communicator, uint64_t bytes, int destination) {
  return std::make_shared<MirroredMessage>(std::move(communicator), bytes, Regions{}, destination);
}

runtime::ExchangePointer make_mirrored_receive(MirroredCommunicatorPointer communicator, Regions regions, int source) {
  const uint64_t bytes = bytes_of(regions);
  return std::make_shared<MirroredMessage>(std::move(communicator), bytes, std::move(regions), source);
}

void combine_alike(const Reduction& reduction, std::byte* result, const std::byte* values, size_t count,
                   uint64_t ranks) {
  const std::array<const std::byte*, 1> once{values};
  Reduction alone = reduction;
  const bool is_sum = reduction.combiner == Combiner::sum;
  if (is_sum && is_float(reduction.dtype)) alone.factor *= static_cast<double>(ranks);
  network::combine(alone, result, once, count);
  const bool is_multiplied = is_sum && !is_float(reduction.dtype) && reduction.dtype != DType::I1;
  if (is_multiplied) {  // whole numbers wrap
    const size_t element = size_of(reduction.dtype);
    std::vector<std::byte> factors(count * element);
    for (size_t i = 0; i < count; ++i) std::memcpy(factors.data() + i * element, &ranks, element);
    combine_two({Combiner::product, reduction.dtype, reduction.is_unsigned, 1}, result, result, factors.data(), count);
  }
  if (reduction.combiner == Combiner::bit_xor && ranks % 2 == 0) combine_two(reduction, result, result, result, count);
  if (reduction.combiner != Combiner::product) return;
  // A power by squares.
  Reduction product = reduction;
  product.factor = 1;
  const std::vector<std::byte> base(result, result + count * size_of(reduction.dtype));
  for (uint64_t bit = std::bit_floor(ranks) >> 1; bit != 0; bit >>= 1) {
    combine_two(product, result, result, result, count);
    if ((ranks & bit) != 0) combine_two(product, result, result, base.data(), count);
  }
}

}  // namespace mtia::torch_backend
