// The worker pool: an epoch counter wakes spinning or sleeping workers; items come from one atomic counter.
#include "emulator/grid/worker_pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "base/local_ranks.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mtia::emulator {
namespace {

constexpr int spin_rounds = 2000;  // about 50 us of pauses before a worker sleeps

void pause_briefly() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

std::vector<int> allowed_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) cores.push_back(core);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

// This process's part of them, where other processes of its job run on this host; at least one.
std::vector<int> own_cores() {
  const std::vector<int> cores = allowed_cores();
  const LocalRanks ranks = local_ranks();
  const size_t share = std::max<size_t>(1, cores.size() / static_cast<size_t>(ranks.size));
  const size_t first = static_cast<size_t>(ranks.rank) * share % cores.size();
  const auto begin = cores.begin() + static_cast<ptrdiff_t>(std::min(first, cores.size() - share));
  return {begin, begin + static_cast<ptrdiff_t>(share)};
}

}  // namespace

// A submission. `active` counts workers inside of it: the next submission waits until they have left, so the fields may
// be reused.
struct WorkerPool::Job {
  std::atomic<uint64_t> next{0};
  std::atomic<uint64_t> done{0};
  std::atomic<uint32_t> tickets{0};
  std::atomic<uint32_t> active{0};
  uint64_t items = 0;
  void (*body)(void*, uint64_t, unsigned) = nullptr;
  void* context = nullptr;

  void drain(unsigned thread) {
    for (;;) {
      const uint64_t item = next.fetch_add(1, std::memory_order_relaxed);
      if (item >= items) return;
      body(context, item, thread);
      done.fetch_add(1, std::memory_order_acq_rel);
    }
  }
};

unsigned WorkerPool::default_threads() {
  if (const char* text = std::getenv("MTIA_SIM_THREADS"); text != nullptr && *text != '\0') {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end != '\0' || value < 1 || value > 1024) {
      throw InvalidArgument(concat("MTIA_SIM_THREADS=", text, " is not a number of threads"), "",
                            "set it to 1 ... 1024, or unset it for every core, divided by LOCAL_WORLD_SIZE");
    }
    return static_cast<unsigned>(value);
  }
  return static_cast<unsigned>(own_cores().size());
}

WorkerPool& WorkerPool::shared() {
  // Never destroyed: at exit a dispatcher may still be inside of it.
  static WorkerPool* pool = new WorkerPool(0);
  return *pool;
}

WorkerPool::WorkerPool(unsigned threads) : job_(std::make_unique<Job>()) {
  if (threads == 0) threads = default_threads();
  worker_count_ = threads - 1;
  start();
}

void WorkerPool::start() {
  const std::vector<int> cores = own_cores();
  workers_.reserve(worker_count_);
  for (unsigned worker = 1; worker <= worker_count_; ++worker) {
    workers_.emplace_back([this, worker] { work(worker); });
    if (worker_count_ + 1 <= cores.size()) {
      // The submitting thread is left to the host's scheduler, which keeps it away from the pinned ones.
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(cores[worker], &set);
      pthread_setaffinity_np(workers_.back().native_handle(), sizeof(set), &set);
    }
  }
}

WorkerPool::~WorkerPool() {
  stop_.store(true);
  {
    std::lock_guard lock(sleep_);
    epoch_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void WorkerPool::work(unsigned thread) {
  uint64_t seen = 0;
  for (;;) {
    int round = 0;
    while (epoch_.load(std::memory_order_acquire) == seen) {
      if (++round < spin_rounds) {
        pause_briefly();
        continue;
      }
      std::unique_lock lock(sleep_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, [&] { return epoch_.load() != seen; });
      sleepers_.fetch_sub(1);
    }
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    Job& job = *job_;
    job.active.fetch_add(1);
    // An even epoch is a closed submission: this worker came too late for it.
    if ((seen & 1U) != 0 && epoch_.load() == seen) {
      uint32_t ticket = job.tickets.load(std::memory_order_relaxed);
      while (ticket != 0 && !job.tickets.compare_exchange_weak(ticket, ticket - 1)) {
      }
      if (ticket != 0) job.drain(thread);
    }
    job.active.fetch_sub(1, std::memory_order_acq_rel);
  }
}

void WorkerPool::run(uint64_t items, void (*body)(void*, uint64_t, unsigned), void* context, unsigned parallelism) {
  if (items == 0) return;
  std::lock_guard submission(submission_);
  const uint64_t helpers_wanted =
      std::min<uint64_t>(items - 1, parallelism == 0 ? worker_count_ : std::min(parallelism - 1, worker_count_));
  if (helpers_wanted == 0) {
    for (uint64_t item = 0; item < items; ++item) body(context, item, 0);
    return;
  }
  Job& job = *job_;
  job.items = items;
  job.body = body;
  job.context = context;
  job.next.store(0, std::memory_order_relaxed);
  job.done.store(0, std::memory_order_relaxed);
  job.tickets.store(static_cast<uint32_t>(helpers_wanted), std::memory_order_relaxed);
  epoch_.fetch_add(1);  // odd: open
  if (sleepers_.load() != 0) {
    {
      std::lock_guard lock(sleep_);
    }
    wake_.notify_all();
  }
  job.drain(0);
  for (int round = 0; job.done.load(std::memory_order_acquire) != items; ++round) {
    round < spin_rounds ? pause_briefly() : std::this_thread::yield();
  }
  epoch_.fetch_add(1);  // even: closed
  while (job.active.load() != 0) pause_briefly();
}

}  // namespace mtia::emulator
