// The binary interface between a C++ kernel's shared object and the emulator: plain structs and one table of functions.
// Kernels use kernel.h, which wraps it; both sides refuse another version. Functions throw C++ exceptions through the
// kernel's frames where a rule is broken, a role is abandoned or an access faults.
#pragma once

#include <cstdint>

// Changed whenever a struct or a function below changes its meaning or place, or operations.def its order.
#define MTIA_ABI_VERSION 1U

extern "C" {

// A line of the kernel's source, carried by every call.
struct mtia_line {
  const char* file;
  uint32_t line;
};

// What the kernel sees of one role on one PE; the emulator's own state follows it in memory.
struct mtia_role {
  uint32_t index;  // of the PE in the launch grid, row by row
  uint32_t count;  // PEs in the launch grid
  uint32_t row;
  uint32_t column;
  uint32_t rows;  // of the launch grid
  uint32_t columns;
};

// A tile of local memory: a page, when it was taken, and which elements of it. Strides and offset count elements.
struct mtia_tile {
  uint32_t page;
  uint32_t generation;
  int64_t offset;
  int64_t rows;
  int64_t columns;
  int64_t row_stride;
  int64_t column_stride;
  uint8_t dtype;
};

// A matrix of device memory from (row, column) of a tensor on: element (i, j) lies at base + size * (i * row_stride + j
// * column_stride) and exists where i < valid_rows and j < valid_columns; a load fills the rest, a store leaves it out.
struct mtia_region {
  uint64_t base;
  int64_t row_stride;
  int64_t column_stride;
  int64_t valid_rows;
  int64_t valid_columns;
  int64_t row;  // for messages
  int64_t column;
  double fill;
  uint8_t dtype;
};

// An element-wise operand: a tile, or a number where `tile` is null.
struct mtia_operand {
  const mtia_tile* tile;
  double real;
  int64_t integer;
};

struct mtia_api {
  uint32_t version;
  uint32_t size;

  // Throws InvalidArgument naming a rule of kernel.h that the values break.
  void (*refuse)(mtia_role*, const char* rule, int64_t first, int64_t second, int64_t third, mtia_line);
  // Called every thousand or so basic blocks of a kernel, so that one that loops for ever is stopped.
  void (*poll)(uint32_t blocks);
  void (*scalar_work)(mtia_role*, uint64_t instructions);

  void (*allocate)(mtia_role*, uint8_t dtype, int64_t rows, int64_t columns, mtia_tile* result, mtia_line);
  uint64_t (*local_bytes_free)(mtia_role*);

  uint32_t (*make_circular_buffer)(mtia_role*, const char* name, uint8_t dtype, int64_t rows, int64_t columns,
                                   uint32_t pages, mtia_line);
  void (*reserve)(mtia_role*, uint32_t buffer, uint32_t pages, mtia_tile* results, mtia_line);
  void (*push)(mtia_role*, uint32_t buffer, uint32_t pages, const mtia_tile* tiles, mtia_line);
  void (*front)(mtia_role*, uint32_t buffer, uint32_t pages, mtia_tile* results, mtia_line);
  void (*pop)(mtia_role*, uint32_t buffer, uint32_t pages, const mtia_tile* tiles, mtia_line);

  void (*load)(mtia_role*, const mtia_tile* destination, const mtia_region* source, mtia_line);
  void (*store)(mtia_role*, const mtia_region* destination, const mtia_tile* source, mtia_line);
  // Row r of the tile is row indices[r] of the region. kind: 0 gather, 1 scatter, 2 scatter that adds.
  void (*indexed)(mtia_role*, uint8_t kind, const mtia_tile* rows, const mtia_region* table, const mtia_tile* indices,
                  mtia_line);

  void (*dot)(mtia_role*, const mtia_tile* d, const mtia_tile* a, const mtia_tile* b, uint8_t accumulate,
              uint8_t precision, mtia_line);
  // `operation`: the row of operations.def.
  void (*elementwise)(mtia_role*, uint32_t operation, uint8_t is_signed, const mtia_tile* d, const mtia_operand* a,
                      const mtia_operand* b, const mtia_operand* c, mtia_line);
  void (*compare)(mtia_role*, uint8_t relation, uint8_t is_signed, const mtia_tile* d, const mtia_tile* a,
                  const mtia_operand* b, mtia_line);
  void (*select)(mtia_role*, const mtia_tile* d, const mtia_tile* condition, const mtia_operand* a,
                 const mtia_operand* b, mtia_line);
  void (*convert)(mtia_role*, const mtia_tile* d, const mtia_tile* a, uint8_t is_signed, mtia_line);
  void (*fill)(mtia_role*, const mtia_tile* d, const mtia_operand* value, mtia_line);
  void (*iota)(mtia_role*, const mtia_tile* d, int64_t start, mtia_line);
  // kind: 0 bits, 1 uniform, 2 normal.
  void (*random)(mtia_role*, uint8_t kind, const mtia_tile* d, uint64_t seed, uint64_t stream, uint64_t first,
                 mtia_line);
  void (*reduce)(mtia_role*, uint8_t kind, uint8_t is_signed, const mtia_tile* d, const mtia_tile* a, mtia_line);
  void (*transpose)(mtia_role*, const mtia_tile* d, const mtia_tile* a, mtia_line);

  double (*read)(mtia_role*, const mtia_tile* tile, int64_t row, int64_t column, mtia_line);
  int64_t (*read_integer)(mtia_role*, const mtia_tile* tile, int64_t row, int64_t column, mtia_line);

  // Among PEs. `along`: 0 the row of the launch grid, 1 its column.
  void (*multicast)(mtia_role*, uint8_t along, const mtia_tile* destination, const mtia_region* source, mtia_line);
  uint8_t (*reduce_along)(mtia_role*, uint8_t along, uint8_t kind, uint8_t is_signed, const mtia_tile* tile, mtia_line);
  void (*barrier)(mtia_role*, mtia_line);
  int64_t (*next_item)(mtia_role*, uint32_t queue, int64_t items, mtia_line);  // -1: none is left

  // Ends the role that runs on this thread: what its code does ("calls abort()"), and where it returns to.
  void (*give_up)(const char* what, const void* instruction);
};

// ---- what a shared object tells of its kernels

enum mtia_argument_kind : uint8_t { mtia_argument_tensor, mtia_argument_number, mtia_argument_work_queue };

// One field of the argument struct. A tensor is {base, size[rank], stride[rank]}, a work queue {items, queue number}.
struct mtia_argument {
  const char* name;
  uint32_t offset;
  uint32_t bytes;
  uint8_t kind;
  uint8_t dtype;
  uint8_t rank;
  uint8_t is_written;  // a tensor of elements that are not const
  uint8_t is_signed;
};

struct mtia_role_entry {
  const char* name;
  uint32_t name_length;
  void (*run)(mtia_role* role, const void* arguments, void* shared);
};

struct mtia_kernel {
  const mtia_kernel* next;
  const char* name;
  mtia_line line;
  const mtia_argument* arguments;
  uint32_t argument_count;
  uint32_t argument_bytes;
  const mtia_role_entry* roles;
  uint32_t role_count;
  // What the roles of a PE share, made before they start.
  uint64_t shared_bytes;
  uint64_t shared_alignment;
  void (*construct)(void* shared, mtia_role* role, const void* arguments);
  void (*destroy)(void* shared);
};

struct mtia_module {
  uint32_t version;
  uint32_t api_size;  // that the kernel was compiled against
  const mtia_kernel* first;
};

// The one symbol that a shared object of kernels exports: mtia_open_module.
using mtia_open = const mtia_module* (*)(const mtia_api* api);
}
