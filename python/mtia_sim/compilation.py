"""torch.compile: Inductor's Triton code generator on mtia_sim.

Inductor asks a device module for Scheduling, PythonWrapperCodegen and CppWrapperCodegen before it compiles its first
graph (torch/_inductor/codegen/common.py, init_backend_registration); only then is this module imported, and with it
torch._inductor.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from torch._dynamo.device_interface import DeviceInterface, register_interface_for_device
from torch._inductor.codegen.common import DeviceOpOverrides, register_device_op_overrides
from torch._inductor.codegen.cpp_wrapper_gpu import CppWrapperGpu
from torch._inductor.codegen.triton import TritonScheduling
from torch._inductor.codegen.wrapper import PythonWrapperCodegen
from torch._inductor.codegen.wrapper_fxir import WrapperFxCodegen
from torch._inductor.runtime.benchmarking import register_benchmarker

from mtia_core import chips
from mtia_sim import _C, devices, memory, streams

__all__ = ["CppWrapperCodegen", "PythonWrapperCodegen", "Scheduling", "WrapperFxCodegen"]

_OF_THREADS = ("regs_per_multiprocessor", "warp_size", "max_threads_per_block", "max_threads_per_multi_processor")
Scheduling = TritonScheduling
CppWrapperCodegen = CppWrapperGpu


class MtiaSimInterface(DeviceInterface):
    """What dynamo and Inductor ask of a device."""

    device = devices.device
    Event = streams.Event
    Stream = streams.Stream

    class Worker:
        """The processes that compile kernels: they only need properties, which do not touch the device."""

        current_device = staticmethod(devices.current_device)
        set_device = staticmethod(devices.set_device)

        @staticmethod
        def get_device_properties(device: Any = None) -> Any:
            """Without the properties that make Inductor size its blocks for the threads of a GPU."""
            known = vars(devices.get_device_properties(device))
            return SimpleNamespace(**{name: value for name, value in known.items() if name not in _OF_THREADS})

    current_device = staticmethod(devices.current_device)
    set_device = staticmethod(devices.set_device)
    exchange_device = staticmethod(devices.exchange_device)
    maybe_exchange_device = staticmethod(devices.maybe_exchange_device)
    device_count = staticmethod(devices.device_count)
    is_available = staticmethod(devices.is_available)
    stream = staticmethod(streams.stream)
    current_stream = staticmethod(streams.current_stream)
    set_stream = staticmethod(streams.set_stream)
    synchronize = staticmethod(devices.synchronize)
    memory_allocated = staticmethod(memory.memory_allocated)
    is_bf16_supported = staticmethod(devices.is_bf16_supported)

    @staticmethod
    def get_raw_stream(device_idx: int) -> int:
        return int(_C.current_stream_id(device_idx))

    @staticmethod
    def get_compute_capability(device: Any = None) -> str:
        """The chip by name or file: the architecture of a Triton target."""
        return os.environ.get(chips.VARIABLE) or chips.DEFAULT

    @staticmethod
    def is_triton_capable(device: Any = None) -> bool:
        return True

    @staticmethod
    def raise_if_triton_unavailable(device: Any = None) -> None:
        import triton.backends

        if "mtia_sim" not in triton.backends.backends:
            raise RuntimeError("triton does not see the backend mtia_sim; TRITON_BACKENDS_IN_TREE=1 hides it")


class MtiaSimOperations(DeviceOpOverrides):
    """Lines of Inductor's wrapper that name the device."""

    def import_get_raw_stream_as(self, name: str) -> str:
        return f"from mtia_sim._C import current_stream_id as {name}"

    def set_device(self, device_idx: int) -> str:
        return f"torch.mtia_sim.set_device({device_idx})"

    def synchronize(self) -> str:
        return "torch.mtia_sim.synchronize()"

    def device_guard(self, device_idx: int) -> str:
        return f"torch.mtia_sim.device({device_idx})"

    def current_stream(self) -> str:
        return "torch.mtia_sim.current_stream()"


def benchmark(_benchmarker: object, call: Callable[[], object], **_: object) -> float:
    """Milliseconds of chip time of a call that finds its data in the SRAM; it repeats exactly, so that one says it."""
    begin, end = streams.Event(enable_timing=True), streams.Event(enable_timing=True)
    call()
    begin.record()
    call()
    end.record()
    devices.synchronize()
    return float(begin.elapsed_time(end))


def _register() -> None:
    register_benchmarker("mtia_sim", benchmark)
    register_device_op_overrides("mtia_sim", MtiaSimOperations())
    register_interface_for_device("mtia_sim", MtiaSimInterface)
    for index in range(devices.device_count()):
        register_interface_for_device(f"mtia_sim:{index}", MtiaSimInterface)


_register()
