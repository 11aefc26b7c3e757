// Collectives on a communicator's thread: pieces are under way while those before them are combined and shared.
#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "network/contention.h"
#include "runtime/device.h"
#include "runtime/link_calendars.h"
#include "torch_backend/distributed/announcement.h"
#include "torch_backend/distributed/collective.h"
#include "torch_backend/distributed/host_bytes.h"

namespace mtia::torch_backend {
namespace {

// Tags tell a collective's number and phase.
enum class Phase : uint8_t { meeting, parts, shares };

uint32_t tag_of(uint64_t sequence, Phase phase) {
  return static_cast<uint32_t>(sequence * 4 + static_cast<uint64_t>(phase));
}

constexpr const char* transport_remedy =
    "look at that rank's output for what stopped it, or whether it calls this operation at all; a longer timeout is "
    "init_process_group's";

// Pieces that are sent before the first of them has to have arrived.
constexpr size_t lead = 2;

class CollectiveExchange final : public runtime::Exchange, public std::enable_shared_from_this<CollectiveExchange> {
 public:
  CollectiveExchange(CommunicatorPointer communicator, CollectivePlan plan)
      : communicator_(std::move(communicator)), plan_(std::move(plan)), sequence_(++communicator_->sequence) {}

  std::string_view name() const override { return network::name_of(plan_.kind); }

  void begin(runtime::Device& device, double chip_seconds) override {
    const bool in_place = device.exchanges_in_place();
    const bool writes_in_place = in_place && allows_writing_in_place(plan_, own());
    sent_.resize(ranks());
    received_.resize(ranks());
    shared_.resize(ranks());
    for (size_t rank = 0; rank < ranks(); ++rank) {
      const bool is_repeated = rank > 0 && plan_.sent[rank] == plan_.sent[rank - 1];
      sent_[rank] = is_repeated ? sent_[rank - 1] : HostBytes::reading(device, plan_.sent[rank], in_place, is_known_);
      received_[rank] = HostBytes::writing(device, plan_.received[rank], writes_in_place);
      shared_[rank] = HostBytes::writing(device, plan_.shared[rank], writes_in_place);
    }
    combined_ = HostBytes::writing(device, plan_.combined, writes_in_place);
    // What all ranks get is made once, in the place of the own part.
    if (plan_.reduction.has_value() && plan_.combined.empty()) {
      combined_ = shared_[own()].size() != 0 ? shared_[own()] : HostBytes::scratch(sent_[own()].size());
    }
    chip_seconds_ = chip_seconds;
    chip_ = &device.chip();
    alone_ = network::account(*chip_, plan_.kind, plan_.accounted_bytes, communicator_->global_ranks);
    const std::vector<network::LinkUse> uses = runtime::links_of(device).after(chip_seconds, told_uses);
    std::copy_n(uses.begin(), std::min(uses.size(), uses_.size()), uses_.begin());
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
      received_[rank].deliver(device, plan_.received[rank], is_known_);
      shared_[rank].deliver(device, plan_.shared[rank], is_known_);
    }
    combined_.deliver(device, plan_.combined, is_known_);
    sent_.clear();
    received_.clear();
    shared_.clear();
    combined_ = HostBytes();
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
        throw CollectiveFailure(concat("the process group was given up: ", reason), where(), "make a new one");
      meet();
      if (is_known_) move();
    } catch (const CollectiveFailure&) {
      failure_ = std::current_exception();
    } catch (const std::exception& error) {
      failure_ = std::make_exception_ptr(CollectiveFailure(error.what(), where(), transport_remedy));
    }
    const std::lock_guard lock(mutex_);
    is_done_ = true;
    done_.notify_all();
  }

  // Every rank tells every other where it is. What they do not agree on leaves the group as it is.
  void meet() {
    Announcement mine{sequence_,
                      std::max(chip_seconds_, communicator_->latest_end),
                      plan_.accounted_bytes,
                      is_known_,
                      plan_.signature,
                      uses_,
                      std::vector<uint64_t>(ranks()),
                      std::vector<uint64_t>(ranks())};
    for (size_t rank = 0; rank < ranks(); ++rank) {
      mine.sent[rank] = sent_[rank].size();
      mine.expected[rank] = expected_bytes(rank);
    }
    const std::vector<std::byte> packed = mine.pack();
    const std::span<const std::byte> run(packed);
    for (size_t step = 1; step < ranks(); ++step) {
      const size_t from = behind(step), to = ahead(step);
      arriving_parts_[from].push_back(receive(Phase::meeting, from, packed.size(), nullptr));
      send(Phase::meeting, to, transport::Runs(&run, 1));
    }
    std::vector<Announcement> all(ranks());
    for (size_t rank = 0; rank < ranks(); ++rank) {
      all[rank] = Announcement::unpack(rank == own() ? run : next(arriving_parts_, rank), ranks());
      if (rank != own()) arriving_parts_[rank].pop_front();
    }
    finish_sends(0);
    check_agreement(all, *communicator_, where());
    uint64_t accounted = 0;
    for (const Announcement& each : all) {
      end_.begin = std::max(end_.begin, each.chip_seconds);
      accounted = std::max(accounted, each.accounted_bytes);
      is_known_ = is_known_ && each.is_known;
    }
    if (accounted != plan_.accounted_bytes)
      alone_ = network::account(*chip_, plan_.kind, accounted, communicator_->global_ranks);
    end_.end = end_.begin + alone_.seconds;
    for (const Announcement& each : all)
      end_.end = std::max(end_.end, network::end_beside(network::present_cluster(), each.uses, end_.begin, alone_));
    end_.joules = alone_.joules;
    end_.bytes = alone_.peer_bytes + alone_.scale_out_bytes;
    communicator_->latest_end = end_.end;
  }

  uint64_t expected_bytes(size_t rank) const {
    // What is combined is one part of each rank, as long as this one's own.
    return plan_.reduction.has_value() ? sent_[own()].size() : received_[rank].size();
  }

  // All ranks do the same steps in the same order, and each needs of the others' what they did in an earlier step
  // alone: so whoever waits for room or for a piece gets it.
  void move() {
    size_t longest = expected_bytes(own());
    for (size_t rank = 0; rank < ranks(); ++rank)
      longest = std::max({longest, sent_[rank].size(), size_t{expected_bytes(rank)}, shared_[rank].size()});
    const size_t pieces = (longest + piece_bytes() - 1) / piece_bytes();
    if (!plan_.reduction.has_value() && received_[own()].size() != 0) copy_own_part();
    for (size_t step = 0; step < pieces + 2 * lead; ++step) {
      exchange_parts(step);
      if (step < lead) continue;
      if (!plan_.reduction.has_value()) {
        take(arriving_parts_, received_, step - lead);
        continue;
      }
      combine_parts(step - lead);
      exchange_shares(step - lead);
      if (step >= 2 * lead) take(arriving_shares_, shared_, step - 2 * lead);
    }
    finish_sends(0);
  }

  void copy_own_part() const {
    size_t offset = 0;
    for (const std::span<const std::byte> run : sent_[own()].runs(0, sent_[own()].size())) {
      received_[own()].write(offset, run);
      offset += run.size();
    }
  }

  void exchange_parts(size_t piece) {
    for (size_t step = 1; step < ranks(); ++step) {
      const size_t from = behind(step), to = ahead(step);
      if (const size_t length = length_of(piece, expected_bytes(from)); length != 0) {
        std::byte* place = plan_.reduction.has_value() ? nullptr : place_of(received_[from], piece, length);
        arriving_parts_[from].push_back(receive(Phase::parts, from, length, place));
      }
      if (const size_t length = length_of(piece, sent_[to].size()); length != 0)
        send(Phase::parts, to, sent_[to].runs(piece * piece_bytes(), length));
    }
    finish_sends(window());
  }

  void exchange_shares(size_t piece) {
    for (size_t step = 1; step < ranks(); ++step) {
      const size_t from = behind(step), to = ahead(step);
      if (const size_t length = length_of(piece, shared_[from].size()); length != 0)
        arriving_shares_[from].push_back(receive(Phase::shares, from, length, place_of(shared_[from], piece, length)));
      const size_t length = length_of(piece, expected_bytes(own()));
      if (plan_.shares_with[to] && length != 0) send(Phase::shares, to, combined_.runs(piece * piece_bytes(), length));
    }
  }

  void combine_parts(size_t piece) {
    const size_t length = length_of(piece, expected_bytes(own()));
    if (length == 0) return;
    const network::Reduction& reduction = *plan_.reduction;
    std::vector<const std::byte*> arrived(ranks());
    for (size_t step = 1; step < ranks(); ++step) arrived[behind(step)] = next(arriving_parts_, behind(step)).data();
    std::vector<const std::byte*> parts(ranks());
    for (size_t done = 0; done < length;) {
      const std::span<std::byte> mine = sent_[own()].run_at(piece * piece_bytes() + done);
      const std::span<std::byte> result = combined_.run_at(piece * piece_bytes() + done);
      const size_t count = std::min({length - done, mine.size(), result.size()});
      for (size_t rank = 0; rank < ranks(); ++rank) parts[rank] = rank == own() ? mine.data() : arrived[rank] + done;
      network::combine(reduction, result.data(), parts, count / size_of(reduction.dtype));
      done += count;
    }
    for (size_t step = 1; step < ranks(); ++step) arriving_parts_[behind(step)].pop_front();
  }

  using Arriving = std::vector<std::deque<transport::IncomingPointer>>;

  void take(Arriving& arriving, const std::vector<HostBytes>& into, size_t piece) {
    for (size_t step = 1; step < ranks(); ++step) {
      const size_t from = behind(step);
      if (length_of(piece, into[from].size()) == 0) continue;
      into[from].write(piece * piece_bytes(), next(arriving, from));
      arriving[from].pop_front();
    }
  }

  // ---- pieces
  size_t piece_bytes() const { return communicator_->transport->piece_bytes(); }
  size_t length_of(size_t piece, size_t bytes) const {
    const size_t first = piece * piece_bytes();
    return first < bytes ? std::min(piece_bytes(), bytes - first) : 0;
  }
  // Where a piece goes at once, if it lies in one run.
  std::byte* place_of(const HostBytes& into, size_t piece, size_t length) const {
    const std::span<std::byte> run = into.run_at(piece * piece_bytes());
    return run.size() >= length ? run.data() : nullptr;
  }
  size_t ahead(size_t step) const { return (own() + step) % ranks(); }
  size_t behind(size_t step) const { return (own() + ranks() - step) % ranks(); }
  size_t window() const { return 4 * lead * ranks(); }

  transport::IncomingPointer receive(Phase phase, size_t from, size_t bytes, std::byte* place) {
    return attempt(from, false, [&] {
      return communicator_->transport->receive(static_cast<int>(from), tag_of(sequence_, phase), bytes, place);
    });
  }

  std::span<const std::byte> next(const Arriving& arriving, size_t from) const {
    return attempt(from, false, [&] { return arriving[from].front()->wait(communicator_->timeout.load()); });
  }

  void send(Phase phase, size_t to, transport::Runs runs) {
    transport::OutgoingPointer outgoing = attempt(to, true, [&] {
      return communicator_->transport->send(static_cast<int>(to), tag_of(sequence_, phase), runs,
                                            communicator_->timeout.load());
    });
    if (outgoing) outgoing_.emplace_back(to, std::move(outgoing));
  }

  // All but the last ones.
  void finish_sends(size_t left) {
    while (outgoing_.size() > left) {
      attempt(outgoing_.front().first, true,
              [&] { return outgoing_.front().second->wait(communicator_->timeout.load()); });
      outgoing_.pop_front();
    }
  }

  // What fails names the rank that it failed with, and ends the group: nobody knows what is still under way in it.
  template <typename Action>
  std::invoke_result_t<const Action&> attempt(size_t rank, bool is_sent, const Action& action) const {
    try {
      return action();
    } catch (const std::exception& error) {
      const std::string problem =
          concat(communicator_->describe(static_cast<int>(rank)),
                 is_sent ? " did not take what it was sent: " : " did not send: ", error.what());
      communicator_->give_up(concat(problem, " (", where(), ")"));
      throw CollectiveFailure(problem, where(), transport_remedy);
    }
  }

  const CommunicatorPointer communicator_;
  const CollectivePlan plan_;
  const uint64_t sequence_;
  const ChipSpec* chip_ = nullptr;
  double chip_seconds_ = 0;
  network::NetworkAccount alone_;
  std::array<network::LinkUse, told_uses> uses_{};
  bool is_known_ = true;
  std::vector<HostBytes> sent_, received_, shared_;
  HostBytes combined_;
  Arriving arriving_parts_{ranks()}, arriving_shares_{ranks()};
  std::deque<std::pair<size_t, transport::OutgoingPointer>> outgoing_;
  runtime::ExchangeEnd end_;
  std::exception_ptr failure_;
  std::mutex mutex_;
  std::condition_variable done_;
  bool is_done_ = false;
};

}  // namespace

runtime::ExchangePointer make_collective(CommunicatorPointer communicator, CollectivePlan plan) {
  const auto ranks = static_cast<size_t>(communicator->size());
  plan.sent.resize(ranks);
  plan.received.resize(ranks);
  plan.shared.resize(ranks);
  plan.shares_with.resize(ranks, false);
  if (plan.reduction.has_value() && !plan.combined.empty()) {
    const uint64_t part = bytes_of(plan.sent[static_cast<size_t>(communicator->rank())]);
    if (bytes_of(plan.combined) != part)
      throw InvalidArgument(concat("parts of ", part, " bytes do not fit a result of ", bytes_of(plan.combined)),
                            plan.signature, "give a part for each rank that is as large as the result");
  }
  return std::make_shared<CollectiveExchange>(std::move(communicator), std::move(plan));
}

}  // namespace mtia::torch_backend
