// Tables that were computed on the host and sent to a device, by what they are computed from.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "torch_backend/launching/graph_capture.h"

namespace mtia::torch_backend {

// Where one of the limits is reached, all go: what a program has no more use for need not stay for ever. An instance is
// to be never destroyed, since its tensors would outlive the devices.
template <typename Key, typename Table>
class SentTables {
 public:
  explicit SentTables(size_t most, int64_t most_bytes = std::numeric_limits<int64_t>::max())
      : most_(most), most_bytes_(most_bytes) {}

  // The table of a key; `make` returns it and its bytes on the device, where it is not there yet. A graph that is being
  // captured gets one of its own, which its replays write.
  template <typename Make>
  Table get(const Key& key, const Make& make) {
    if (is_capturing()) [[unlikely]]
      return make().first;
    const std::lock_guard lock(mutex_);
    const auto found = tables_.find(key);
    if (found != tables_.end()) return found->second;
    std::pair<Table, int64_t> made = make();
    if (tables_.size() >= most_ || bytes_ >= most_bytes_) {
      tables_.clear();
      bytes_ = 0;
    }
    bytes_ += made.second;
    return tables_.emplace(key, std::move(made.first)).first->second;
  }

 private:
  std::mutex mutex_;
  std::map<Key, Table> tables_;
  size_t most_;
  int64_t most_bytes_;
  int64_t bytes_ = 0;
};

}  // namespace mtia::torch_backend
