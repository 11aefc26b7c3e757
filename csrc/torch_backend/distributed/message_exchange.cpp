// Messages between two ranks, beside the collectives of their group.
#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "network/contention.h"
#include "runtime/device.h"
#include "runtime/link_calendars.h"
#include "torch_backend/distributed/collective.h"

namespace mtia::torch_backend {
namespace {

using transport::Buffer;
using transport::Envelope;

// Of the sender's links, by operations called before.
using Uses = std::array<network::LinkUse, told_uses>;

struct Note {
  Uses uses;
  std::array<char, 28> order{};  // as much of the plan's as fits
};
static_assert(sizeof(Note) <= sizeof(Envelope::note));

std::string_view beginning_of(const std::string& order) {
  return std::string_view(order).substr(0, std::tuple_size_v<decltype(Note::order)> - 1);
}

Uses told(const std::vector<network::LinkUse>& found) {
  Uses uses{};
  std::copy_n(found.begin(), std::min(found.size(), uses.size()), uses.begin());
  return uses;
}

// Reads device memory; false where timing mode does not know it.
bool fetch_all(runtime::Device& device, const Regions& regions, const Buffer& into) {
  std::byte* place = into.span().data();
  for (const Region& region : regions) {
    if (region.bytes != 0 && !device.fetch(region.address, region.bytes, place)) return false;
    place += region.bytes;
  }
  return true;
}

void deliver_all(runtime::Device& device, const Regions& regions, const Buffer* from) {
  size_t place = 0;
  for (const Region& region : regions) {
    if (region.bytes != 0)
      device.deliver(region.address, region.bytes, from == nullptr ? nullptr : from->span().data() + place);
    place += region.bytes;
  }
}

class SendExchange final : public runtime::Exchange {
 public:
  SendExchange(CommunicatorPointer communicator, MessagePlan plan, int destination, uint32_t tag)
      : communicator_(std::move(communicator)), plan_(std::move(plan)), destination_(destination), tag_(tag) {}

  std::string_view name() const override { return "send"; }

  void begin(runtime::Device& device, double chip_seconds) override {
    Envelope envelope{chip_seconds, bytes_of(plan_.regions), true, {}};
    Buffer buffer(envelope.bytes);
    envelope.is_known = fetch_all(device, plan_.regions, buffer);
    if (!envelope.is_known) buffer = Buffer();
    const std::array<int64_t, 2> ranks{communicator_->global_ranks[static_cast<size_t>(communicator_->rank())],
                                       communicator_->global_ranks[static_cast<size_t>(destination_)]};
    const network::NetworkAccount account =
        network::account(device.chip(), network::Collective::send, envelope.bytes, ranks);
    Note note{told(runtime::links_of(device).after(chip_seconds, told_uses)), {}};
    beginning_of(plan_.order).copy(note.order.data(), note.order.size());
    std::memcpy(envelope.note.data(), &note, sizeof note);
    end_ = {chip_seconds, network::end_beside(network::present_cluster(), note.uses, chip_seconds, account),
            account.joules, envelope.bytes};
    runtime::links_of(device).begin(this, {end_.begin, end_.end, account.share});
    // Nobody waits for a send: what fails is told by the next collective, and on the receiver's side. The transport's
    // threads do not outlive the communicator, which this must not keep.
    const std::weak_ptr<Communicator> weak = communicator_;
    const auto failed = [weak, destination = destination_](const std::string& reason) {
      if (const CommunicatorPointer communicator = weak.lock())
        communicator->give_up(concat(communicator->describe(destination), " did not take a message: ", reason));
    };
    try {
      communicator_->transport->send_message(destination_, tag_, envelope, std::move(buffer),
                                             communicator_->timeout.load(), failed);
    } catch (const std::exception& error) {
      throw CollectiveFailure(
          concat(communicator_->describe(destination_), " takes no message: ", error.what()),
          concat("send of ", envelope.bytes, " bytes on ", communicator_->describe(communicator_->rank())),
          "look at that rank's output for what stopped it, and make a new group");
    }
  }

  runtime::ExchangeEnd finish(runtime::Device&) override { return end_; }

 private:
  const CommunicatorPointer communicator_;
  const MessagePlan plan_;
  const int destination_;
  const uint32_t tag_;
  runtime::ExchangeEnd end_;
};

class ReceiveExchange final : public runtime::Exchange,
                              public OrderedReceive,
                              public std::enable_shared_from_this<ReceiveExchange> {
 public:
  ReceiveExchange(CommunicatorPointer communicator, MessagePlan plan, int source, uint32_t tag,
                  std::shared_ptr<std::atomic<int>> source_found)
      : communicator_(std::move(communicator)),
        plan_(std::move(plan)),
        source_(source),
        tag_(tag),
        source_found_(std::move(source_found)) {}

  std::string_view name() const override { return "receive"; }

  void begin(runtime::Device&, double chip_seconds) override {
    chip_seconds_ = chip_seconds;
    attempt([&] { pending_ = communicator_->transport->receive_message(source_, tag_); });
    before_ = communicator_->receive_before(source_, tag_, shared_from_this());
  }

  // By Gloo a message is an envelope and its bytes, so those of one sender are taken in the order in which they were
  // asked for, whichever is waited for first.
  void arrive() override {
    if (before_) std::exchange(before_, nullptr)->arrive();
    if (!pending_) return;
    attempt([&] { message_ = pending_->wait(communicator_->timeout.load()); });
    pending_.reset();
    if (source_found_) *source_found_ = message_.source;
  }

  runtime::ExchangeEnd finish(runtime::Device& device) override {
    arrive();
    const transport::Message message = std::exchange(message_, {});
    const Envelope& envelope = message.envelope;
    const uint64_t expected = bytes_of(plan_.regions);
    if (envelope.bytes != expected)
      throw CollectiveFailure(concat(communicator_->describe(message.source), " sends ", envelope.bytes,
                                     " bytes where ", expected, " are expected"),
                              where(), "give matching sizes on both ranks");
    Note note;
    std::memcpy(&note, envelope.note.data(), sizeof note);
    if (const std::string_view order(note.order.data()); order != beginning_of(plan_.order))
      throw CollectiveFailure(concat(communicator_->describe(message.source), " sends a tensor of ",
                                     order.empty() ? "contiguous elements" : order, " where one of ",
                                     plan_.order.empty() ? "contiguous elements" : plan_.order, " is expected"),
                              where(), "send contiguous() into a contiguous tensor");
    deliver_all(device, plan_.regions, envelope.is_known ? &message.payload : nullptr);
    const std::array<int64_t, 2> ranks{communicator_->global_ranks[static_cast<size_t>(message.source)],
                                       communicator_->global_ranks[static_cast<size_t>(communicator_->rank())]};
    const double begin = std::max(chip_seconds_, envelope.chip_seconds);
    const network::NetworkAccount account = network::account(device.chip(), network::Collective::send, expected, ranks);
    // Links have two directions, of which this one is the sender's.
    return {begin, network::end_beside(network::present_cluster(), note.uses, begin, account), 0, 0};
  }

 private:
  std::string where() const {
    return concat("receive of ", bytes_of(plan_.regions), " bytes on ", communicator_->describe(communicator_->rank()));
  }

  template <typename Action>
  void attempt(const Action& action) const {
    try {
      action();
    } catch (const std::exception& error) {
      const std::string who =
          source_ == transport::any_rank ? "no rank sent: " : communicator_->describe(source_) + " did not send: ";
      throw CollectiveFailure(who + error.what(), where(),
                              "look at that rank's output for what stopped it; a longer timeout is "
                              "init_process_group's");
    }
  }

  const CommunicatorPointer communicator_;
  const MessagePlan plan_;
  const int source_;
  const uint32_t tag_;
  const std::shared_ptr<std::atomic<int>> source_found_;
  double chip_seconds_ = 0;
  std::shared_ptr<OrderedReceive> before_;
  transport::PendingMessagePointer pending_;
  transport::Message message_;
};

}  // namespace

runtime::ExchangePointer make_send(CommunicatorPointer communicator, MessagePlan plan, int destination, uint32_t tag) {
  return std::make_shared<SendExchange>(std::move(communicator), std::move(plan), destination, tag);
}

runtime::ExchangePointer make_receive(CommunicatorPointer communicator, MessagePlan plan, int source, uint32_t tag,
                                      std::shared_ptr<std::atomic<int>> source_found) {
  return std::make_shared<ReceiveExchange>(std::move(communicator), std::move(plan), source, tag,
                                           std::move(source_found));
}

}  // namespace mtia::torch_backend
