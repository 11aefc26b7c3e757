// A thread that runs what it is given, one after the other.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace mtia::transport {

class WorkerThread {
 public:
  WorkerThread() : state_(std::make_shared<State>()) {}
  ~WorkerThread();
  WorkerThread(const WorkerThread&) = delete;
  WorkerThread& operator=(const WorkerThread&) = delete;
  // The thread is made with the first task.
  void run(std::function<void()> task);
  // Until what was given has run.
  void drain();
  // At most so long. Whether it has.
  bool drain_for(std::chrono::milliseconds timeout);

 private:
  // The thread keeps it alive, so that a thread which waits for a rank that is gone can be left behind.
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::function<void()>> tasks;
    bool is_busy = false;
    bool is_stopped = false;
  };
  static void loop(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace mtia::transport
