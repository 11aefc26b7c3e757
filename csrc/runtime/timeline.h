// Chip time: when each stream and each engine of the device is free again. Only the dispatcher touches it.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

namespace mtia::runtime {

// The default stream and two pools of 32, normal and high priority. Priority orders nothing: submission order is
// execution order.
inline constexpr int streams_per_pool = 32;
inline constexpr int stream_count = 1 + 2 * streams_per_pool;

// Of the links to other chips the network keeps the time (csrc/network); they occupy no engine here.
enum class Engine : unsigned char { grid, host_to_device, device_to_host, links };

class Timeline {
 public:
  // Occupies an engine for a command of a stream, which starts once both are free. Returns the end, in seconds of chip
  // time.
  double occupy(int stream, Engine engine, double seconds) {
    double& stream_ready = streams_[static_cast<size_t>(stream)];
    double& engine_free = engines_[static_cast<size_t>(engine)];
    stream_ready = engine_free = std::max({stream_ready, engine_free, host_}) + seconds;
    latest_ = std::max(latest_, stream_ready);
    return stream_ready;
  }

  // How long an engine stands idle before the next command of a stream.
  double idle_before(int stream, Engine engine) const {
    const double engine_free = engines_[static_cast<size_t>(engine)];
    return std::max(0.0, stream_time(stream) - engine_free);
  }

  double stream_time(int stream) const { return std::max(streams_[static_cast<size_t>(stream)], host_); }

  // The host waited until `seconds`: what it submits from now on starts no earlier, on any stream.
  void host_waited(double seconds) { host_ = std::max(host_, seconds); }

  // The host took this long to submit the next command, whatever the chip did meanwhile.
  void host_dispatched(double seconds) { host_ += seconds; }

  // The stream does nothing before `seconds`, the time of an event.
  void wait(int stream, double seconds) {
    double& stream_ready = streams_[static_cast<size_t>(stream)];
    stream_ready = std::max(stream_ready, seconds);
  }

  // Something that works beside the chip's engines ends on the stream at `seconds`.
  void end(int stream, double seconds) {
    wait(stream, seconds);
    latest_ = std::max(latest_, seconds);
  }

  // Chip time passes on the stream in which nothing works.
  void rest(int stream, double seconds) {
    double& stream_ready = streams_[static_cast<size_t>(stream)];
    stream_ready = std::max(stream_ready, host_) + seconds;
    latest_ = std::max(latest_, stream_ready);
  }

  double latest() const { return latest_; }

 private:
  std::array<double, stream_count> streams_{};
  std::array<double, 3> engines_{};
  double host_ = 0.0;
  double latest_ = 0.0;
};

}  // namespace mtia::runtime
