"""Device memory: statistics of the caching allocator, what it holds, and giving memory back."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

from mtia_sim import _C
from mtia_sim._utils import _get_device_index
from mtia_sim.initialisation import _lazy_init, is_initialized

# Rows of memory_summary: heading, key of memory_stats, whether the numbers are bytes.
_SUMMARY_ROWS = (
    ("Allocated by tensors", "allocated_bytes", True),
    ("Active", "active_bytes", True),
    ("Requested", "requested_bytes", True),
    ("Reserved from the chip", "reserved_bytes", True),
    ("Free parts of segments", "inactive_split_bytes", True),
    ("Allocations", "allocation", False),
    ("Segments", "segment", False),
)


def memory_stats(device: Any = None) -> "OrderedDict[str, Any]":
    """Statistics of a device's caching allocator, with the keys of torch.cuda.memory_stats; empty before first use."""
    if not is_initialized():
        return OrderedDict()
    flat: dict[str, Any] = {}
    _flatten("", torch._C._accelerator_getDeviceStats(_get_device_index(device, optional=True)), flat)
    return OrderedDict(sorted(flat.items()))


def memory_allocated(device: Any = None) -> int:
    """Bytes that tensors hold now."""
    return int(memory_stats(device).get("allocated_bytes.all.current", 0))


def max_memory_allocated(device: Any = None) -> int:
    """Most bytes that tensors held since the start or reset_peak_memory_stats."""
    return int(memory_stats(device).get("allocated_bytes.all.peak", 0))


def memory_reserved(device: Any = None) -> int:
    """Bytes that the caching allocator holds of the device's memory now."""
    return int(memory_stats(device).get("reserved_bytes.all.current", 0))


def max_memory_reserved(device: Any = None) -> int:
    """Most bytes that the caching allocator held."""
    return int(memory_stats(device).get("reserved_bytes.all.peak", 0))


def reset_peak_memory_stats(device: Any = None) -> None:
    """Sets every peak to the current value."""
    if is_initialized():
        torch._C._accelerator_resetPeakStats(_get_device_index(device, optional=True))


def reset_accumulated_memory_stats(device: Any = None) -> None:
    """Sets the sums of what was allocated and freed to zero."""
    if is_initialized():
        torch._C._accelerator_resetAccumulatedStats(_get_device_index(device, optional=True))


def empty_cache() -> None:
    """Waits for the devices and gives all cached memory without a tensor back to them."""
    if is_initialized():
        torch._C._accelerator_emptyCache()


def flush_cache(device: Any = None, rest_seconds: float = 0.0) -> None:
    """Empties the cache of the chip's shared SRAM in the order of the current stream: what follows finds all its data
    in DRAM, as on a chip that did other work in between. `rest_seconds` of chip time then pass on the stream.
    """
    _lazy_init()
    _C.flush_cache(_get_device_index(device, optional=True), rest_seconds)


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """Free and total bytes of a device's memory."""
    free, total = torch._C._accelerator_getMemoryInfo(_get_device_index(device, optional=True))
    return int(free), int(total)


def snapshot(device: Any = None) -> dict[str, Any]:
    """Segments of the caching allocator with their blocks, and what record_memory_history kept.

    In the form of torch.cuda.memory._snapshot: keys segments, device_traces (a list a device).
    """
    if not is_initialized():
        return {"segments": [], "device_traces": []}
    indices = range(_C.device_count()) if device is None else [_get_device_index(device)]
    return {
        "segments": [segment for index in indices for segment in _C.memory_segments(index)],
        "device_traces": [_C.memory_history(index) for index in indices],
    }


def record_memory_history(enabled: str | None = "all", stacks: str = "python", max_entries: int = 100_000) -> None:
    """Keeps the last `max_entries` allocations and releases of each device for snapshot(); None stops and forgets them.

    Stacks are not recorded: `frames` of every entry is empty.
    """
    for index in range(_C.device_count()):
        _C.record_memory_history(index, max_entries if enabled else 0)


def attach_out_of_memory_observer(observer: Callable[[int, int, int, int], None]) -> None:
    """Calls observer(device, requested bytes, capacity, free bytes) before an OutOfMemoryError is raised."""
    _C.attach_out_of_memory_observer(observer)


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """A table of memory_stats for people; abbreviated leaves out the pools."""
    index = _get_device_index(device, optional=True)
    stats = memory_stats(index)
    pools = ("all",) if abbreviated else ("all", "large_pool", "small_pool")
    rows: list[tuple[str, ...]] = [("", "pool", "current", "peak", "allocated", "freed")]
    for heading, key, is_bytes in _SUMMARY_ROWS:
        for pool in pools:
            values = [stats.get(f"{key}.{pool}.{kind}", 0) for kind in ("current", "peak", "allocated", "freed")]
            text = [_format_bytes(value) if is_bytes else str(value) for value in values]
            rows.append((heading if pool == "all" else "", pool, *text))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"Memory of mtia_sim:{index}; out of memory {stats.get('num_ooms', 0)} times"]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def _flatten(prefix: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(f"{prefix}.{key}" if prefix else key, inner, flat)
    else:
        flat[prefix] = value


def _format_bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
