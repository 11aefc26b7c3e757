// Fibers: switches there and back, exceptions of their own, stacks used again, many of them on several threads.
#include <sys/mman.h>

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "emulator/fibers/fiber.h"
#include "test.h"

namespace mtia::emulator {
namespace {

struct Counter {
  Fiber home;
  Fiber fiber;
  int value = 0;
  std::string caught;
};

void count(void* context) {
  auto& counter = *static_cast<Counter*>(context);
  for (;;) {
    ++counter.value;
    Fiber::change(counter.fiber, counter.home);
  }
}

void throw_across_switches(void* context) {
  auto& counter = *static_cast<Counter*>(context);
  for (;;) {
    try {
      throw std::runtime_error(std::to_string(counter.value));
    } catch (const std::runtime_error& error) {
      Fiber::change(counter.fiber, counter.home);  // with an exception in hand
      counter.caught = error.what();
      ++counter.value;
    }
    Fiber::change(counter.fiber, counter.home);
  }
}

void park_with_an_array(void* context) {
  auto& counter = *static_cast<Counter*>(context);
  volatile int values[64];
  for (int i = 0; i < 64; ++i) values[i] = i;
  counter.value = values[63];
  Fiber::change(counter.fiber, counter.home);
}

void end(void* context) {
  auto& counter = *static_cast<Counter*>(context);
  counter.value += 10;
  Fiber::change(counter.fiber, counter.home, true);
}

}  // namespace

TEST(a_fiber_goes_on_where_it_was) {
  FiberStack stack;
  Counter counter;
  counter.fiber.prepare(stack, &count, &counter);
  for (int i = 1; i <= 1000; ++i) {
    Fiber::change(counter.home, counter.fiber);
    CHECK_EQ(counter.value, i);
  }
}

TEST(exceptions_belong_to_their_fiber) {
  FiberStack first_stack;
  FiberStack second_stack;
  Counter first;
  Counter second;
  second.value = 100;
  first.fiber.prepare(first_stack, &throw_across_switches, &first);
  second.fiber.prepare(second_stack, &throw_across_switches, &second);
  for (int i = 0; i < 50; ++i) {
    for (Counter* counter : {&first, &second}) Fiber::change(counter->home, counter->fiber);
    CHECK_EQ(std::uncaught_exceptions(), 0);
    CHECK(std::current_exception() == nullptr);
    for (Counter* counter : {&first, &second}) Fiber::change(counter->home, counter->fiber);
    CHECK_EQ(first.caught, std::to_string(i));
    CHECK_EQ(second.caught, std::to_string(100 + i));
  }
}

TEST(a_stack_serves_one_fiber_after_the_other) {
  StackPool pool;
  Counter counter;
  FiberStack* stack = pool.take();
  for (int i = 0; i < 100; ++i) {
    counter.fiber.prepare(*stack, &end, &counter);
    Fiber::change(counter.home, counter.fiber);
    pool.give(stack);
    CHECK(pool.take() == stack);
  }
  CHECK_EQ(counter.value, 1000);
}

// With ASan: the red zones of frames that never returned must go with the stack.
TEST(memory_of_a_stack_that_is_gone_is_anybodys) {
  Counter counter;
  std::byte* bottom = nullptr;
  {
    FiberStack stack;
    bottom = stack.bottom();
    counter.fiber.prepare(stack, &park_with_an_array, &counter);
    Fiber::change(counter.home, counter.fiber);
    CHECK_EQ(counter.value, 63);
  }
  void* again =
      mmap(bottom, FiberStack::bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  CHECK(again == bottom);
  std::memset(again, 7, FiberStack::bytes);
  CHECK(bottom[FiberStack::bytes - 1] == std::byte{7});
  munmap(again, FiberStack::bytes);
}

TEST(threads_run_fibers_of_their_own) {
  std::vector<std::thread> threads;
  std::vector<int> sums(4);
  for (size_t t = 0; t < sums.size(); ++t) {
    threads.emplace_back([&sums, t] {
      std::vector<std::unique_ptr<Counter>> counters;
      std::vector<std::unique_ptr<FiberStack>> stacks;
      for (int i = 0; i < 20; ++i) {
        counters.push_back(std::make_unique<Counter>());
        stacks.push_back(std::make_unique<FiberStack>());
        counters.back()->fiber.prepare(*stacks.back(), &count, counters.back().get());
      }
      for (int round = 0; round < 50; ++round) {
        for (auto& counter : counters) Fiber::change(counter->home, counter->fiber);
      }
      for (auto& counter : counters) sums[t] += counter->value;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int sum : sums) CHECK_EQ(sum, 20 * 50);
}

}  // namespace mtia::emulator
