// The plan cache and the packing of launch arguments.
#include "torch_backend/launching/launch.h"

#include <c10/util/Exception.h>

#include <bit>
#include <cstring>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/bit_patterns.h"
#include "emulator/written_parameters.h"
#include "runtime/checking.h"
#include "runtime/device.h"
#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/launching/launch_notes.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/memory/allocator.h"
#include "torch_backend/same_device.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {
namespace {

class KernelNames {
 public:
  uint32_t intern(std::string_view name) {
    const std::lock_guard lock(mutex_);
    const auto [position, inserted] = ids_.try_emplace(std::string(name), static_cast<uint32_t>(names_.size()));
    if (inserted) names_.push_back(position->first);
    return position->second;
  }

  const std::string& name(uint32_t id) {
    const std::lock_guard lock(mutex_);
    return names_[id];  // a deque never moves its elements
  }

 private:
  std::mutex mutex_;
  std::unordered_map<std::string, uint32_t> ids_;
  std::deque<std::string> names_;
};

KernelNames& kernel_names() {
  static KernelNames names;
  return names;
}

}  // namespace

KernelId::KernelId(std::string_view name) : value_(kernel_names().intern(name)) {}

const std::string& KernelId::name() const { return kernel_names().name(value_); }

ScalarArgument::ScalarArgument(const c10::Scalar& value) : is_integer_(!value.isFloatingPoint()), floating_(0) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      !value.isComplex(),
      "this operator has no kernel for complex numbers on mtia_sim; compute with real and imaginary parts");
  if (is_integer_) {
    if (value.isBoolean())
      integer_ = static_cast<int64_t>(value.toBool());
    else
      integer_ = value.type() == c10::kUInt64 ? static_cast<int64_t>(value.toUInt64()) : value.toLong();
  } else {
    floating_ = value.toDouble();
  }
}

uint64_t ScalarArgument::bits(DType dtype) const {
  if (dtype == DType::I1) return (is_integer_ ? integer_ != 0 : floating_ != 0) ? 1 : 0;
  if (!is_float(dtype)) {
    const int64_t integer = is_integer_ ? integer_ : static_cast<int64_t>(floating_);
    switch (dtype) {
      case DType::I8:
        return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int8_t>(integer)));
      case DType::I16:
        return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int16_t>(integer)));
      case DType::I32:
        return static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(integer)));
      default:
        return static_cast<uint64_t>(integer);
    }
  }
  const double floating = is_integer_ ? static_cast<double>(integer_) : floating_;
  switch (dtype) {
    case DType::F64:
      return std::bit_cast<uint64_t>(floating);
    case DType::F32:
      return bits_of_float(static_cast<float>(floating));
    case DType::F16:
      return f16_from_f32(static_cast<float>(floating));
    case DType::BF16:
      return bf16_from_f32(static_cast<float>(floating));
    case DType::F8E4M3:
      return f8e4m3_from_f32(static_cast<float>(floating));
    default:
      return f8e5m2_from_f32(static_cast<float>(floating));
  }
}

std::string_view dtype_name(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kBool:
      return "bool";
    case c10::kByte:
      return "u8";
    case c10::ScalarType::UInt16:
      return "u16";
    case c10::ScalarType::UInt32:
      return "u32";
    case c10::ScalarType::UInt64:
      return "u64";
    case c10::kChar:
      return "i8";
    case c10::kShort:
      return "i16";
    case c10::kInt:
      return "i32";
    case c10::kLong:
      return "i64";
    case c10::kHalf:
      return "fp16";
    case c10::kBFloat16:
      return "bf16";
    case c10::kFloat:
      return "fp32";
    case c10::kDouble:
      return "fp64";
    case c10::kFloat8_e4m3fn:
      return "fp8e4m3";
    case c10::kFloat8_e5m2:
      return "fp8e5m2";
    default:
      TORCH_CHECK_NOT_IMPLEMENTED(
          false,
          "mtia_sim computes with bool, uint8 to uint64, int8 to int64, float8_e4m3fn, float8_e5m2, float16, "
          "bfloat16, float32 and float64, got ",
          dtype, "; convert the tensor first");
  }
}

// Open addressing over plan keys. A key is the call's head, its dtypes (padded to words) and its sizes.
class PlanCache {
 public:
  std::shared_ptr<const LaunchPlan> find_or_make(const KernelCall& call) {
    Key key;
    pack(call, key);
    const uint64_t hash = hash_of(key);
    {
      const std::lock_guard lock(mutex_);
      if (const Entry* entry = find(key, hash)) {
        ++hits_;
        return entry->plan;
      }
      ++misses_;
    }
    // Outside of the lock: Python may run other threads, and these may launch.
    TORCH_CHECK(compiler_, "mtia_sim: no plan compiler is installed; import mtia_sim before launching kernels");
    std::shared_ptr<const LaunchPlan> plan = compiler_(call.request());
    const std::lock_guard lock(mutex_);
    if (find(key, hash) == nullptr) insert(key, hash, plan);
    return plan;
  }

  void set_compiler(PlanCompiler compiler) { compiler_ = std::move(compiler); }

  PlanCacheStatistics statistics() {
    const std::lock_guard lock(mutex_);
    return {hits_, misses_, count_};
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    table_.assign(initial_slots, Entry{});
    count_ = 0;
  }

 private:
  static constexpr size_t initial_slots = 1024;
  static constexpr size_t max_plans = 1 << 16;  // about 30 MB; programs themselves are shared in the Python cache
  static constexpr size_t dtype_words = KernelCall::max_dtypes / 8;

  struct Key {
    std::array<uint64_t, 2 + dtype_words + KernelCall::max_sizes> words;
    size_t count;
  };

  struct Entry {
    uint64_t hash = 0;
    std::vector<uint64_t> key;
    std::shared_ptr<const LaunchPlan> plan;
  };

  static void pack(const KernelCall& call, Key& key) {
    // Devices of one process have one chip, yet a loaded program belongs to its device's emulator: the device is in the
    // key.
    key.words[0] =
        static_cast<uint64_t>(call.kernel_) << 32 | static_cast<uint64_t>(static_cast<uint8_t>(call.device_));
    key.words[1] = static_cast<uint64_t>(call.n_dtypes_) << 8 | call.n_sizes_;
    size_t count = 2;
    const size_t words = (call.n_dtypes_ + 7U) / 8U;
    if (words != 0) key.words[count + words - 1] = 0;
    std::memcpy(&key.words[count], call.dtypes_.data(), call.n_dtypes_);
    count += words;
    std::memcpy(&key.words[count], call.sizes_.data(), call.n_sizes_ * sizeof(int64_t));
    key.count = count + call.n_sizes_;
  }

  static uint64_t hash_of(const Key& key) {
    uint64_t hash = 0x243F6A8885A308D3U;
    for (size_t i = 0; i < key.count; ++i) {
      hash = (hash ^ key.words[i]) * 0x9E3779B97F4A7C15U;
      hash ^= hash >> 29;
    }
    return hash;
  }

  const Entry* find(const Key& key, uint64_t hash) const {
    for (size_t slot = hash & (table_.size() - 1);; slot = (slot + 1) & (table_.size() - 1)) {
      const Entry& entry = table_[slot];
      if (entry.plan == nullptr) return nullptr;
      if (entry.hash == hash && entry.key.size() == key.count &&
          std::memcmp(entry.key.data(), key.words.data(), key.count * 8) == 0) {
        return &entry;
      }
    }
  }

  void insert(const Key& key, uint64_t hash, std::shared_ptr<const LaunchPlan> plan) {
    if (count_ >= max_plans) {
      table_.assign(initial_slots, Entry{});
      count_ = 0;
    }
    if (count_ * 2 >= table_.size()) {
      std::vector<Entry> old(table_.size() * 2);
      old.swap(table_);
      for (Entry& entry : old) {
        if (entry.plan != nullptr) place(std::move(entry));
      }
    }
    place({hash, std::vector<uint64_t>(key.words.begin(), key.words.begin() + static_cast<ptrdiff_t>(key.count)),
           std::move(plan)});
    ++count_;
  }

  void place(Entry entry) {
    size_t slot = entry.hash & (table_.size() - 1);
    while (table_[slot].plan != nullptr) slot = (slot + 1) & (table_.size() - 1);
    table_[slot] = std::move(entry);
  }

  std::mutex mutex_;
  std::vector<Entry> table_{initial_slots};
  size_t count_ = 0;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
  PlanCompiler compiler_;
};

namespace {

PlanCache& plan_cache() {
  static auto* cache = new PlanCache;  // never destroyed: its compiler holds Python objects
  return *cache;
}

// What the user called, for messages.
const char* operator_or(const char* kernel) {
  return OperatorScope::current() != nullptr ? OperatorScope::current() : kernel;
}

}  // namespace

void set_plan_compiler(PlanCompiler compiler) { plan_cache().set_compiler(std::move(compiler)); }
PlanCacheStatistics plan_cache_statistics() { return plan_cache().statistics(); }
void clear_plan_cache() { plan_cache().clear(); }

KernelCall& KernelCall::tensor(const at::TensorBase& tensor) {
  if (!tensor.defined()) {
    add_address(nullptr);
    return dtype_code(absent_dtype);
  }
  if (!tensor.is_privateuseone() || tensor.get_device() != device_)
    check_same_device(operator_or(kernel_names().name(kernel_).c_str()), c10::Device(device_type, device_), tensor);
  operand(tensor, tensor.const_data_ptr());
  return dtype(tensor.scalar_type());
}

emulator::AddressRange extent_of(const at::TensorBase& tensor) {
  const c10::StorageImpl& storage = *tensor.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
  const auto begin = reinterpret_cast<uint64_t>(storage.data());
  return {begin, begin + storage.nbytes()};
}

void add_extent(emulator::Launch& launch, c10::DeviceIndex device, const at::Tensor& tensor) {
  if (!tensor.defined()) return;
  check_same_device(operator_or(launch.kernel->name.data()), c10::Device(device_type, device), tensor);
  launch.extents.push_back(extent_of(tensor));
}

KernelCall& KernelCall::reachable(const at::TensorBase& tensor) {
  extents_.push_back(extent_of(tensor));
  if (runtime::is_checking()) notes().tensors.push_back(note_of(tensor));
  return *this;
}

KernelCall& KernelCall::operand(const at::TensorBase& tensor, const void* address) {
  c10::StorageImpl* storage = tensor.unsafeGetTensorImpl()->unsafe_storage().unsafeGetStorageImpl();
  extents_.push_back(extent_of(tensor));
  if (is_copy_on_write(*storage)) [[unlikely]]
    copies_on_write_.push_back({storage, n_tensors_});
  add_address(address);
  if (runtime::is_checking()) add_note(tensor);
  return *this;
}

// Of the operand that was added last.
void KernelCall::add_note(const at::TensorBase& tensor) {
  note_of_tensor_[n_tensors_ - 1U] = static_cast<uint8_t>(notes().tensors.size());
  notes_->tensors.push_back(note_of(tensor));
}

emulator::LaunchNotes& KernelCall::notes() {
  if (!notes_) {
    notes_ = std::make_shared<emulator::LaunchNotes>();
    note_of_tensor_.fill(UINT8_MAX);
  }
  return *notes_;
}

// The tensors by the names of the program's parameters, and the workspaces behind them.
std::shared_ptr<const emulator::LaunchNotes> KernelCall::notes_of(
    const PlannedLaunch& planned, const std::vector<emulator::AddressRange>& workspaces) const {
  auto notes = std::make_shared<emulator::LaunchNotes>(*notes_);
  const size_t tensors = notes->tensors.size();
  for (size_t i = 0; i < workspaces.size(); ++i) {
    notes->tensors.push_back(note_of_memory(workspaces[i].begin, workspaces[i].bytes(), concat("workspace ", i)));
  }
  const auto& parameters = emulator::parameters_of(*planned.program);
  for (size_t i = 0; i < planned.slots.size(); ++i) {
    const ArgumentSlot& slot = planned.slots[i];
    uint32_t tensor = emulator::LaunchNotes::no_tensor;
    if (slot.source == ArgumentSlot::Source::tensor && note_of_tensor_[slot.index] != UINT8_MAX) {
      tensor = note_of_tensor_[slot.index];
      notes->tensors[tensor].name = parameters[i].name;
    } else if (slot.source == ArgumentSlot::Source::workspace) {
      tensor = static_cast<uint32_t>(tensors + slot.index);
    }
    notes->tensor_of_argument.push_back(tensor);
  }
  return notes;
}

KernelCall& KernelCall::address(const void* address) {
  confined_ = false;
  return add_address(address);
}

KernelCall& KernelCall::add_address(const void* address) {
  TORCH_INTERNAL_ASSERT(n_tensors_ < max_tensors, kernel_names().name(kernel_), " has more than ", max_tensors,
                        " tensors");
  addresses_[n_tensors_++] = reinterpret_cast<uint64_t>(address);
  return *this;
}

KernelCall& KernelCall::dtype_code(uint8_t code) {
  TORCH_INTERNAL_ASSERT(n_dtypes_ < max_dtypes, kernel_names().name(kernel_), " has more than ", max_dtypes, " dtypes");
  dtypes_[n_dtypes_++] = code;
  return *this;
}

KernelCall& KernelCall::size(int64_t value) {
  TORCH_INTERNAL_ASSERT(n_sizes_ < max_sizes, kernel_names().name(kernel_), " has more than ", max_sizes, " sizes");
  sizes_[n_sizes_++] = value;
  return *this;
}

KernelCall& KernelCall::sizes(c10::IntArrayRef values) {
  for (const int64_t value : values) size(value);
  return *this;
}

KernelCall& KernelCall::scalar(ScalarArgument value) {
  scalars_.push_back(value);
  return *this;
}

namespace {

// "softmax" of "softmax_forward", "mean" of "reduce.mean": what the user called, or nearly so.
std::string operator_of(const std::string& kernel) {
  const std::string name = kernel.substr(kernel.find('.') + 1);
  constexpr std::string_view direction = "_forward";
  return name.ends_with(direction) ? name.substr(0, name.size() - direction.size()) : name;
}

}  // namespace

PlanRequest KernelCall::request() const {
  PlanRequest request{kernel_names().name(kernel_), {}, {sizes_.begin(), sizes_.begin() + n_sizes_}, device_};
  for (uint8_t i = 0; i < n_dtypes_; ++i) {
    const uint8_t code = dtypes_[i];
    TORCH_CHECK_NOT_IMPLEMENTED(
        code >= scalar_dtype || !c10::isComplexType(static_cast<c10::ScalarType>(code)), operator_of(request.kernel),
        " of ", static_cast<c10::ScalarType>(code),
        " has no kernel for complex numbers on mtia_sim; compute with real and imaginary parts, "
        "torch.view_as_real(tensor), or on the CPU: tensor.cpu()");
    request.dtypes.emplace_back(code == absent_dtype   ? "none"
                                : code == scalar_dtype ? "scalar"
                                                       : dtype_name(static_cast<c10::ScalarType>(code)));
  }
  return request;
}

void KernelCall::part_from_clones(const LaunchPlan& plan) {
  const auto part = [&](uint8_t tensor) {
    for (const CopyOnWrite& written : copies_on_write_) {
      if (written.tensor != tensor || !is_copy_on_write(*written.storage)) continue;
      const auto before = reinterpret_cast<uint64_t>(written.storage->data());
      const auto after = reinterpret_cast<uint64_t>(written.storage->mutable_data());
      extents_.push_back({after, after + written.storage->nbytes()});
      for (const CopyOnWrite& other : copies_on_write_) {  // views of the storage move with it
        if (other.storage != written.storage) continue;
        addresses_[other.tensor] += after - before;
        if (!notes_) continue;
        emulator::TensorNote& note = notes_->tensors[note_of_tensor_[other.tensor]];
        for (uint64_t* address : {&note.address, &note.reach.begin, &note.reach.end}) *address += after - before;
      }
    }
  };
  for (const PlannedLaunch& planned : plan.launches) {
    const std::vector<bool> is_written = emulator::written_parameters(*planned.program);
    for (size_t i = 0; i < planned.slots.size(); ++i) {
      const ArgumentSlot& slot = planned.slots[i];
      if (slot.source == ArgumentSlot::Source::tensor && is_written[i]) part(static_cast<uint8_t>(slot.index));
    }
  }
}

void KernelCall::launch() {
  const std::shared_ptr<const LaunchPlan> plan = plan_cache().find_or_make(*this);
  if (!copies_on_write_.empty()) [[unlikely]]
    part_from_clones(*plan);
  c10::SmallVector<c10::DataPtr, 2>
      workspaces;  // freed after the push: the caching allocator reuses memory in stream order
  c10::SmallVector<emulator::AddressRange, 2> workspace_ranges;
  for (const uint64_t bytes : plan->workspace_bytes) {
    workspaces.push_back(allocate_on(device_, bytes));
    const auto begin = reinterpret_cast<uint64_t>(workspaces.back().get());
    workspace_ranges.push_back({begin, begin + bytes});
  }
  for (const PlannedLaunch& planned : plan->launches) {
    emulator::Launch launch;
    launch.program = planned.program;
    launch.grid = planned.grid;
    if (confined_) {
      launch.extents = extents_;
      for (const emulator::AddressRange& range : workspace_ranges) launch.extents.push_back(range);
    }
    if (notes_) launch.notes = notes_of(planned, {workspace_ranges.begin(), workspace_ranges.end()});
    for (const ArgumentSlot& slot : planned.slots) {
      switch (slot.source) {
        case ArgumentSlot::Source::tensor:
          launch.arguments.push_back(addresses_[slot.index]);
          break;
        case ArgumentSlot::Source::scalar:
          launch.arguments.push_back(scalars_[slot.index].bits(slot.dtype));
          break;
        case ArgumentSlot::Source::constant:
          launch.arguments.push_back(slot.bits);
          break;
        case ArgumentSlot::Source::workspace:
          launch.arguments.push_back(workspace_ranges[slot.index].begin);
          break;
      }
    }
    submit(device_, std::move(launch));
  }
}

void submit(c10::DeviceIndex device, emulator::Launch&& launch) {
  surfacing_errors([&] { submit_launch(device, current_stream_id(device), std::move(launch)); });
}

void launch_kernel(const KernelId& kernel, std::initializer_list<std::reference_wrapper<const at::TensorBase>> tensors,
                   c10::IntArrayRef sizes, std::initializer_list<ScalarArgument> scalars) {
  KernelCall call(kernel, tensors.begin()->get().device().index());
  for (const at::TensorBase& tensor : tensors) call.tensor(tensor);
  call.sizes(sizes);
  for (const ScalarArgument& scalar : scalars) call.scalar(scalar);
  call.launch();
}

}  // namespace mtia::torch_backend
