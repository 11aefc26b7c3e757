// Collectives on a communicator's thread, messages beside it, and how device memory gets into both.
#include "torch_backend/distributed/collective.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <utility>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "network/contention.h"
#include "runtime/device.h"
#include "runtime/link_calendars.h"

namespace mtia::torch_backend {
namespace {

// Bytes in host memory, not set to anything when made. Copies share them.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t size) : data_(std::make_shared_for_overwrite<std::byte[]>(size)), size_(size) {}
  std::span<std::byte> span() const { return {data_.get(), size_}; }

 private:
  std::shared_ptr<std::byte[]> data_;
  size_t size_ = 0;
};

// What goes before the bytes: who is where, at what chip time.
struct Header {
  uint64_t sequence = 0;
  double chip_seconds = 0;
  uint64_t bytes = 0;            // that follow for this rank, if they are known
  uint64_t accounted_bytes = 0;  // CollectivePlan's
  bool is_known = true;
  std::array<char, 192> signature{};
  std::array<network::LinkUse, told_uses> uses{};  // of its chip's links, by operations called before

  void set_uses(std::span<const network::LinkUse> found) {
    std::copy_n(found.begin(), std::min(found.size(), uses.size()), uses.begin());
  }

  void set_signature(const std::string& text) {
    const size_t length = std::min(text.size(), signature.size() - 1);
    std::copy_n(text.begin(), length, signature.begin());
  }
};

std::span<const std::byte> bytes_of(const Header& header) { return std::as_bytes(std::span(&header, 1)); }
std::span<std::byte> bytes_of(Header& header) { return std::as_writable_bytes(std::span(&header, 1)); }

// Tags of collectives tell their number and phase; those of messages are the caller's.
enum class Phase : uint8_t { header, parts, shares };
constexpr uint32_t message_bit = 1U << 30;

uint32_t tag_of(uint64_t sequence, Phase phase) {
  return static_cast<uint32_t>((sequence * 4 + static_cast<uint64_t>(phase)) % message_bit);
}

uint32_t tag_of_message(uint32_t tag, Phase phase) {
  return message_bit | (tag << 1 | static_cast<uint32_t>(phase != Phase::header)) % message_bit;
}

// Reads device memory; false where timing mode does not know it.
bool fetch_all(runtime::Device& device, const Regions& regions, Buffer& into) {
  into = Buffer(bytes_of(regions));
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

[[noreturn]] void throw_failure(const std::string& problem, const std::string& where, const std::string& remedy) {
  throw CollectiveFailure(problem, where, remedy);
}

class CollectiveExchange final : public runtime::Exchange, public std::enable_shared_from_this<CollectiveExchange> {
 public:
  CollectiveExchange(CommunicatorPointer communicator, CollectivePlan plan)
      : communicator_(std::move(communicator)), plan_(std::move(plan)), sequence_(++communicator_->sequence) {}

  std::string_view name() const override { return network::name_of(plan_.kind); }

  void begin(runtime::Device& device, double chip_seconds) override {
    parts_.resize(ranks());
    is_known_ = true;
    for (size_t rank = 0; rank < ranks(); ++rank) {
      if (rank > 0 && plan_.sent[rank] == plan_.sent[rank - 1]) {  // what all get alike is read once
        parts_[rank] = parts_[rank - 1];
      } else if (is_known_) {
        is_known_ = fetch_all(device, plan_.sent[rank], parts_[rank]);
      }
    }
    chip_seconds_ = chip_seconds;
    chip_ = &device.chip();
    alone_ = network::account(*chip_, plan_.kind, plan_.accounted_bytes, communicator_->global_ranks);
    uses_ = runtime::links_of(device).after(chip_seconds);
    runtime::links_of(device).begin(this, {chip_seconds, chip_seconds + alone_.seconds, alone_.share});
    communicator_->collectives.run([self = shared_from_this()] { self->carry_out(); });
  }

  runtime::ExchangeEnd finish(runtime::Device& device) override {
    {
      std::unique_lock lock(mutex_);
      done_.wait(lock, [&] { return is_done_; });
    }
    if (failure_) std::rethrow_exception(failure_);
    for (size_t rank = 0; rank < ranks(); ++rank) {
      deliver_all(device, plan_.received[rank], is_known_ ? &arrived_[rank] : nullptr);
      deliver_all(device, plan_.shared[rank], is_known_ ? &arrived_[rank] : nullptr);
    }
    deliver_all(device, plan_.combined, is_known_ ? &combined_ : nullptr);
    parts_.clear();
    arrived_.clear();
    combined_ = Buffer();
    return end_;
  }

 private:
  size_t ranks() const { return static_cast<size_t>(communicator_->size()); }
  size_t own() const { return static_cast<size_t>(communicator_->rank()); }

  std::string where() const {
    return concat(plan_.signature, ", operation ", sequence_, ", on ", communicator_->describe(communicator_->rank()));
  }

  // On the communicator's thread.
  void carry_out() {
    try {
      if (const std::string reason = communicator_->given_up(); !reason.empty())
        throw_failure(concat("the process group was given up: ", reason), where(), "make a new one");
      meet();
      if (is_known_) {
        exchange_parts();
        if (plan_.reduction.has_value()) combine_parts();
      }
    } catch (const CollectiveFailure&) {
      failure_ = std::current_exception();
    } catch (const std::exception& error) {
      failure_ = std::make_exception_ptr(CollectiveFailure(
          error.what(), where(),
          "look at the other ranks' output for what stopped them; a longer timeout is init_process_group's"));
    }
    const std::lock_guard lock(mutex_);
    is_done_ = true;
    done_.notify_all();
  }

  // Every rank tells every other where it is.
  void meet() {
    std::vector<Header> headers(ranks()), own_headers(ranks());
    for (size_t rank = 0; rank < ranks(); ++rank) {
      Header& header = own_headers[rank];
      header.sequence = sequence_;
      header.chip_seconds = std::max(chip_seconds_, communicator_->latest_end);
      header.bytes = torch_backend::bytes_of(plan_.sent[rank]);
      header.accounted_bytes = plan_.accounted_bytes;
      header.is_known = is_known_;
      header.set_signature(plan_.signature);
      header.set_uses(uses_);
    }
    headers[own()] = own_headers[own()];
    move(
        Phase::header, [&](size_t rank) { return bytes_of(std::as_const(own_headers[rank])); },
        [&](size_t rank) { return bytes_of(headers[rank]); });
    uint64_t accounted = 0;
    for (size_t rank = 0; rank < ranks(); ++rank) {
      check(headers[rank], rank);
      end_.begin = std::max(end_.begin, headers[rank].chip_seconds);
      accounted = std::max(accounted, headers[rank].accounted_bytes);
      is_known_ = is_known_ && headers[rank].is_known;
    }
    if (accounted != plan_.accounted_bytes)
      alone_ = network::account(*chip_, plan_.kind, accounted, communicator_->global_ranks);
    end_.end = end_.begin + alone_.seconds;
    for (const Header& header : headers)
      end_.end = std::max(end_.end, network::end_beside(network::present_cluster(), header.uses, end_.begin, alone_));
    end_.joules = alone_.joules;
    end_.bytes = alone_.peer_bytes + alone_.scale_out_bytes;
    communicator_->latest_end = end_.end;
  }

  void check(const Header& header, size_t rank) const {
    const std::string theirs(header.signature.data());
    Header mine;
    mine.set_signature(plan_.signature);
    if (theirs != mine.signature.data())
      throw_failure(concat(communicator_->describe(static_cast<int>(rank)), " calls ", theirs), where(),
                    "all ranks of a group have to call the same collectives in the same order, with the same sizes "
                    "and dtypes");
    const uint64_t expected = expected_bytes(rank);
    if (header.bytes != expected)
      throw_failure(concat(communicator_->describe(static_cast<int>(rank)), " sends ", header.bytes, " bytes where ",
                           expected, " are expected"),
                    where(), "give matching sizes on both ranks");
  }

  uint64_t expected_bytes(size_t rank) const {
    // What is combined is one part of each rank, as long as this one's own.
    return torch_backend::bytes_of(plan_.reduction.has_value() ? plan_.sent[own()] : plan_.received[rank]);
  }

  void exchange_parts() {
    arrived_.resize(ranks());
    for (size_t rank = 0; rank < ranks(); ++rank) {
      arrived_[rank] = rank == own() ? parts_[rank] : Buffer(expected_bytes(rank));
    }
    move(
        Phase::parts, [&](size_t rank) { return std::span<const std::byte>(parts_[rank].span()); },
        [&](size_t rank) { return arrived_[rank].span(); });
  }

  void combine_parts() {
    std::vector<const std::byte*> parts;
    for (const Buffer& part : arrived_) parts.push_back(part.span().data());
    combined_ = Buffer(arrived_[own()].span().size());
    const std::span<std::byte> mine = combined_.span();
    network::combine(*plan_.reduction, mine.data(), parts, mine.size() / size_of(plan_.reduction->dtype));
    for (size_t rank = 0; rank < ranks(); ++rank)
      arrived_[rank] = rank == own() ? combined_ : Buffer(torch_backend::bytes_of(plan_.shared[rank]));
    move(
        Phase::shares,
        [&](size_t rank) {
          return plan_.shares_with[rank] ? std::span<const std::byte>(mine) : std::span<const std::byte>();
        },
        [&](size_t rank) { return arrived_[rank].span(); });
  }

  // One message to each other rank and one from each; those without bytes are not made.
  template <typename Sent, typename Received>
  void move(Phase phase, const Sent& sent, const Received& received) {
    const uint32_t tag = tag_of(sequence_, phase);
    Transport& transport = *communicator_->transport;
    struct Awaited {
      PendingMessagePointer message;
      size_t rank;
      bool is_sent;
    };
    std::vector<Awaited> messages;
    for (size_t step = 1; step < ranks(); ++step) {
      const size_t from = (own() + ranks() - step) % ranks(), to = (own() + step) % ranks();
      if (!received(from).empty())
        attempt(from, false, [&] {
          messages.push_back({transport.receive(static_cast<int>(from), tag, received(from)), from, false});
        });
      if (!sent(to).empty())
        attempt(to, true, [&] { messages.push_back({transport.send(static_cast<int>(to), tag, sent(to)), to, true}); });
    }
    for (const Awaited& awaited : messages)
      attempt(awaited.rank, awaited.is_sent, [&] { awaited.message->wait(communicator_->timeout.load()); });
  }

  // What fails names the rank that it failed with.
  template <typename Action>
  void attempt(size_t rank, bool is_sent, const Action& action) const {
    try {
      action();
    } catch (const std::exception& error) {
      throw_failure(
          concat(communicator_->describe(static_cast<int>(rank)),
                 is_sent ? " did not take what it was sent: " : " did not send: ", error.what()),
          where(),
          "look at that rank's output for what stopped it, or whether it calls this operation at all; a longer timeout "
          "is init_process_group's");
    }
  }

  const CommunicatorPointer communicator_;
  const CollectivePlan plan_;
  const uint64_t sequence_;
  const ChipSpec* chip_ = nullptr;
  double chip_seconds_ = 0;
  network::NetworkAccount alone_;
  std::vector<network::LinkUse> uses_;
  bool is_known_ = true;
  std::vector<Buffer> parts_;
  std::vector<Buffer> arrived_;
  Buffer combined_;
  runtime::ExchangeEnd end_;
  std::exception_ptr failure_;
  std::mutex mutex_;
  std::condition_variable done_;
  bool is_done_ = false;
};

class SendExchange final : public runtime::Exchange {
 public:
  SendExchange(CommunicatorPointer communicator, Regions regions, int destination, uint32_t tag)
      : communicator_(std::move(communicator)), regions_(std::move(regions)), destination_(destination), tag_(tag) {}

  std::string_view name() const override { return "send"; }

  void begin(runtime::Device& device, double chip_seconds) override {
    Buffer buffer;
    const auto header = std::make_shared<Header>();
    header->is_known = fetch_all(device, regions_, buffer);
    header->chip_seconds = chip_seconds;
    header->bytes = bytes_of(regions_);
    const std::array<int64_t, 2> ranks{communicator_->global_ranks[static_cast<size_t>(communicator_->rank())],
                                       communicator_->global_ranks[static_cast<size_t>(destination_)]};
    const network::NetworkAccount account =
        network::account(device.chip(), network::Collective::send, header->bytes, ranks);
    const std::vector<network::LinkUse> uses = runtime::links_of(device).after(chip_seconds);
    header->set_uses(uses);
    end_ = {chip_seconds, network::end_beside(network::present_cluster(), header->uses, chip_seconds, account),
            account.joules, header->bytes};
    runtime::links_of(device).begin(this, {end_.begin, end_.end, account.share});
    // Nobody waits for a send: what fails is told by the next collective, and on the receiver's side. All are under way
    // at once: the receiver may want the next one, or another rank its own, before this one.
    std::shared_ptr<PendingMessage> first, second;
    try {
      first = communicator_->transport->send(destination_, tag_of_message(tag_, Phase::header),
                                             bytes_of(std::as_const(*header)));
      if (header->is_known && !buffer.span().empty())
        second = communicator_->transport->send(destination_, tag_of_message(tag_, Phase::parts), buffer.span());
    } catch (const std::exception& error) {
      communicator_->give_up(concat(communicator_->describe(destination_), not_taken, error.what()));
      return;
    }
    communicator_->sends.run([communicator = communicator_, buffer, header, first, second, destination = destination_] {
      try {
        first->wait(communicator->timeout.load());
        if (second) second->wait(communicator->timeout.load());
      } catch (const std::exception& error) {
        communicator->give_up(concat(communicator->describe(destination), not_taken, error.what()));
      }
    });
  }

  runtime::ExchangeEnd finish(runtime::Device&) override { return end_; }

 private:
  static constexpr const char* not_taken = " did not take a message: ";

  const CommunicatorPointer communicator_;
  const Regions regions_;
  const int destination_;
  const uint32_t tag_;
  runtime::ExchangeEnd end_;
};

class ReceiveExchange final : public runtime::Exchange,
                              public OrderedReceive,
                              public std::enable_shared_from_this<ReceiveExchange> {
 public:
  ReceiveExchange(CommunicatorPointer communicator, Regions regions, int source, uint32_t tag,
                  std::shared_ptr<std::atomic<int>> source_found)
      : communicator_(std::move(communicator)),
        regions_(std::move(regions)),
        source_(source),
        tag_(tag),
        source_found_(std::move(source_found)) {}

  std::string_view name() const override { return "receive"; }

  void begin(runtime::Device&, double chip_seconds) override {
    chip_seconds_ = chip_seconds;
    before_ = communicator_->receive_before(source_, tag_, shared_from_this());
    const uint32_t tag = tag_of_message(tag_, Phase::header);
    first_ = source_ < 0 ? communicator_->transport->receive_from_any(tag, bytes_of(header_))
                         : communicator_->transport->receive(source_, tag, bytes_of(header_));
  }

  // A message is a header and its bytes, so those of one sender are taken in the order in which they were asked for,
  // whichever is waited for first.
  void arrive() override {
    if (before_) std::exchange(before_, nullptr)->arrive();
    if (has_arrived_) return;
    await(*first_);
    found_ = source_ < 0 ? first_->source() : source_;
    if (source_found_) *source_found_ = found_;
    buffer_ = Buffer(header_.is_known ? header_.bytes : 0);
    if (!buffer_.span().empty())
      await(*communicator_->transport->receive(found_, tag_of_message(tag_, Phase::parts), buffer_.span()));
    has_arrived_ = true;
  }

  runtime::ExchangeEnd finish(runtime::Device& device) override {
    arrive();
    const int source = found_;
    const Buffer buffer = std::exchange(buffer_, {});
    const uint64_t expected = bytes_of(regions_);
    if (header_.bytes != expected)
      throw_failure(
          concat(communicator_->describe(source), " sends ", header_.bytes, " bytes where ", expected, " are expected"),
          where(), "give matching sizes on both ranks");
    deliver_all(device, regions_, header_.is_known ? &buffer : nullptr);
    const std::array<int64_t, 2> ranks{communicator_->global_ranks[static_cast<size_t>(source)],
                                       communicator_->global_ranks[static_cast<size_t>(communicator_->rank())]};
    const double begin = std::max(chip_seconds_, header_.chip_seconds);
    const network::NetworkAccount account = network::account(device.chip(), network::Collective::send, expected, ranks);
    // Links have two directions, of which this one is the sender's.
    return {begin, network::end_beside(network::present_cluster(), header_.uses, begin, account), 0, 0};
  }

 private:
  std::string where() const {
    return concat("receive of ", bytes_of(regions_), " bytes on ", communicator_->describe(communicator_->rank()));
  }

  void await(PendingMessage& message) const {
    try {
      message.wait(communicator_->timeout.load());
    } catch (const std::exception& error) {
      const std::string who = source_ < 0 ? "no rank sent: " : communicator_->describe(source_) + " did not send: ";
      throw_failure(who + error.what(), where(),
                    "look at that rank's output for what stopped it; a longer timeout is init_process_group's");
    }
  }

  const CommunicatorPointer communicator_;
  const Regions regions_;
  const int source_;
  const uint32_t tag_;
  const std::shared_ptr<std::atomic<int>> source_found_;
  std::shared_ptr<OrderedReceive> before_;
  double chip_seconds_ = 0;
  Header header_;
  PendingMessagePointer first_;
  Buffer buffer_;
  int found_ = -1;  // who sent it
  bool has_arrived_ = false;
};

}  // namespace

uint64_t bytes_of(const Regions& regions) {
  uint64_t sum = 0;
  for (const Region& region : regions) sum += region.bytes;
  return sum;
}

Regions slice(const Regions& regions, uint64_t offset, uint64_t bytes) {
  Regions found;
  for (const Region& region : regions) {
    if (bytes == 0) break;
    if (offset >= region.bytes) {
      offset -= region.bytes;
      continue;
    }
    const uint64_t taken = std::min(bytes, region.bytes - offset);
    found.push_back({region.address + offset, taken});
    bytes -= taken;
    offset = 0;
  }
  return found;
}

CollectivePlan plan_reduction(network::Collective kind, const network::Reduction& reduction, const Regions& tensors,
                              int rank, int size, std::optional<int> root) {
  const auto ranks = static_cast<size_t>(size);
  const uint64_t element = size_of(reduction.dtype);
  const uint64_t bytes = bytes_of(tensors);
  const uint64_t share = (bytes / element + ranks - 1) / ranks * element;
  CollectivePlan plan;
  plan.kind = kind;
  plan.reduction = reduction;
  plan.accounted_bytes = bytes;
  plan.received.resize(ranks);
  plan.shares_with.assign(ranks, !root.has_value());
  if (root.has_value()) plan.shares_with[static_cast<size_t>(*root)] = true;
  for (size_t part = 0; part < ranks; ++part) {
    const uint64_t first = std::min(bytes, part * share);
    plan.sent.push_back(slice(tensors, first, std::min(share, bytes - first)));
  }
  if (plan.shares_with[static_cast<size_t>(rank)]) plan.shared = plan.sent;
  return plan;
}

runtime::ExchangePointer make_collective(CommunicatorPointer communicator, CollectivePlan plan) {
  const auto ranks = static_cast<size_t>(communicator->size());
  plan.sent.resize(ranks);
  plan.received.resize(ranks);
  plan.shared.resize(ranks);
  plan.shares_with.resize(ranks, false);
  return std::make_shared<CollectiveExchange>(std::move(communicator), std::move(plan));
}

runtime::ExchangePointer make_send(CommunicatorPointer communicator, Regions regions, int destination, uint32_t tag) {
  return std::make_shared<SendExchange>(std::move(communicator), std::move(regions), destination, tag);
}

runtime::ExchangePointer make_receive(CommunicatorPointer communicator, Regions regions, int source, uint32_t tag,
                                      std::shared_ptr<std::atomic<int>> source_found) {
  return std::make_shared<ReceiveExchange>(std::move(communicator), std::move(regions), source, tag,
                                           std::move(source_found));
}

}  // namespace mtia::torch_backend
