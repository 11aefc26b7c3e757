// Slots are written by one rank and read by one other; whoever waits sleeps by a bell in his own memory.
#include "transport/shared_transport.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/error.h"

namespace mtia::transport {
namespace {

constexpr size_t page = 4096;
// How often somebody who waits looks whether the other is still there.
constexpr Timeout glance{20};
// Looks before it sleeps: a slot that is being written is there in a few microseconds.
constexpr int looks = 200;

constexpr size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

// At the beginning of each rank's memory.
struct SharedTransport::Segment {
  std::array<Bell, channels> bells;
  std::atomic<uint32_t> gave_up;  // 1: `reason` is being written, 2: it is there
  std::array<char, 1024> reason;
};

// A slot of collectives; its room is free again when it is destroyed.
class SharedTransport::Piece final : public Incoming {
 public:
  Piece(SharedTransport& owner, size_t from, uint64_t number, uint32_t tag, size_t bytes, std::byte* place)
      : owner_(owner), from_(from), number_(number), tag_(tag), bytes_(bytes), place_(place) {}
  ~Piece() override {
    if (has_slot_) give_back();
  }

  std::span<const std::byte> wait(Timeout timeout) override {
    Ring& ring = owner_.ring(collectives, from_, owner_.own());
    owner_.wait_until(collectives, static_cast<int>(from_), timeout, [&] { return ring.has(number_); });
    const Ring::Slot& slot = ring.slot(number_);
    if (slot.tag != tag_ || slot.bytes != bytes_)
      throw std::runtime_error(concat("it is in another operation: its piece has tag ", slot.tag, " and ", slot.bytes,
                                      " bytes where tag ", tag_, " and ", bytes_, " bytes are due"));
    has_slot_ = true;
    const std::byte* data = owner_.slot_bytes(collectives, from_, owner_.own(), number_);
    if (place_ == nullptr) return {data, bytes_};
    std::memcpy(place_, data, bytes_);
    give_back();
    return {place_, bytes_};
  }

 private:
  void give_back() {
    has_slot_ = false;
    owner_.ring(collectives, from_, owner_.own()).give_back();
    owner_.segment_of(from_).bells[collectives].ring();
  }

  SharedTransport& owner_;
  const size_t from_;
  const uint64_t number_;
  const uint32_t tag_;
  const size_t bytes_;
  std::byte* const place_;
  bool has_slot_ = false;
};

class SharedTransport::Letter final : public PendingMessage {
 public:
  Letter(SharedTransport& owner, int source, uint32_t tag) : owner_(owner), source_(source) {
    const std::lock_guard lock(owner.box_mutex_);
    awaited_ = owner.box_.await(source, tag);
  }
  ~Letter() override {
    const std::lock_guard lock(owner_.box_mutex_);
    owner_.box_.forget(awaited_);
  }

  Message wait(Timeout timeout) override {
    owner_.wait_until(messages, source_, timeout, [&] {
      const std::lock_guard lock(owner_.box_mutex_);
      for (size_t from = 0; from < owner_.neighbours_.size(); ++from) {
        if (from != owner_.own()) owner_.take_messages(from);
      }
      return awaited_->arrival && awaited_->arrival->is_complete();
    });
    return std::move(awaited_->arrival->message);
  }

 private:
  SharedTransport& owner_;
  const int source_;
  AwaitedPointer awaited_;
};

size_t shared_piece_bytes(size_t ranks) { return size_t{ranks <= 8 ? 256U : 64U} << 10; }

SharedTransport::SharedTransport(const Doorway& door, std::span<const Card> cards, int rank, size_t piece_bytes,
                                 Timeout timeout)
    : rank_(rank),
      piece_bytes_(piece_bytes),
      received_(cards.size()),
      box_(cards.size()),
      letters_(cards.size()),
      senders_(cards.size()) {
  const size_t bytes = rounded(sizeof(Segment), page) + cards.size() * channels * ring_bytes();
  memory_ = SharedMemory(bytes);
  neighbours_ = meet_neighbours(door, cards, own(), memory_, bytes, timeout);
}

SharedTransport::~SharedTransport() {
  for (const auto& sender : senders_) {
    if (sender) sender->drain_for(std::chrono::seconds(1));
  }
  is_over_ = true;
  segment_of(own()).bells[messages].ring();
  segment_of(own()).bells[collectives].ring();
}

size_t SharedTransport::ring_bytes() const {
  return rounded(sizeof(Ring), page) + Ring::slots * rounded(piece_bytes_, page);
}

SharedTransport::Segment& SharedTransport::segment_at(std::byte* memory) { return *reinterpret_cast<Segment*>(memory); }

Ring& SharedTransport::ring(Channel channel, size_t from, size_t to) const {
  return *reinterpret_cast<Ring*>(memory_of(to) + rounded(sizeof(Segment), page) +
                                  (from * channels + channel) * ring_bytes());
}

std::byte* SharedTransport::slot_bytes(Channel channel, size_t from, size_t to, uint64_t number) const {
  return reinterpret_cast<std::byte*>(&ring(channel, from, to)) + rounded(sizeof(Ring), page) +
         number % Ring::slots * rounded(piece_bytes_, page);
}

void SharedTransport::check_other(size_t rank) const {
  const Segment& segment = segment_of(rank);
  if (segment.gave_up.load(std::memory_order_acquire) == 2)
    throw std::runtime_error(concat("it gave the process group up: ", segment.reason.data()));
  const Neighbour::State state = neighbours_[rank].state();
  if (state == Neighbour::State::ended) throw std::runtime_error("it is gone: its process has ended");
  if (state == Neighbour::State::left) throw std::runtime_error("it is gone: it has left the process group");
}

void SharedTransport::check_others(int awaited) const {
  const Segment& mine = segment_of(own());
  if (mine.gave_up.load(std::memory_order_acquire) == 2)
    throw std::runtime_error(concat("the process group was given up here: ", mine.reason.data()));
  if (is_over_) throw std::runtime_error("the process group was destroyed here");
  if (awaited != any_rank) return check_other(static_cast<size_t>(awaited));
  // One that is still there may yet send.
  std::string last = "there is no other rank";
  for (size_t rank = 0; rank < neighbours_.size(); ++rank) {
    if (rank == own()) continue;
    try {
      return check_other(rank);
    } catch (const std::runtime_error& error) {
      last = error.what();
    }
  }
  throw std::runtime_error(concat("of the other ranks nobody is left; of the last one: ", last));
}

void SharedTransport::wait_until(Channel channel, int awaited, Timeout timeout, const std::function<bool()>& is_ready) {
  for (int look = 0; look < looks; ++look) {
    if (is_ready()) return;
  }
  const auto begin = std::chrono::steady_clock::now();
  Bell& bell = segment_of(own()).bells[channel];
  while (true) {
    const uint32_t seen = bell.rings();
    if (is_ready()) return;
    try {
      check_others(awaited);
    } catch (const std::runtime_error&) {
      if (is_ready()) return;  // what it did before it went
      throw;
    }
    const auto passed = std::chrono::duration_cast<Timeout>(std::chrono::steady_clock::now() - begin);
    if (passed >= timeout) throw std::runtime_error(concat("timed out after ", timeout.count(), " ms"));
    bell.wait(seen, std::min(glance, timeout - passed));
  }
}

void SharedTransport::write_slot(Channel channel, size_t to, uint32_t tag, Runs runs, Timeout timeout) {
  Ring& ring = this->ring(channel, own(), to);
  if (!ring.has_room()) wait_until(channel, static_cast<int>(to), timeout, [&] { return ring.has_room(); });
  std::byte* place = slot_bytes(channel, own(), to, ring.next_written());
  size_t bytes = 0;
  for (const auto& run : runs) {
    if (!run.empty()) std::memcpy(place + bytes, run.data(), run.size());
    bytes += run.size();
  }
  ring.publish({tag, bytes});
  segment_of(to).bells[channel].ring();
}

OutgoingPointer SharedTransport::send(int rank, uint32_t tag, Runs runs, Timeout timeout) {
  write_slot(collectives, static_cast<size_t>(rank), tag, runs, timeout);
  return nullptr;
}

IncomingPointer SharedTransport::receive(int rank, uint32_t tag, size_t bytes, std::byte* place) {
  const auto from = static_cast<size_t>(rank);
  return std::make_unique<Piece>(*this, from, received_[from]++, tag, bytes, place);
}

void SharedTransport::send_message(int rank, uint32_t tag, const Envelope& envelope, Buffer payload, Timeout timeout,
                                   std::function<void(const std::string&)> failed) {
  const auto to = static_cast<size_t>(rank);
  WorkerThread* sender = nullptr;
  {
    const std::lock_guard lock(senders_mutex_);
    if (!senders_[to]) senders_[to] = std::make_unique<WorkerThread>();
    sender = senders_[to].get();
  }
  sender->run([this, to, tag, envelope, payload, timeout, failed = std::move(failed)] {
    try {
      check_other(to);  // a ring has room when nobody is there too
      const std::span<const std::byte> head = std::as_bytes(std::span(&envelope, 1));
      write_slot(messages, to, tag, Runs(&head, 1), timeout);
      const std::span<const std::byte> bytes = payload.span();
      for (size_t first = 0; first < bytes.size(); first += piece_bytes_) {
        const std::span<const std::byte> piece = bytes.subspan(first, std::min(piece_bytes_, bytes.size() - first));
        write_slot(messages, to, tag, Runs(&piece, 1), timeout);
      }
    } catch (const std::exception& error) {
      failed(error.what());
    }
  });
}

void SharedTransport::take_messages(size_t from) {
  Ring& ring = this->ring(messages, from, own());
  for (uint64_t& number = letters_[from]; ring.has(number); ++number) {
    const Ring::Slot& slot = ring.slot(number);
    const std::byte* data = slot_bytes(messages, from, own(), number);
    if (box_.expects_payload(from)) {
      box_.add(from, {data, slot.bytes});
    } else {
      Envelope envelope;
      std::memcpy(&envelope, data, sizeof envelope);
      box_.open(from, slot.tag, envelope);
    }
    ring.give_back();
    segment_of(from).bells[messages].ring();
  }
}

PendingMessagePointer SharedTransport::receive_message(int rank, uint32_t tag) {
  return std::make_unique<Letter>(*this, rank, tag);
}

void SharedTransport::drain_messages() {
  for (const auto& sender : senders_) {
    if (sender) sender->drain();
  }
}

void SharedTransport::give_up(const std::string& reason) {
  Segment& mine = segment_of(own());
  uint32_t nobody = 0;
  if (!mine.gave_up.compare_exchange_strong(nobody, 1)) return;
  const size_t length = std::min(reason.size(), mine.reason.size() - 1);
  std::copy_n(reason.begin(), length, mine.reason.begin());
  mine.gave_up.store(2, std::memory_order_release);
  for (size_t rank = 0; rank < neighbours_.size(); ++rank) {
    for (Bell& bell : segment_of(rank).bells) bell.ring();
  }
}

}  // namespace mtia::transport
