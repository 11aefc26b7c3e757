// From an ATen operator to the work queue: the plan cache (see docs/architecture.md, rule "Python compiles, C++
// launches").
//
// A kernel is called by name with device tensors, sizes and run-time numbers. Name, dtypes and sizes are the key of a
// plan (programs, grids, argument slots); the first call of a key makes the plan in Python, the next ones only pack
// arguments and push them to the queue.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>
#include <c10/util/SmallVector.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dtype.h"
#include "emulator/emulator.h"
#include "torch_backend/memory/address.h"

namespace mtia::torch_backend {

// A kernel's name as a small number, so that a key holds no string.
class KernelId {
 public:
  // Interns `name`; keep the result in a static, interning takes a lock.
  explicit KernelId(std::string_view name);
  uint32_t value() const { return value_; }
  const std::string& name() const;

 private:
  uint32_t value_;
};

// A run-time number: converted to the dtype that the kernel's plan asks for.
class ScalarArgument {
 public:
  ScalarArgument(double value) : is_integer_(false), floating_(value) {}
  ScalarArgument(int64_t value) : is_integer_(true), integer_(value) {}
  ScalarArgument(int value) : ScalarArgument(static_cast<int64_t>(value)) {}
  ScalarArgument(bool value) : ScalarArgument(static_cast<int64_t>(value)) {}
  ScalarArgument(uint64_t value) : ScalarArgument(static_cast<int64_t>(value)) {}
  ScalarArgument(const c10::Scalar& value);  // complex numbers are refused

  uint64_t bits(DType dtype) const;

 private:
  bool is_integer_;
  union {
    double floating_;
    int64_t integer_;
  };
};

// Where one launch argument comes from.
struct ArgumentSlot {
  enum class Source : uint8_t { tensor, scalar, constant, workspace };
  Source source = Source::constant;
  DType dtype = DType::I64;  // scalar: the type that the kernel's parameter has
  uint16_t index = 0;        // of the call's tensors, scalars or the plan's workspaces
  uint64_t bits = 0;         // constant
};

struct PlannedLaunch {
  std::shared_ptr<const emulator::LoadedProgram> program;
  std::array<uint32_t, 3> grid{1, 1, 1};
  std::vector<ArgumentSlot> slots;
};

struct LaunchPlan {
  std::vector<PlannedLaunch> launches;    // run in order
  std::vector<uint64_t> workspace_bytes;  // scratch that only these launches see
};

struct PlanRequest {
  std::string kernel;
  std::vector<std::string> dtypes;
  std::vector<int64_t> sizes;
  int device;
};

// Makes a plan in Python; the bindings install it when the package is imported.
using PlanCompiler = std::function<std::shared_ptr<const LaunchPlan>(const PlanRequest&)>;
void set_plan_compiler(PlanCompiler compiler);

struct PlanCacheStatistics {
  uint64_t hits;
  uint64_t misses;
  uint64_t plans;
};
PlanCacheStatistics plan_cache_statistics();
void clear_plan_cache();

// Pseudo dtypes of a key besides c10::ScalarType.
inline constexpr uint8_t absent_dtype = 0xFF;  // an optional tensor that is not there: "none"
inline constexpr uint8_t scalar_dtype = 0xFE;  // an operand that is a run-time number: "scalar"

// One call of a kernel while its arguments are put together; everything stays on the stack.
class KernelCall {
 public:
  static constexpr size_t max_tensors = 24;
  static constexpr size_t max_dtypes = 32;
  static constexpr size_t max_sizes = 120;

  KernelCall(const KernelId& kernel, c10::DeviceIndex device) : kernel_(kernel.value()), device_(device) {}

  // A tensor with its dtype; an undefined one is absent. Raises when it lies on another device than the call.
  KernelCall& tensor(const at::TensorBase& tensor);
  // A tensor whose dtype is added by dtype(). The launch may touch its whole storage. Whether it is written is asked of
  // the programs, and only where its storage is shared until then (torch._lazy_clone).
  KernelCall& operand(const at::TensorBase& tensor) { return operand(tensor, tensor.const_data_ptr()); }
  KernelCall& operand(const at::TensorBase& tensor, const void* address);
  // A tensor whose address the launch finds in device memory, where address_of() or address_to_read() has put it: it
  // may touch its whole storage.
  KernelCall& reachable(const at::TensorBase& tensor);
  // Memory of unknown extent: the launch may then touch every live allocation.
  KernelCall& address(const void* address);
  KernelCall& dtype(c10::ScalarType dtype) { return dtype_code(static_cast<uint8_t>(dtype)); }
  KernelCall& dtype_code(uint8_t code);
  KernelCall& size(int64_t value);
  KernelCall& sizes(c10::IntArrayRef values);
  KernelCall& scalar(ScalarArgument value);

  void launch();

 private:
  friend class PlanCache;
  KernelCall& add_address(const void* address);
  // Gives tensors that the plan's programs write memory of their own where they share theirs until then.
  void part_from_clones(const LaunchPlan& plan);
  void add_note(const at::TensorBase& tensor);
  emulator::LaunchNotes& notes();
  std::shared_ptr<const emulator::LaunchNotes> notes_of(const PlannedLaunch& planned,
                                                        const std::vector<emulator::AddressRange>& workspaces) const;
  PlanRequest request() const;

  uint32_t kernel_;
  c10::DeviceIndex device_;
  uint8_t n_dtypes_ = 0;
  uint8_t n_tensors_ = 0;
  uint8_t n_sizes_ = 0;
  bool confined_ = true;  // every tensor's storage is known, so that the launch may touch nothing else
  alignas(8) std::array<uint8_t, max_dtypes> dtypes_;
  std::array<uint64_t, max_tensors> addresses_;
  std::array<int64_t, max_sizes> sizes_;
  emulator::SmallArray<emulator::AddressRange, 8> extents_;
  struct CopyOnWrite {
    c10::StorageImpl* storage;
    uint8_t tensor;  // place among the call's
  };
  c10::SmallVector<CopyOnWrite, 1> copies_on_write_;  // nearly always none
  std::shared_ptr<emulator::LaunchNotes> notes_;      // in checked mode
  std::array<uint8_t, max_tensors> note_of_tensor_;
  c10::SmallVector<ScalarArgument, 8> scalars_;
};

// launch_kernel(kernel, {out, in}, {rows, columns}, {eps}): the device is that of the first tensor.
void launch_kernel(const KernelId& kernel, std::initializer_list<std::reference_wrapper<const at::TensorBase>> tensors,
                   c10::IntArrayRef sizes, std::initializer_list<ScalarArgument> scalars = {});

// Puts a launch into the queue of the current stream.
void submit(c10::DeviceIndex device, emulator::Launch&& launch);

// The device memory that belongs to a tensor's storage.
emulator::AddressRange extent_of(const at::TensorBase& tensor);

// Lets a launch on `device` touch the storage of a tensor; raises where this is elsewhere.
void add_extent(emulator::Launch& launch, c10::DeviceIndex device, const at::Tensor& tensor);

// Launches a C++ kernel on all PEs of the device, on the current stream. It may touch the storages of `tensors`, of
// which those that are undefined count for nothing.
template <typename Arguments>
void launch_cpp_kernel(const emulator::CppKernel& kernel, c10::DeviceIndex device, const Arguments& arguments,
                       std::initializer_list<std::reference_wrapper<const at::Tensor>> tensors) {
  emulator::Launch launch;
  launch.kernel = &kernel;
  launch.grid = {0, 1, 1};
  launch.set_arguments(arguments);
  for (const at::Tensor& tensor : tensors) add_extent(launch, device, tensor);
  submit(device, std::move(launch));
}

// The chip's name of a torch dtype; raises for a dtype that the chip cannot store (complex, quantised).
std::string_view dtype_name(c10::ScalarType dtype);

}  // namespace mtia::torch_backend
