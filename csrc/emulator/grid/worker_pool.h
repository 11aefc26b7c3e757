// Persistent pinned host threads that compute the PE grid; the thread that submits takes part in the work.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace mtia::emulator {

class WorkerPool {
 public:
  // `threads` compute in all, the submitting one included: threads - 1 workers are made. 0: MTIA_SIM_THREADS, or every
  // core.
  explicit WorkerPool(unsigned threads = 0);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  unsigned threads() const { return static_cast<unsigned>(workers_.size()) + 1; }

  // MTIA_SIM_THREADS, or the number of cores this process may use. Throws InvalidArgument for a value that is not a
  // positive number.
  static unsigned default_threads();

  // The pool of the process, made on first use and shared by its devices, so that several devices do not oversubscribe
  // the cores.
  static WorkerPool& shared();

  // Calls body(context, item, thread) for each item in [0, items), each once, on any of the threads (thread <
  // threads(), the caller's is 0); items are handed out in order by an atomic counter. Blocks until all have returned.
  // One submission at a time: a second waits. `parallelism` > 0 limits the number of threads; a single item runs on the
  // caller without waking anybody. The body must not throw.
  void run(uint64_t items, void (*body)(void* context, uint64_t item, unsigned thread), void* context,
           unsigned parallelism = 0);

 private:
  struct Job;
  void work(unsigned thread);
  void start();

  std::vector<std::thread> workers_;
  unsigned worker_count_ = 0;
  std::mutex submission_;
  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::unique_ptr<Job> job_;
};

}  // namespace mtia::emulator
