// Copies as ATen asks for them: between host and device, between devices, on one device; conversions of dtype and
// layout.
#include <ATen/core/Tensor.h>
#include <ATen/ops/conj_physical.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/neg.h>
#include <torch/library.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "emulator/checks/locations.h"
#include "runtime/checking.h"
#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/memory/address.h"
#include "torch_backend/memory/copy.h"
#include "torch_backend/memory/host_allocator.h"
#include "torch_backend/memory/pinned_arena.h"
#include "torch_backend/memory/pinned_watch.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {
namespace {

at::Tensor empty_like_on(const at::Tensor& tensor, at::ScalarType dtype, c10::Device device) {
  return at::empty_strided(tensor.sizes(), tensor.strides(),
                           tensor.options().dtype(dtype).device(device).pinned_memory(false));
}

at::Tensor empty_contiguous_on(const at::Tensor& tensor, at::ScalarType dtype, c10::Device device) {
  return at::empty(tensor.sizes(), tensor.options().dtype(dtype).device(device).pinned_memory(false));
}

// What host code does with pinned memory comes after the copies that were asked for before: they may yet write what it
// reads, or read what it writes.
void wait_for_copies_of(const at::Tensor& host) {
  surfacing_errors([&] { wait_for_pinned(host.const_data_ptr()); });
}

// What pinned memory holds is read at each replay, other memory now.
void capture_send(GraphCapture& capture, runtime::StreamId stream, uint64_t address, const at::Tensor& host,
                  bool reads_at_replay) {
  const at::Tensor kept = reads_at_replay ? host : host.clone();
  const auto owner = std::make_shared<at::Tensor>(kept);
  capture.add(concat("copy of ", host.nbytes(), " bytes from the host"), stream,
              [=](runtime::Device& device, runtime::StreamId on) {
                const void* source = device_view(owner->const_data_ptr());
                device.copy_to_device_owned(on, address, std::shared_ptr<const void>(owner, source), owner->nbytes());
              });
}

// Moves the bytes of two tensors of one dtype and dense layout. `host_is_ours`: nobody else can write the host tensor
// any more.
void send(const at::Tensor& device_tensor, const at::Tensor& host, bool host_is_ours, bool non_blocking) {
  const c10::DeviceIndex index = device_tensor.device().index();
  runtime::Device& device = device_of(index);
  const runtime::StreamId stream = current_stream_id(index);
  const uint64_t address = address_of(device_tensor);
  const void* source = device_view(host.const_data_ptr());
  if (GraphCapture* capture = capture_on(index)) [[unlikely]]
    return capture_send(*capture, stream, address, host, non_blocking && is_pinned(host.const_data_ptr()));
  surfacing_errors([&] {
    if (host_is_ours) {
      auto owner = std::make_shared<at::Tensor>(host);
      device.copy_to_device_owned(stream, address, std::shared_ptr<const void>(owner, source), host.nbytes());
    } else if (non_blocking && is_pinned(host.const_data_ptr())) {
      const runtime::Ticket ticket = device.copy_to_device_async(stream, address, source, host.nbytes());
      use_pinned(host.const_data_ptr(), index, ticket);
      if (runtime::is_checking()) watch_pinned(host, PinnedUse::read_by_device, index, ticket);
    } else if (is_pinned_in_use(host.const_data_ptr())) {
      // A copy before this one may yet write what this one reads.
      device.copy_to_device_in_order(stream, address, source, host.nbytes());
    } else {
      device.copy_to_device(stream, address, source, host.nbytes());
    }
  });
}

// A device in timing mode does not know the values that the host was given: zeros.
void tell_of_unknown(const char* what) {
  const std::string line = emulator::location_text(runtime::present_location());
  const std::string where = line.empty() ? std::string(what) : mtia::concat(what, ", called at ", line);
  const char* strict = std::getenv("MTIA_SIM_TIMING_STRICT");
  if (strict != nullptr && *strict != '\0' && std::string_view(strict) != "0") {
    throw Unsupported("the host asks for a value that timing mode does not know", where,
                      "leave MTIA_SIM_TIMING_STRICT out to go on with 0, or run in functional mode");
  }
  TORCH_WARN_ONCE(where,
                  ": the host asks for a value that timing mode does not know and is given 0; this is said once, "
                  "torch.mtia_sim.timing_summary() counts how often, MTIA_SIM_TIMING_STRICT=1 raises instead");
}

void receive(const at::Tensor& host, const at::Tensor& device_tensor, bool non_blocking, const char* what = "a copy") {
  const c10::DeviceIndex index = device_tensor.device().index();
  runtime::Device& device = device_of(index);
  const runtime::StreamId stream = current_stream_id(index);
  check_not_capturing(index, what, "read what the graph computed after replay()");
  void* destination = device_view(host.mutable_data_ptr());
  surfacing_errors([&] {
    const bool pinned = is_pinned(host.const_data_ptr());
    if (pinned && runtime::is_checking()) unwatch_pinned(host.const_data_ptr(), host.nbytes());
    const uint64_t unknown = device.unknown_reads();
    if (non_blocking && pinned) {
      const runtime::Ticket ticket =
          device.copy_from_device_async(stream, destination, address_to_read(device_tensor), host.nbytes());
      use_pinned(host.const_data_ptr(), index, ticket);
      if (runtime::is_checking()) watch_pinned(host, PinnedUse::written_by_device, index, ticket);
      // Waits on the host alone, to tell of unknown values at the line that asks for them: chip time goes on as ever.
      if (device.mode() == runtime::Mode::timing) device.wait(ticket);
    } else {
      device.copy_from_device(stream, destination, address_to_read(device_tensor), host.nbytes());
    }
    if (device.unknown_reads() != unknown) [[unlikely]]
      tell_of_unknown(what);
  });
}

void copy_host_to_device(const at::Tensor& destination, const at::Tensor& source, bool non_blocking) {
  const at::ScalarType dtype = destination.scalar_type();
  if (!destination.is_non_overlapping_and_dense()) {
    // The host cannot write strided device memory: the values arrive dense and a kernel spreads them.
    const at::Tensor dense = empty_contiguous_on(source, dtype, destination.device());
    copy_host_to_device(dense, source, non_blocking);
    return copy_on_device(destination, dense.expand(destination.sizes()));
  }
  if (source.scalar_type() == dtype && have_same_dense_layout(destination, source))
    return send(destination, source, false, non_blocking);
  at::Tensor host = empty_like_on(destination, dtype, c10::kCPU);
  wait_for_copies_of(source);
  host.copy_(source);
  send(destination, host, true, non_blocking);
}

void copy_device_to_host(const at::Tensor& destination, const at::Tensor& source, bool non_blocking) {
  const at::Tensor dense = source.is_non_overlapping_and_dense() ? source : source.contiguous();
  if (dense.scalar_type() == destination.scalar_type() && have_same_dense_layout(destination, dense)) {
    return receive(destination, dense, non_blocking);
  }
  const at::Tensor host = empty_like_on(dense, dense.scalar_type(), c10::kCPU);
  receive(host, dense, false);
  wait_for_copies_of(destination);
  destination.copy_(host);
}

void copy_device_to_device(const at::Tensor& destination, const at::Tensor& source) {
  if (destination.device() == source.device()) return copy_on_device(destination, source.expand(destination.sizes()));
  // The source device converts and packs, the link carries bytes, the destination device unpacks.
  const bool is_ready =
      source.scalar_type() == destination.scalar_type() && have_same_dense_layout(destination, source);
  if (!is_ready) {
    const at::Tensor packed = empty_contiguous_on(source, destination.scalar_type(), source.device());
    copy_on_device(packed, source);
    const at::Tensor arrived = empty_contiguous_on(source, destination.scalar_type(), destination.device());
    copy_device_to_device(arrived, packed);
    return copy_on_device(destination, arrived.expand(destination.sizes()));
  }
  const c10::DeviceIndex to = destination.device().index();
  const c10::DeviceIndex from = source.device().index();
  for (const c10::DeviceIndex index : {to, from})
    check_not_capturing(index, "a copy between devices", "copy outside of the graph");
  surfacing_errors([&] {
    runtime::copy_between_devices(device_of(to), current_stream_id(to), address_of(destination), device_of(from),
                                  current_stream_id(from), address_to_read(source), source.nbytes());
    // A device in functional mode goes on with the zeros that it is given, as the host does.
    if (device_of(to).mode() == runtime::Mode::timing ||
        device_of(from).knows(address_to_read(source), source.nbytes()))
      return;
    device_of(from).count_unknown_read();
    tell_of_unknown("a copy to a device in functional mode");
  });
}

// A lazily conjugated or negated source, with the operation carried out where it lies.
at::Tensor resolved(const at::Tensor& tensor) {
  at::Tensor result = tensor;
  if (tensor.is_cpu() && (tensor.is_conj() || tensor.is_neg())) wait_for_copies_of(tensor);
  if (result.is_conj()) result = at::conj_physical(result.conj());
  if (result.is_neg()) result = at::neg(result._neg_view());
  return result;
}

at::Tensor copy_from(const at::Tensor& self, const at::Tensor& destination, bool non_blocking) {
  if (self.is_sparse() || destination.is_sparse() || self.is_meta()) {
    throw_for_python(Unimplemented(concat("a copy from ", self.toString(), " to ", destination.toString()), "copy_",
                                   "convert to a dense tensor first"));
  }
  if (destination.numel() == 0) {
    (void)self.expand(destination.sizes());  // throws where the shapes do not fit
    return destination;
  }
  if (destination.is_conj()) {
    copy_from(self.conj(), destination.conj(), non_blocking);
    return destination;
  }
  if (destination.is_neg()) {
    copy_from(self._neg_view(), destination._neg_view(), non_blocking);
    return destination;
  }
  const at::Tensor source = resolved(self);
  const bool from_device = source.device().type() == device_type;
  const bool to_device = destination.device().type() == device_type;
  if (from_device && to_device) {
    copy_device_to_device(destination, source);
  } else if (to_device && source.is_cpu()) {
    copy_host_to_device(destination, source, non_blocking);
  } else if (from_device && destination.is_cpu()) {
    copy_device_to_host(destination, source, non_blocking);
  } else {
    throw_for_python(Unsupported(concat("a copy from ", source.device().str(), " to ", destination.device().str()),
                                 "copy_", "copy through the CPU"));
  }
  return destination;
}

at::Tensor copy_from_and_resize(const at::Tensor& self, const at::Tensor& destination) {
  destination.resize_(self.sizes());
  return copy_from(self, destination, false);
}

at::Scalar local_scalar_dense(const at::Tensor& self) {
  TORCH_CHECK(self.numel() > 0, "_local_scalar_dense: Empty tensor not supported");
  const at::Tensor source = resolved(self);
  const at::Tensor host = at::empty({}, source.options().device(c10::kCPU));
  receive(host, source, false, "item");
  return host.item();
}

}  // namespace

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("_copy_from", TORCH_FN(copy_from));
  library.impl("_copy_from_and_resize", TORCH_FN(copy_from_and_resize));
  library.impl("_local_scalar_dense", TORCH_FN(local_scalar_dense));
}

// copy_from resolves lazy conjugates and signs itself; torch's fallbacks would copy to do so, and call it again.
TORCH_LIBRARY_IMPL(aten, Conjugate, library) { library.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, Negative, library) { library.impl("_copy_from", torch::CppFunction::makeFallthrough()); }

}  // namespace mtia::torch_backend
