// Tables of chunks, and the cache of those that a device has already.
#include "torch_backend/launching/chunk_table.h"

#include <algorithm>
#include <list>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "runtime/runtime.h"
#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {
namespace {

// An optimiser has one table for each of its passes, the same from step to step as long as the allocator gives
// gradients the same places.
constexpr size_t most_tables = 32;

struct SentTable {
  c10::DeviceIndex device;
  std::shared_ptr<const std::vector<uint64_t>> words;
  at::Tensor tensor;
};

struct SentTables {
  std::mutex mutex;
  std::list<SentTable> tables;  // last used first
};

SentTables& sent_tables() {
  static auto* tables = new SentTables;  // never destroyed: its tensors would outlive the devices
  return *tables;
}

}  // namespace

at::Tensor send_words(const std::shared_ptr<const std::vector<uint64_t>>& words, c10::DeviceIndex device) {
  const at::Tensor tensor =
      empty_device({static_cast<int64_t>(words->size())}, c10::kLong, c10::Device(c10::kPrivateUse1, device));
  if (GraphCapture* capture = capture_on(device)) [[unlikely]] {
    // The graph keeps the table, whose user may let go of it before the launch that reads it.
    capture->add(concat("table of ", words->size(), " words"), current_stream_id(device),
                 [words, tensor](runtime::Device& on, runtime::StreamId stream) {
                   on.copy_to_device_owned(stream, address_of(tensor),
                                           std::shared_ptr<const void>(words, words->data()), words->size() * 8, true);
                 });
    return tensor;
  }
  surfacing_errors([&] {
    device_of(device).copy_to_device_owned(current_stream_id(device), address_of(tensor),
                                           std::shared_ptr<const void>(words, words->data()), words->size() * 8, true);
  });
  return tensor;
}

int64_t ChunkTable::streamed_chunk() { return shortest_chunk * runtime::chip().longer_blocks(); }

void ChunkTable::add(c10::ArrayRef<at::Tensor> tensors, size_t written, c10::ArrayRef<uint64_t> words) {
  const int64_t elements = tensors.front().numel();
  for (int64_t first = 0; first < elements; first += chunk_elements_) {
    words_.push_back(static_cast<uint64_t>(std::min(chunk_elements_, elements - first)));
    for (size_t i = 0; i < tensors.size(); ++i) {
      const uint64_t begin = i < written ? address_of(tensors[i]) : address_to_read(tensors[i]);
      words_.push_back(begin + static_cast<uint64_t>(first) * tensors[i].element_size());
    }
    words_.insert(words_.end(), words.begin(), words.end());
    ++rows_;
  }
}

void ChunkTable::add_row(uint64_t first, c10::ArrayRef<uint64_t> words) {
  words_.push_back(first);
  words_.insert(words_.end(), words.begin(), words.end());
  ++rows_;
}

at::Tensor ChunkTable::on_device(c10::DeviceIndex device) const {
  // A graph's table is written by its replays alone, and has to stay.
  if (capture_on(device) != nullptr) [[unlikely]]
    return send_words(std::make_shared<const std::vector<uint64_t>>(words_), device);
  SentTables& sent = sent_tables();
  const std::lock_guard lock(sent.mutex);
  for (auto table = sent.tables.begin(); table != sent.tables.end(); ++table) {
    if (table->device != device || *table->words != words_) continue;
    sent.tables.splice(sent.tables.begin(), sent.tables, table);
    return sent.tables.front().tensor;
  }
  const auto words = std::make_shared<const std::vector<uint64_t>>(words_);
  const at::Tensor tensor = send_words(words, device);
  sent.tables.push_front({device, words, tensor});
  if (sent.tables.size() > most_tables) sent.tables.pop_back();
  return tensor;
}

}  // namespace mtia::torch_backend
