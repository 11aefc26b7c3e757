// Work over lists of tensors as one launch: a table in device memory with a row for each chunk of each tuple of
// tensors, which the programs of the launch share out among themselves.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "torch_backend/launching/launch.h"

namespace mtia::torch_backend {

// Words in device memory, valid for what is submitted after this call.
at::Tensor send_words(const std::shared_ptr<const std::vector<uint64_t>>& words, c10::DeviceIndex device);

// Rows of 64-bit words: elements of the chunk, the addresses where the chunk begins in each tensor, and the tuple's own
// words (addresses of single elements, bits of numbers). Kernels read it with kernels/triton/chunks.py.
class ChunkTable {
 public:
  static constexpr int64_t shortest_chunk = 8192;

  explicit ChunkTable(int64_t chunk_elements = shortest_chunk) : chunk_elements_(chunk_elements) {}

  // Chunks for kernels whose results do not depend on how long they are.
  static int64_t streamed_chunk();

  // The chunks of tensors that are dense in one layout, of which the kernel writes the first `written`. Empty ones add
  // no row.
  void add(c10::ArrayRef<at::Tensor> tensors, size_t written, c10::ArrayRef<uint64_t> words = {});
  // A row that is no chunk of anything: its first word is `first`.
  void add_row(uint64_t first, c10::ArrayRef<uint64_t> words);

  int64_t rows() const { return rows_; }
  int64_t chunk_elements() const { return chunk_elements_; }
  // The table on the device, valid for what is submitted after this call; equal tables are sent once. Rows are not 0.
  at::Tensor on_device(c10::DeviceIndex device) const;

 private:
  std::vector<uint64_t> words_;
  int64_t chunk_elements_;
  int64_t rows_ = 0;
};

}  // namespace mtia::torch_backend
