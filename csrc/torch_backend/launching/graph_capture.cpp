// Captures, their memory, and what torch asks of graphs.
#include "torch_backend/launching/graph_capture.h"

#include <ATen/core/GraphImplInterface.h>

#include <array>
#include <atomic>
#include <fstream>
#include <utility>

#include "base/error.h"
#include "runtime/device.h"
#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/memory/allocator.h"

namespace mtia::torch_backend {
namespace {

constexpr size_t most_devices = 256;
std::atomic<int> capture_count{0};

std::array<std::atomic<GraphCapture*>, most_devices>& captures() {
  static std::array<std::atomic<GraphCapture*>, most_devices> all{};
  return all;
}

// Who has a block that a tensor holds.
struct Holders {
  std::mutex mutex;
  std::unordered_map<uint64_t, std::shared_ptr<GraphPool>> pools;
};

Holders& holders() {
  static auto* const all = new Holders;  // never destroyed: tensors may outlive it
  return *all;
}

void free_pooled_memory(void* data) {
  const auto address = reinterpret_cast<uint64_t>(data);
  std::shared_ptr<GraphPool> pool;
  {
    const std::lock_guard lock(holders().mutex);
    const auto place = holders().pools.find(address);
    if (place == holders().pools.end()) return;
    pool = std::move(place->second);
    holders().pools.erase(place);
  }
  pool->give_back(address);
}

}  // namespace

GraphPool::~GraphPool() {
  for (const auto& [address, bytes] : sizes_) device_allocator().raw_deleter()(reinterpret_cast<void*>(address));
}

uint64_t GraphPool::take(size_t bytes) {
  constexpr size_t granularity = 512;
  const size_t size = (bytes + granularity - 1) / granularity * granularity;
  const std::lock_guard lock(mutex_);
  std::vector<uint64_t>& resting = resting_[size];
  if (!resting.empty()) {
    const uint64_t address = resting.back();
    resting.pop_back();
    return address;
  }
  const uint64_t address = caching_allocator(device_).allocate(size, static_cast<int>(current_stream_id(device_)));
  sizes_[address] = size;
  return address;
}

void GraphPool::give_back(uint64_t address) {
  const std::lock_guard lock(mutex_);
  resting_[sizes_.at(address)].push_back(address);
}

GraphCapture::GraphCapture(c10::DeviceIndex device, std::shared_ptr<GraphPool> pool)
    : device_(device), stream_(current_stream_id(device)), pool_(std::move(pool)) {}

void GraphCapture::add(std::string what, runtime::StreamId stream, Step step) {
  const std::lock_guard lock(mutex_);  // the backward pass has threads of its own
  steps_.push_back({std::move(what), stream, std::move(step)});
}

c10::DataPtr GraphCapture::allocate(size_t bytes) {
  const uint64_t address = pool_->take(bytes);
  {
    const std::lock_guard lock(holders().mutex);
    holders().pools[address] = pool_;
  }
  void* data = reinterpret_cast<void*>(address);
  return {data, data, &free_pooled_memory, c10::Device(device_type, device_)};
}

void GraphCapture::replay() const {
  runtime::Device& device = device_of(device_);
  const runtime::StreamId current = current_stream_id(device_);
  surfacing_errors([&] {
    for (const Recorded& recorded : steps_)
      recorded.step(device, recorded.stream == stream_ ? current : recorded.stream);
  });
}

std::string GraphCapture::text() const {
  std::string text;
  for (const Recorded& recorded : steps_) text += concat("stream ", recorded.stream, ": ", recorded.what, "\n");
  return text;
}

GraphCapture* capture_on(c10::DeviceIndex device) noexcept {
  return captures()[static_cast<size_t>(device)].load(std::memory_order_acquire);
}

bool is_capturing() noexcept { return capture_count.load(std::memory_order_acquire) != 0; }

void set_capture(c10::DeviceIndex device, GraphCapture* capture) {
  captures()[static_cast<size_t>(device)].store(capture, std::memory_order_release);
  capture_count.fetch_add(capture != nullptr ? 1 : -1, std::memory_order_acq_rel);
}

void check_not_capturing(c10::DeviceIndex device, const char* operation, const char* remedy) {
  if (capture_on(device) == nullptr) [[likely]]
    return;
  throw_for_python(Unsupported("a graph is being captured, which cannot hold this", operation, remedy));
}

void submit_launch(c10::DeviceIndex device, runtime::StreamId stream, emulator::Launch&& launch) {
  GraphCapture* capture = capture_on(device);
  if (capture == nullptr) [[likely]] {
    device_of(device).launch(stream, std::move(launch));
    return;
  }
  std::string name(launch.program != nullptr ? emulator::name_of(*launch.program) : launch.kernel->name);
  capture->add(concat("launch ", name), stream,
               [launch = std::move(launch)](runtime::Device& on, runtime::StreamId stream) {
                 on.launch(stream, emulator::Launch(launch));
               });
}

void submit_copy(c10::DeviceIndex device, uint64_t destination, uint64_t source, size_t bytes) {
  const runtime::StreamId stream = current_stream_id(device);
  GraphCapture* capture = capture_on(device);
  if (capture == nullptr) [[likely]] {
    device_of(device).copy_on_device(stream, destination, source, bytes);
    return;
  }
  capture->add(concat("copy of ", bytes, " bytes"), stream, [=](runtime::Device& on, runtime::StreamId stream) {
    on.copy_on_device(stream, destination, source, bytes);
  });
}

namespace {

struct Pools {
  std::mutex mutex;
  c10::CaptureId_t last = 0;
  std::map<c10::MempoolId_t, std::weak_ptr<GraphPool>> by_id;
};

Pools& pools() {
  static auto* const all = new Pools;
  return *all;
}

class Graph final : public at::GraphImplInterface {
 public:
  explicit Graph(const at::GraphImplArgs&) {}
  ~Graph() override { end(); }

  void capture_begin(c10::MempoolId_t pool, at::GraphCaptureMode) override {
    const c10::DeviceIndex device = current_device();
    device_of(device);
    TORCH_CHECK(capture_ == nullptr, "this graph has been captured already; call reset() to capture another one");
    TORCH_CHECK(capture_on(device) == nullptr, "another graph is being captured on mtia_sim:", device);
    capture_ = std::make_unique<GraphCapture>(device, pool_of(pool, device));
    set_capture(device, capture_.get());
  }

  void capture_end() override {
    TORCH_CHECK(capture_ != nullptr && capture_on(capture_->device()) == capture_.get(),
                "capture_end() without capture_begin()");
    end();
  }

  void instantiate() override { check_captured("instantiate"); }

  void replay() override {
    check_captured("replay");
    check_not_capturing(capture_->device(), "Graph.replay", "end that capture first");
    capture_->replay();
  }

  void reset() override {
    end();
    capture_.reset();
    pool_.reset();
  }

  c10::MempoolId_t pool() const override {
    TORCH_CHECK(pool_ != nullptr, "pool() of a graph that was not captured");
    return id_;
  }

  void enable_debug_mode() override {}
  void debug_dump(const std::string& path) override {
    check_captured("debug_dump");
    std::ofstream(path) << capture_->text();
  }

 private:
  std::shared_ptr<GraphPool> pool_of(c10::MempoolId_t id, c10::DeviceIndex device) {
    const std::lock_guard lock(pools().mutex);
    if (id == c10::MempoolId_t{0, 0}) id = {++pools().last, 0};
    id_ = id;
    pool_ = pools().by_id[id].lock();
    if (pool_ == nullptr) pools().by_id[id] = pool_ = std::make_shared<GraphPool>(device);
    return pool_;
  }

  void end() {
    if (capture_ != nullptr && capture_on(capture_->device()) == capture_.get())
      set_capture(capture_->device(), nullptr);
  }

  void check_captured(const char* what) const {
    TORCH_CHECK(capture_ != nullptr && capture_on(capture_->device()) != capture_.get(), what,
                "() of a graph whose capture has not ended");
  }

  std::unique_ptr<GraphCapture> capture_;
  std::shared_ptr<GraphPool> pool_;
  c10::MempoolId_t id_{0, 0};
};

}  // namespace
}  // namespace mtia::torch_backend

namespace at {
// By the name under which torch knows the device.
REGISTER_GRAPH_IMPL(MTIA_SIM, mtia::torch_backend::Graph)
}  // namespace at
