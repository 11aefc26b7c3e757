// A device copies, orders streams by events, keeps chip time, and hands failures to the next synchronising call.
#include "runtime/device.h"

#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "emulator/grid/worker_pool.h"
#include "runtime/copy_chip.h"
#include "test.h"

namespace {

using mtia::OutOfBounds;
using mtia::runtime::Counters;
using mtia::runtime::Device;
using mtia::runtime::EventRecordPointer;
using mtia::runtime::Ticket;

std::vector<uint8_t> random_bytes(size_t count) {
  std::mt19937 generator(static_cast<unsigned>(count));
  std::vector<uint8_t> bytes(count);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(generator());
  return bytes;
}

struct Fixture {
  mtia::emulator::WorkerPool pool{1};
  Device device{0, mtia::test::copy_chip(), pool};
  Device other{1, mtia::test::copy_chip(), pool};
};

TEST(copies_of_every_size_class_arrive) {
  Fixture fixture;
  for (const size_t count : {1UL, 63UL, 64UL, 65UL, 4099UL, 1UL << 20, (3UL << 20) + 7}) {
    const std::vector<uint8_t> sent = random_bytes(count);
    const uint64_t address = fixture.device.memory().allocate(count);
    std::vector<uint8_t> source = sent;
    fixture.device.copy_to_device(0, address, source.data(), count);
    std::fill(source.begin(), source.end(), uint8_t{0});  // the caller may reuse its buffer
    const uint64_t second = fixture.device.memory().allocate(count);
    fixture.device.copy_on_device(0, second, address, count);
    std::vector<uint8_t> received(count, 0xEE);
    fixture.device.copy_from_device(0, received.data(), second, count);
    CHECK(received == sent);
  }
}

TEST(owned_and_asynchronous_copies_read_their_sources_later) {
  Fixture fixture;
  const std::vector<uint8_t> sent = random_bytes(100000);
  const uint64_t address = fixture.device.memory().allocate(sent.size());
  {
    auto owner = std::make_shared<std::vector<uint8_t>>(sent);
    fixture.device.copy_to_device_owned(0, address, std::shared_ptr<const void>(owner, owner->data()), sent.size());
  }
  std::vector<uint8_t> received(sent.size());
  const Ticket ticket = fixture.device.copy_from_device_async(3, received.data(), address, sent.size());
  fixture.device.wait(ticket);
  CHECK(received == sent);
  fixture.device.fill(0, address, 0xAB, sent.size());
  fixture.device.copy_from_device(0, received.data(), address, sent.size());
  CHECK(received == std::vector<uint8_t>(sent.size(), 0xAB));
}

TEST(peer_copies_are_ordered_on_both_devices) {
  Fixture fixture;
  const size_t count = 1 << 16;
  const std::vector<uint8_t> first = random_bytes(count);
  const std::vector<uint8_t> second = random_bytes(count + 1);
  const uint64_t here = fixture.device.memory().allocate(count);
  const uint64_t there = fixture.other.memory().allocate(count);
  for (int i = 0; i < 20; ++i) {
    const std::vector<uint8_t>& sent = i % 2 == 0 ? first : second;
    fixture.device.copy_to_device(0, here, sent.data(), count);
    copy_between_devices(fixture.other, 0, there, fixture.device, 0, here, count);
    fixture.device.fill(0, here, 0, count);
    copy_between_devices(fixture.device, 0, here, fixture.other, 0, there, count);
    std::vector<uint8_t> received(count);
    fixture.device.copy_from_device(0, received.data(), here, count);
    CHECK(std::memcmp(received.data(), sent.data(), count) == 0);
  }
}

TEST(a_failure_surfaces_once_at_the_next_synchronising_call) {
  Fixture fixture;
  const uint64_t address = fixture.device.memory().allocate(4096);
  fixture.device.fill(0, address + 4000, 1, 200);
  fixture.device.fill(0, address + 4000, 1, 300);
  const std::string message = CHECK_THROWS(fixture.device.synchronize(), OutOfBounds);
  CHECK_CONTAINS(message, "OutOfBounds");
  fixture.device.synchronize();  // cleared
  std::array<uint8_t, 4> bytes{};
  fixture.device.fill(0, address, 7, 4096);
  fixture.device.copy_from_device(0, bytes.data(), address, bytes.size());
  CHECK_EQ(bytes[3], 7);
  fixture.device.fill(0, address + 8192, 1, 1);
  CHECK_THROWS(fixture.device.copy_from_device(0, bytes.data(), address, bytes.size()), OutOfBounds);
  fixture.device.fill(5, address + 8192, 1, 1);
  CHECK_THROWS(fixture.device.synchronize_stream(5), OutOfBounds);
  fixture.device.fill(5, address + 8192, 1, 1);
  const EventRecordPointer event = fixture.device.record_event(5);
  CHECK_THROWS(fixture.device.synchronize_event(*event), OutOfBounds);
}

TEST(events_carry_chip_time_across_streams) {
  Fixture fixture;
  Device& device = fixture.device;
  const size_t count = 10 << 20;  // 1 ms at the link's 10 GB/s
  const std::vector<uint8_t> source(count);
  const uint64_t address = device.memory().allocate(count);
  const EventRecordPointer begin = device.record_event(1);
  device.copy_to_device(1, address, source.data(), count);
  const EventRecordPointer end = device.record_event(1);
  const EventRecordPointer unrelated = device.record_event(2);
  device.wait_event(3, end);
  const EventRecordPointer after = device.record_event(3);
  device.synchronize();
  const double seconds = end->chip_seconds - begin->chip_seconds;
  CHECK_NEAR(seconds, 1e-6 + static_cast<double>(count) / 1e10, 1e-9);
  CHECK_EQ(unrelated->chip_seconds, 0.0);
  CHECK_EQ(after->chip_seconds, end->chip_seconds);
}

TEST(what_the_host_submits_after_it_waited_starts_later) {
  Fixture fixture;
  Device& device = fixture.device;
  const size_t count = 1 << 20;
  std::vector<uint8_t> bytes(count);
  const uint64_t address = device.memory().allocate(count);
  device.fill(1, address, 3, count);
  device.copy_from_device_async(1, bytes.data(), address, count);
  const EventRecordPointer end = device.record_event(1);
  const EventRecordPointer beside = device.record_event(2);
  device.synchronize_stream(1);
  const EventRecordPointer after = device.record_event(2);
  device.fill(3, address, 4, count);
  const EventRecordPointer fill_end = device.record_event(3);
  device.synchronize_event(*fill_end);
  const EventRecordPointer last = device.record_event(4);
  device.synchronize();
  CHECK_EQ(beside->chip_seconds, 0.0);
  CHECK(end->chip_seconds > 0.0);
  CHECK_EQ(after->chip_seconds, end->chip_seconds);
  CHECK(fill_end->chip_seconds > end->chip_seconds);
  CHECK_EQ(last->chip_seconds, fill_end->chip_seconds);
}

struct Observer final : mtia::runtime::CommandObserver {
  void submitted(const mtia::runtime::Submission& submission) override {
    const std::lock_guard lock(mutex);
    tickets.push_back(submission.ticket);
  }
  void executed(const mtia::runtime::Execution& execution) override {
    const std::lock_guard lock(mutex);
    names.emplace_back(execution.name);
    times.push_back({execution.start, execution.end});
    failures.push_back(execution.failed);
  }
  std::mutex mutex;
  std::vector<Ticket> tickets;
  std::vector<std::string> names;
  std::vector<std::pair<double, double>> times;
  std::vector<bool> failures;
};

TEST(observers_are_told_of_what_is_submitted_while_they_observe) {
  Fixture fixture;
  Device& device = fixture.device;
  std::vector<uint8_t> bytes(4096);
  const uint64_t address = device.memory().allocate(4096);
  const auto observer = std::make_shared<Observer>();
  device.fill(0, address, 1, 4096);
  device.add_observer(observer);
  device.copy_from_device(0, bytes.data(), address, 4096);
  device.fill(0, address, 2, 4096);
  // What takes no chip time is not shown.
  device.set_monitor(nullptr);
  device.wait_event(0, device.record_event(0));
  device.fill(0, address + 8192, 1, 1);  // fails
  device.wait(device.submitted());
  device.remove_observer(*observer);
  device.fill(0, address, 3, 4096);
  CHECK_THROWS(device.synchronize(), OutOfBounds);
  const std::vector<std::string> expected{"copy_from_device", "fill", "fill"};
  CHECK(observer->names == expected);
  CHECK_EQ(observer->tickets.size(), size_t{3});
  CHECK(observer->times[0].first < observer->times[0].second);
  CHECK_EQ(observer->times[0].second, observer->times[1].first);
  CHECK_EQ(observer->times[1].second, observer->times[2].first);
  CHECK(!observer->failures[1] && observer->failures[2]);
  CHECK_EQ(device.lifetime_counters().copies, uint64_t{1});
  device.reset_counters();
  CHECK_EQ(device.counters().copies, uint64_t{0});
  CHECK_EQ(device.lifetime_counters().copies, uint64_t{1});
}

TEST(directions_of_the_host_link_overlap_and_counters_add) {
  Fixture fixture;
  Device& device = fixture.device;
  const size_t count = 1 << 20;
  std::vector<uint8_t> bytes(count);
  const uint64_t address = device.memory().allocate(2 * count);
  device.copy_to_device(1, address, bytes.data(), count);
  device.copy_from_device_async(2, bytes.data(), address + count, count);
  const Counters counters = device.counters();
  const double one_way = 1e-6 + static_cast<double>(count) / 1e10;
  CHECK_EQ(counters.copies, 2);
  CHECK_EQ(counters.bytes_to_device, count);
  CHECK_EQ(counters.bytes_from_device, count);
  CHECK_NEAR(counters.host_link_seconds, 2 * one_way, 1e-9);
  CHECK_NEAR(counters.elapsed_seconds, one_way, 1e-9);
  device.reset_counters();
  CHECK_EQ(device.counters().copies, 0);
  CHECK_EQ(device.counters().elapsed_seconds, 0.0);
}

TEST(a_stream_that_does_not_exist_is_refused) {
  Fixture fixture;
  CHECK_CONTAINS(CHECK_THROWS(fixture.device.record_event(65), mtia::InvalidArgument), "65");
}

TEST(stopping_with_work_in_flight_ends) {
  Fixture fixture;
  const size_t count = 32 << 20;
  const uint64_t address = fixture.device.memory().allocate(count);
  for (int i = 0; i < 200; ++i) fixture.device.fill(0, address, static_cast<uint8_t>(i), count);
  const auto begin = std::chrono::steady_clock::now();
  fixture.device.stop();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(2));
  fixture.device.fill(0, address, 1, count);  // dropped
  fixture.device.synchronize();
}

}  // namespace
