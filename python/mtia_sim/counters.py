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
        dot_flops; sram_seconds and dram_seconds, which the bytes of these levels take alone at full clock; bytes by
        level; busy: for each unit the fraction of `seconds`, averaged over the processing elements, and for the host
        link.
    """
    _lazy_init()
    counters: dict[str, Any] = _C.perf_counters(_get_device_index(device, optional=True))
    return counters


def reset_perf_counters(device: Any = None) -> None:
    """Sets a device's counters to zero; waits for it first."""
    _lazy_init()
    _C.reset_perf_counters(_get_device_index(device, optional=True))


class kernel_totals:
    """Adds up what each kernel, copy and fill took: `with torch.mtia_sim.kernel_totals() as totals: ...`.

    Args:
        device: A device or its index; None: the current one.
    """

    def __init__(self, device: Any = None) -> None:
        _lazy_init()
        self._index = _get_device_index(device, optional=True)
        self._totals: _C.KernelTotals | None = None

    def __enter__(self) -> "kernel_totals":
        self._totals = _C.KernelTotals(self._index)
        return self

    def __exit__(self, *error: object) -> None:
        if self._totals is not None:
            self._totals.stop()

    def by_name(self) -> dict[str, dict[str, Any]]:
        """By kernel, most seconds first: count, seconds (chip time on the grid or the host link), joules,
        dynamic_joules, full_clock_seconds and full_clock_dynamic_joules (without a power limit), flops, dot_flops,
        local_memory_bytes, sram_bytes and dram_bytes, sram_seconds and dram_seconds that they take alone, and
        busy_seconds: by unit, averaged over the processing elements. Waits for the device.
        """
        result: dict[str, dict[str, Any]] = {}
        for row in self.rows():
            del row["purpose"]
            add_row(result.setdefault(row.pop("name"), {}), row)
        return dict(sorted(result.items(), key=lambda item: -item[1]["seconds"]))

    def rows(self) -> list[dict[str, Any]]:
        """As by_name, a row for each pair of a purpose (a number of `_C.set_purpose`) and a name."""
        if self._totals is None:
            return []
        _C.synchronize(self._index)
        return self._totals.contents()


def add_row(sums: dict[str, Any], row: dict[str, Any]) -> None:
    """Adds a row of totals to others, field by field."""
    for name, value in row.items():
        if isinstance(value, dict):
            add_row(sums.setdefault(name, {}), value)
        else:
            sums[name] = sums.get(name, 0) + value


def fallbacks() -> dict[str, int]:
    """Operators that ran on the CPU because MTIA_SIM_CPU_FALLBACK=1 allowed it, and how often."""
    counts = getattr(_C, "fallback_counts", None)
    return dict(counts()) if counts is not None else {}
