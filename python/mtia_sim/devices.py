"""Devices: how many, which is current, what their chip can do."""

import dataclasses
import os
from typing import Any

import torch

from mtia_core import chips
from mtia_core.chips import Chip
from mtia_core.errors import InvalidArgument
from mtia_sim import _C
from mtia_sim._utils import _get_device_index
from mtia_sim.checking import warn_of_findings
from mtia_sim.initialisation import _configure, _lazy_init

# Multiply-accumulates per cycle of the dot product engine by operand dtype; float32 operands go in whole, not as tf32.
_DOT_FIELDS = {
    torch.float4_e2m1fn_x2: "dot_f4_macs_per_cycle",
    torch.int8: "dot_i8_macs_per_cycle",
    torch.float8_e4m3fn: "dot_f8_macs_per_cycle",
    torch.float8_e5m2: "dot_f8_macs_per_cycle",
    torch.float16: "dot_f16_macs_per_cycle",
    torch.bfloat16: "dot_f16_macs_per_cycle",
    torch.float32: "dot_f32_macs_per_cycle",
    torch.float64: "dot_f64_macs_per_cycle",
}


CAPABILITY = "MTIA_SIM_CAPABILITY"


@dataclasses.dataclass(frozen=True)
class DeviceProperties:
    """What a chip offers; sizes in bytes, rates in 1/s.

    The last group has the names of torch.cuda's properties, for code that tunes itself by them: a PE is a
    multiprocessor, its local memory shared memory, and the SRAM's part that caches DRAM the L2. A PE runs one program
    at a time, as one thread, and has no file of registers: these numbers are the largest that a launch may ask for.
    """

    name: str
    total_memory: int
    multi_processor_count: int  # processing elements
    local_memory_per_processing_element: int
    shared_sram: int
    clock_rate: float
    memory_bandwidth: float
    host_link_bandwidth: float
    peak_flops: dict[torch.dtype, float]  # of the dot product engines, dense; absent where the chip lacks the dtype
    typical_watts: float
    major: int  # MTIA_SIM_CAPABILITY, or of the tile instruction set
    minor: int

    shared_memory_per_block: int
    shared_memory_per_block_optin: int
    shared_memory_per_multiprocessor: int
    L2_cache_size: int
    regs_per_multiprocessor: int = 65536
    warp_size: int = 1
    max_threads_per_block: int = 1024
    max_threads_per_multi_processor: int = 2048


def device_count() -> int:
    """Number of devices: MTIA_SIM_DEVICE_COUNT, or 2."""
    return int(_C.device_count())


def is_available() -> bool:
    """Whether there is a device; True unless MTIA_SIM_DEVICE_COUNT is wrong."""
    return device_count() > 0


def current_device() -> int:
    """Index of the device on which this thread makes tensors."""
    return int(_C.current_device())


def set_device(device: Any) -> None:
    """Makes a device the current one of this thread; a negative index changes nothing.

    Initialises the device, as elsewhere: fake tensors without an index are on the current device only from then on.
    """
    index = _get_device_index(device)
    if index >= 0:
        _lazy_init()
        _C.set_device(index)


def exchange_device(device: int) -> int:
    """Makes a device the current one and returns the former; a negative index only returns it."""
    return int(_C.exchange_device(device)) if device >= 0 else current_device()


def maybe_exchange_device(device: int) -> int:
    """As exchange_device."""
    return exchange_device(device)


class device:
    """Context manager that makes a device the current one; None or a negative index changes nothing."""

    def __init__(self, device: Any) -> None:
        self.idx = _get_device_index(device, optional=True)
        self.prev_idx = -1

    def __enter__(self) -> None:
        self.prev_idx = exchange_device(self.idx)

    def __exit__(self, *error: object) -> None:
        self.idx = exchange_device(self.prev_idx)


class device_of(device):
    """Context manager that makes the device of a tensor the current one; a tensor elsewhere changes nothing."""

    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__(tensor.get_device() if tensor.device.type == "mtia_sim" else -1)


def synchronize(device: Any = None) -> None:
    """Waits for all work of a device.

    Raises:
        MtiaError: The first failure of asynchronous work since the last such call, with kernel and source line.
    """
    _lazy_init()
    try:
        _C.synchronize(_get_device_index(device, optional=True))
    finally:
        if _C.is_checking():
            warn_of_findings()


def get_device_properties(device: Any = None) -> DeviceProperties:
    """Properties of a device's chip. All devices of a process have the same one."""
    _check_index(device)
    chip = chips.load()
    elements = chip.processing_elements
    major, minor = _capability()
    return DeviceProperties(
        name=chip.name,
        total_memory=chip.dram_bytes,
        multi_processor_count=elements,
        local_memory_per_processing_element=chip.local_memory_bytes,
        shared_sram=chip.sram_bytes,
        clock_rate=chip.clock_hz,
        memory_bandwidth=chip.dram_bytes_per_second,
        host_link_bandwidth=chip.host_link_bytes_per_second,
        peak_flops=_peak_flops(chip),
        typical_watts=chip.typical_watts,
        major=major,
        minor=minor,
        shared_memory_per_block=chip.local_memory_bytes,
        shared_memory_per_block_optin=chip.local_memory_bytes,
        shared_memory_per_multiprocessor=chip.local_memory_bytes,
        L2_cache_size=chip.sram_cache_bytes,
    )


def get_device_name(device: Any = None) -> str:
    """Name of a device's chip, such as "mtia300"."""
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Version of the tile instruction set that a device runs: major, minor.

    MTIA_SIM_CAPABILITY=9.0 makes it (9, 0), for suites that skip what they take a GPU of lower capability not to have.
    """
    properties = get_device_properties(device)
    return properties.major, properties.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """True: every chip computes in bfloat16."""
    return True


def set_chip(chip: str | os.PathLike[str]) -> None:
    """Chooses the chip by name or file, as MTIA_SIM_CHIP does, before the first tensor.

    Raises:
        InvalidChip: No such chip, or a wrong file.
        InvalidArgument: A device is already in use.
    """
    loaded = chips.load(chip)
    former = os.environ.get(chips.VARIABLE)
    os.environ[chips.VARIABLE] = os.fspath(chip)
    if not _C.is_configured():
        return
    try:
        _configure()
    except Exception:
        if former is None:
            del os.environ[chips.VARIABLE]
        else:
            os.environ[chips.VARIABLE] = former
        if former is not None and chips.load(former) == loaded:
            return
        raise


def _capability() -> tuple[int, int]:
    text = os.environ.get(CAPABILITY, "")
    if not text:
        return 1, 0
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise InvalidArgument(f"{CAPABILITY} is {text!r}", remedy="give major and minor version, such as 9.0")
    return int(major), int(minor)


def _peak_flops(chip: Chip) -> dict[torch.dtype, float]:
    rates = {dtype: getattr(chip, field) for dtype, field in _DOT_FIELDS.items()}
    return {dtype: 2.0 * rate * chip.processing_elements * chip.clock_hz for dtype, rate in rates.items() if rate > 0}


def _check_index(device: Any) -> None:
    index = _get_device_index(device, optional=True)
    if not 0 <= index < device_count():
        raise ValueError(f"mtia_sim has no device {index}: there are {device_count()} (MTIA_SIM_DEVICE_COUNT)")
