// Graphs (torch.accelerator.Graph): what is submitted to a device while one is captured is kept instead of run, and
// submitted again by each replay. Memory that is allocated meanwhile comes from a pool that lives as long as the graph.
#pragma once

#include <c10/core/Allocator.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "emulator/emulator.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {

// Memory of graphs, reused among what they capture: commands run in the order of submission, in replays too. Given back
// once no graph and no tensor has it any more.
class GraphPool {
 public:
  explicit GraphPool(c10::DeviceIndex device) : device_(device) {}
  ~GraphPool();
  GraphPool(const GraphPool&) = delete;
  GraphPool& operator=(const GraphPool&) = delete;

  uint64_t take(size_t bytes);
  void give_back(uint64_t address);

 private:
  std::mutex mutex_;
  c10::DeviceIndex device_;
  std::unordered_map<uint64_t, size_t> sizes_;       // of all blocks
  std::map<size_t, std::vector<uint64_t>> resting_;  // free ones by size
};

class GraphCapture {
 public:
  using Step = std::function<void(runtime::Device&, runtime::StreamId)>;

  GraphCapture(c10::DeviceIndex device, std::shared_ptr<GraphPool> pool);

  c10::DeviceIndex device() const { return device_; }
  // `what` it is, for debug_dump. Work on the stream that the capture began on goes to the replay's.
  void add(std::string what, runtime::StreamId stream, std::function<void(runtime::Device&, runtime::StreamId)> step);
  c10::DataPtr allocate(size_t bytes);
  void replay() const;
  std::string text() const;

 private:
  struct Recorded {
    std::string what;
    runtime::StreamId stream;
    Step step;
  };
  std::mutex mutex_;
  c10::DeviceIndex device_;
  runtime::StreamId stream_;
  std::shared_ptr<GraphPool> pool_;
  std::vector<Recorded> steps_;
};

// What is being captured on a device, nullptr mostly.
GraphCapture* capture_on(c10::DeviceIndex device) noexcept;
bool is_capturing() noexcept;  // on any device
void set_capture(c10::DeviceIndex device, GraphCapture* capture);
// Throws Unsupported while something is captured on the device: what waits for it, or differs from replay to replay.
void check_not_capturing(c10::DeviceIndex device, const char* operation, const char* remedy);

// Into the queue, or into what is being captured.
void submit_launch(c10::DeviceIndex device, runtime::StreamId stream, emulator::Launch&& launch);
void submit_copy(c10::DeviceIndex device, uint64_t destination, uint64_t source, size_t bytes);

}  // namespace mtia::torch_backend
