// Ranks of one host by shared memory: threads stand for them, and processes where one is killed.
#include "transport/shared_transport.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <barrier>
#include <csignal>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "test.h"
#include "transport/paired_transport.h"

namespace {

using namespace std::chrono_literals;
using mtia::transport::any_rank;
using mtia::transport::Buffer;
using mtia::transport::Card;
using mtia::transport::Doorway;
using mtia::transport::Envelope;
using mtia::transport::Message;
using mtia::transport::PairedTransport;
using mtia::transport::Runs;
using mtia::transport::SharedTransport;
using mtia::transport::Timeout;
using mtia::transport::Transport;

constexpr size_t piece = 4096;

using Body = std::function<void(std::unique_ptr<SharedTransport>)>;

// Runs the body as each of `count` ranks; what one throws is thrown here.
void as_ranks(size_t count, const Body& body) {
  std::vector<Doorway> doors(count);
  std::vector<Card> cards;
  for (const Doorway& door : doors) cards.push_back(door.card());
  std::vector<std::exception_ptr> failures(count);
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < count; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(std::make_unique<SharedTransport>(doors[rank], cards, static_cast<int>(rank), piece, 10s));
      } catch (...) {
        failures[rank] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

std::vector<std::byte> bytes_of(int from, int to, size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 7 + static_cast<size_t>(from * 31 + to));
  return bytes;
}

void send_all(Transport& transport, int to, uint32_t tag, const std::vector<std::byte>& bytes) {
  const std::span<const std::byte> run(bytes);
  CHECK(transport.send(to, tag, Runs(&run, 1), 10s) == nullptr);
}

#define CHECK_FAILS(action, expected) CHECK_CONTAINS(CHECK_THROWS(action, std::runtime_error), expected)

TEST(pieces_arrive_in_order_at_every_rank) {
  as_ranks(3, [](std::unique_ptr<SharedTransport> transport) {
    const int own = transport->rank();
    // More than a ring holds, of all lengths; each is taken two steps later.
    constexpr size_t count = 100;
    std::vector<std::vector<mtia::transport::IncomingPointer>> pending(3);
    const auto length = [](size_t i) { return i * 41 % (piece + 1); };
    std::vector<std::byte> place(piece);
    for (size_t i = 0; i < count + 2; ++i) {
      for (int other = 0; other < 3; ++other) {
        if (other == own || i >= count) continue;
        send_all(*transport, other, static_cast<uint32_t>(i), bytes_of(own, other, length(i)));
        pending[static_cast<size_t>(other)].push_back(
            transport->receive(other, static_cast<uint32_t>(i), length(i), i % 2 == 0 ? nullptr : place.data()));
      }
      for (int other = 0; other < 3 && i >= 2; ++other) {
        if (other == own) continue;
        auto& incoming = pending[static_cast<size_t>(other)][i - 2];
        const std::span<const std::byte> got = incoming->wait(10s);
        const std::vector<std::byte> expected = bytes_of(other, own, length(i - 2));
        CHECK(std::equal(got.begin(), got.end(), expected.begin(), expected.end()));
        incoming.reset();
      }
    }
  });
}

TEST(a_piece_of_another_operation_is_refused) {
  as_ranks(2, [](std::unique_ptr<SharedTransport> transport) {
    send_all(*transport, 1 - transport->rank(), 7, bytes_of(0, 0, 10));
    CHECK_FAILS(transport->receive(1 - transport->rank(), 8, 10, nullptr)->wait(10s), "another operation");
  });
}

Buffer buffer_of(const std::vector<std::byte>& bytes) {
  Buffer buffer(bytes.size());
  std::copy(bytes.begin(), bytes.end(), buffer.span().begin());
  return buffer;
}

TEST(messages_are_matched_by_source_and_tag_in_order) {
  as_ranks(3, [](std::unique_ptr<SharedTransport> transport) {
    const int own = transport->rank();
    const auto send = [&](int to, uint32_t tag, double time, size_t bytes) {
      transport->send_message(to, tag, Envelope{time, bytes, true, {}}, buffer_of(bytes_of(own, to, bytes)), 10s,
                              [](const std::string& reason) { throw mtia::test::Failure(reason); });
    };
    const auto take = [&](mtia::transport::PendingMessage& pending, int source, double time, size_t bytes) {
      const Message message = pending.wait(10s);
      CHECK_EQ(message.source, source);
      CHECK_EQ(message.envelope.chip_seconds, time);
      const std::vector<std::byte> expected = bytes_of(source, own, bytes);
      const auto got = message.payload.span();
      CHECK(std::equal(got.begin(), got.end(), expected.begin(), expected.end()));
    };
    if (own == 0) {
      // Longer than the ring, and taken after one that is sent later.
      const auto second = transport->receive_message(1, 5), third = transport->receive_message(1, 5);
      const auto first = transport->receive_message(1, 6);
      take(*first, 1, 3, 10);
      take(*third, 1, 2, 0);
      take(*second, 1, 1, 100 * piece + 3);
      take(*transport->receive_message(any_rank, 9), 2, 4, 50);
    } else if (own == 1) {
      send(0, 5, 1, 100 * piece + 3);
      send(0, 5, 2, 0);
      send(0, 6, 3, 10);
    } else {
      send(0, 9, 4, 50);
    }
    transport->drain_messages();
    // Nobody leaves while the others still read.
    send_all(*transport, (own + 1) % 3, 1, {});
    transport->receive((own + 2) % 3, 1, 0, nullptr)->wait(10s);
  });
}

TEST(a_rank_that_does_not_come_is_waited_for_until_the_timeout) {
  as_ranks(2, [](std::unique_ptr<SharedTransport> transport) {
    if (transport->rank() == 0) {
      CHECK_FAILS(transport->receive(1, 1, 10, nullptr)->wait(50ms), "timed out after 50 ms");
      CHECK_FAILS(transport->receive_message(any_rank, 1)->wait(50ms), "timed out after 50 ms");
      send_all(*transport, 1, 1, {});
    } else {
      transport->receive(0, 1, 0, nullptr)->wait(10s);
    }
  });
}

TEST(a_rank_that_leaves_ends_waits) {
  as_ranks(2, [](std::unique_ptr<SharedTransport> transport) {
    if (transport->rank() == 1) return send_all(*transport, 0, 1, bytes_of(1, 0, 5));
    // What it did before it left is there.
    CHECK_EQ(transport->receive(1, 1, 5, nullptr)->wait(10s).size(), 5U);
    CHECK_FAILS(transport->receive(1, 2, 5, nullptr)->wait(60s), "has left the process group");
    CHECK_FAILS(transport->receive_message(any_rank, 2)->wait(60s), "nobody is left");
    std::atomic<bool> has_failed{false};
    transport->send_message(1, 1, Envelope{}, Buffer(), 60s, [&](const std::string&) { has_failed = true; });
    transport->drain_messages();
    CHECK(has_failed);
  });
}

TEST(giving_up_ends_the_waits_of_all) {
  std::barrier ready(3);
  as_ranks(3, [&](std::unique_ptr<SharedTransport> transport) {
    if (transport->rank() == 0) {
      transport->give_up("for a reason");
      CHECK_FAILS(transport->receive(1, 1, 5, nullptr)->wait(60s), "given up here: for a reason");
    } else {
      CHECK_FAILS(transport->receive(0, 1, 5, nullptr)->wait(60s), "gave the process group up: for a reason");
    }
    ready.arrive_and_wait();
  });
}

// Rank 0 here, rank 1 another process, which ends by SIGKILL; `holds`: one that it forked lives on with all that it
// had open.
void with_killed_rank(bool holds) {
  std::array<int, 2> down{}, up{};
  CHECK(pipe(down.data()) == 0 && pipe(up.data()) == 0);
  const Doorway door;
  const pid_t child = fork();
  if (child == 0) {
    const Doorway own_door;
    const Card own = own_door.card();
    Card other;
    if (write(up[1], &own, sizeof own) < 0 || read(down[0], &other, sizeof other) < 0) _exit(1);
    const std::array<Card, 2> cards{other, own};
    const SharedTransport transport(own_door, cards, 1, piece, 10s);
    if (holds && fork() == 0) {
      // Until the test has closed the other end.
      close(down[1]);
      while (read(down[0], &other, sizeof other) > 0) {
      }
      _exit(0);
    }
    raise(SIGKILL);
  }
  close(down[0]);
  close(up[1]);
  const Card own = door.card();
  Card other;
  CHECK(read(up[0], &other, sizeof other) == sizeof other && write(down[1], &own, sizeof own) == sizeof own);
  const std::array<Card, 2> cards{own, other};
  SharedTransport transport(door, cards, 0, piece, 10s);
  CHECK_FAILS(transport.receive(1, 1, 5, nullptr)->wait(60s), "its process has ended");
  int status = 0;
  CHECK_EQ(waitpid(child, &status, 0), child);
  close(down[1]);
  close(up[0]);
}

TEST(a_killed_rank_ends_waits) { with_killed_rank(false); }

TEST(a_killed_rank_ends_waits_though_its_children_live) { with_killed_rank(true); }

TEST(a_rank_that_never_calls_is_not_waited_for_longer) {
  const Doorway door, other;
  const std::array<Card, 2> cards{door.card(), other.card()};
  CHECK_FAILS(SharedTransport(door, cards, 0, piece, 50ms), "did not call in time");
}

TEST(pairs_go_by_what_connects_them) {
  // Both are of all ranks here; that of ranks 0 and 1 is near.
  std::vector<Doorway> doors(2);
  const std::array<Card, 2> near_cards{doors[0].card(), doors[1].card()};
  as_ranks(3, [&](std::unique_ptr<SharedTransport> far) {
    const int own = far->rank();
    if (own == 2) {
      send_all(*far, 0, 1, bytes_of(2, 0, 20));
      return;
    }
    auto near = std::make_unique<SharedTransport>(doors[static_cast<size_t>(own)], near_cards, own, piece, 10s);
    PairedTransport pair(std::move(near), std::move(far), {0, 1});
    CHECK_EQ(pair.size(), 3);
    send_all(pair, 1 - own, 1, bytes_of(own, 0, 30));
    CHECK_EQ(pair.receive(1 - own, 1, 30, nullptr)->wait(10s).size(), 30U);
    if (own == 0) CHECK_EQ(pair.receive(2, 1, 20, nullptr)->wait(10s).size(), 20U);
    send_all(pair, 1 - own, 2, {});
    pair.receive(1 - own, 2, 0, nullptr)->wait(10s);
  });
}

}  // namespace
