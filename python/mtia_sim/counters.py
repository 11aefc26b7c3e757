"""What the chip did: time, energy, operations and bytes of every launch and copy, and operators that ran on the CPU."""

from typing import Any

from mtia_sim import _C
from mtia_sim._utils import _get_device_index
from mtia_sim.initialisation import _lazy_init


def perf_counters(device: Any = None) -> dict[str, Any]:
    """What a device did since its start or the last reset; waits for it first.

    Returns:
        launches, copies, instructions, cycles; seconds (chip time of all launches, one after the other),
        elapsed_seconds (chip time with streams and the host link side by side), joules, dynamic_joules, flops,
        dot_flops; bytes by level; busy: for each unit the fraction of `seconds`, averaged over the processing
        elements, and for the host link.
    """
    _lazy_init()
    counters: dict[str, Any] = _C.perf_counters(_get_device_index(device, optional=True))
    return counters


def reset_perf_counters(device: Any = None) -> None:
    """Sets a device's counters to zero; waits for it first."""
    _lazy_init()
    _C.reset_perf_counters(_get_device_index(device, optional=True))


def fallbacks() -> dict[str, int]:
    """Operators that ran on the CPU because MTIA_SIM_CPU_FALLBACK=1 allowed it, and how often."""
    counts = getattr(_C, "fallback_counts", None)
    return dict(counts()) if counts is not None else {}
