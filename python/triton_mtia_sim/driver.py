"""The driver that Triton finds through its entry point. mtia_sim registers what runs programs when it is imported."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

if "triton" not in sys.modules:
    # Whoever imports this module first makes triton's plugin search import it again, whole: that one is to stay.
    _unfinished = sys.modules.pop(__name__)
    importlib.import_module("triton")
    sys.modules.setdefault(__name__, _unfinished)

import triton.backends
from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

import triton_mtia_sim
from triton_mtia_sim import versions
from triton_mtia_sim.moved_sources import relocate_program, source_of

versions.refusal()  # says so at import, once

_NO_THREAD_LIMIT = 1 << 30
_REST_SECONDS = 0.01
_REGISTERS = 32  # a PE has none to run out of; kernels divide by the number


class Runtime(Protocol):
    """What mtia_sim provides at its import (see docs/architecture.md, launch from Python)."""

    def chip_name(self) -> str: ...

    def current_device(self) -> int: ...

    def current_stream(self, device: int) -> int: ...

    def device_interface(self) -> Any: ...

    def torch_device(self, index: int) -> Any: ...

    def load_program(self, program: bytes) -> Any: ...

    def make_launcher(self, codes: str) -> Callable[..., None]: ...


_runtime: Runtime | None = triton_mtia_sim.offered_runtime
_drivers: list["MtiaDriver"] = []


def register_runtime(runtime: Runtime) -> None:
    """Called by mtia_sim at its import."""
    global _runtime
    _runtime = runtime
    for driver in _drivers:
        driver.bind(runtime)


def runtime() -> Runtime:
    """The registered runtime."""
    if _runtime is None:
        raise RuntimeError(
            "no mtia_sim device is loaded; `import torch` loads it, or `import mtia_sim` where autoload is off"
        )
    return _runtime


_BUS_BYTES = 128


class MtiaUtils:
    """What Triton asks of a device."""

    source: str | None = None  # file of the kernel that is loaded next

    def get_device_properties(self, device: int) -> dict[str, int]:
        """Local memory of a PE is what Triton calls shared memory, a PE is its multiprocessor."""
        from mtia_core import chips

        chip = chips.load(runtime().chip_name())
        return {
            "max_shared_mem": chip.local_memory_bytes,
            "max_num_regs": 65536,
            "multiprocessor_count": chip.processing_elements,
            "warpSize": 1,
            # In kHz and bits, so that triton.testing's formulas give the chip's bandwidth: twice clock times width.
            "sm_clock_rate": round(chip.clock_hz / 1e3),
            "mem_clock_rate": round(chip.dram_bytes_per_second / (2 * _BUS_BYTES) / 1e3),
            "mem_bus_width": 8 * _BUS_BYTES,
        }

    def load_binary(self, name: str, kernel: bytes, shared: int, device: int) -> tuple[Any, Any, int, int, int]:
        """Module, function, registers, spills, most threads."""
        handle = runtime().load_program(relocate_program(kernel, self.source))
        return handle, handle, _REGISTERS, 0, _NO_THREAD_LIMIT

    def unload_module(self, module: Any) -> None:
        """A program goes with its last reference."""


class MtiaDriver(DriverBase):  # type: ignore[misc]
    """Active where mtia_sim is installed and no other driver is."""

    def __init__(self) -> None:
        super().__init__()
        self.utils = MtiaUtils()
        self.target: GPUTarget | None = None
        self.get_current_device: Callable[[], int] = lambda: runtime().current_device()
        self.get_current_stream: Callable[[int], int] = lambda device: runtime().current_stream(device)
        self._take_over_graph_benchmark()
        _drivers.append(self)
        if _runtime is not None:
            self.bind(_runtime)

    def _take_over_graph_benchmark(self) -> None:
        from triton.runtime import driver

        from triton_mtia_sim import graph_benchmark

        graph_benchmark.install(lambda: isinstance(driver.active, MtiaDriver), self.get_device_interface)

    def bind(self, registered: Runtime) -> None:
        """Calls the runtime without a detour."""
        self.get_current_device = registered.current_device
        self.get_current_stream = registered.current_stream

    _asking = False

    @classmethod
    def is_active(cls) -> bool:
        """Where TRITON_DEFAULT_BACKEND asks for it, or where no other driver is: a real device goes first."""
        if versions.refusal() is not None or importlib.util.find_spec("mtia_sim") is None:
            return False
        if os.environ.get("TRITON_DEFAULT_BACKEND") == "mtia_sim":
            return True
        if cls._asking:  # by a driver that gives way to others just as this one does
            return False
        cls._asking = True
        try:
            others = (backend.driver for backend in triton.backends.backends.values() if backend.driver is not cls)
            return not any(driver.is_active() for driver in others)
        finally:
            cls._asking = False

    def get_current_target(self) -> GPUTarget:
        chip = runtime().chip_name()
        if self.target is None or self.target.arch != chip:
            self.target = GPUTarget("mtia_sim", chip, 1)
        return self.target

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        """A callable that packs arguments and launches."""
        from triton_mtia_sim.launch_codes import launch_codes

        self.utils.source = source_of(source)  # Triton loads the program once it has the launcher
        codes = launch_codes(source.signature.values())
        return runtime().make_launcher("!" + codes if metadata.makes_pointers else codes)

    def map_python_to_cpp_type(self, ty: str) -> str:
        """C++ type of a launch argument of a Triton type."""
        if ty.startswith("*"):
            return "uint64_t"
        return {"fp16": "uint16_t", "bf16": "uint16_t", "fp32": "float", "fp64": "double"}.get(
            ty, f"{'u' if ty.startswith('u') else ''}int{ty.lstrip('iu')}_t" if ty[1:] != "1" else "bool"
        )

    def get_active_torch_device(self) -> Any:
        return runtime().torch_device(runtime().current_device())

    def get_device_interface(self) -> Any:
        """torch.mtia_sim: its events carry chip time."""
        return runtime().device_interface()

    def get_benchmarker(self) -> Callable[..., Any]:
        """What an autotuner measures with."""
        return self.benchmark

    def benchmark(self, call: Callable[[], Any], quantiles: Sequence[float] | None = None, **_: Any) -> Any:
        """Milliseconds of chip time of one call that finds nothing in the SRAM's cache: a list, one a quantile, or a
        number. Chip time repeats exactly, so that one run says what do_bench's hundreds would.
        """
        interface = self.get_device_interface()
        begin, end = interface.Event(enable_timing=True), interface.Event(enable_timing=True)
        interface.flush_cache()
        begin.record()
        call()
        end.record()
        interface.synchronize()
        milliseconds = begin.elapsed_time(end)
        return milliseconds if quantiles is None else [milliseconds] * len(quantiles)

    def get_empty_cache_for_benchmark(self) -> None:
        """There is no buffer to overwrite: see clear_cache."""

    def clear_cache(self, cache: None) -> None:
        """Empties the SRAM's cache between the runs of triton.testing.do_bench.

        do_bench repeats a call until so many milliseconds have passed, on this chip's clock: thousands of calls of some
        microseconds, each far longer on the host. The clock repeats exactly, so the chip rests between two runs,
        outside of what is measured, and the default of 100 ms makes nine.
        """
        self.get_device_interface().flush_cache(rest_seconds=_REST_SECONDS)


versions.keep_concrete(MtiaDriver)
