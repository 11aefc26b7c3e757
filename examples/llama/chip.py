"""Chip time and energy of the training steps, where the device's module counts them (perf_counters)."""

import dataclasses
from contextlib import nullcontext
from typing import Any

import torch

Counters = dict[str, Any]
PEAK_DTYPE = {"float32": torch.float32, "bfloat16": torch.bfloat16, "amp": torch.bfloat16}


@dataclasses.dataclass
class ChipUse:
    """Sums over the steps measured so far.

    `busy_seconds` is by unit, averaged over the chip's units of a kind; `by_level` bytes by level of memory;
    `by_kernel` seconds, joules, operations and bytes of each kernel and copy.
    """

    seconds: float = 0.0
    joules: float = 0.0
    busy_seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    by_level: dict[str, int] = dataclasses.field(default_factory=dict)
    by_kernel: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def add(self, before: Counters, after: Counters) -> None:
        self.seconds += after["seconds"] - before["seconds"]
        self.joules += after["joules"] - before["joules"]
        for unit, fraction in after["busy"].items():
            busy = fraction * after["seconds"] - before["busy"].get(unit, 0.0) * before["seconds"]
            self.busy_seconds[unit] = self.busy_seconds.get(unit, 0.0) + busy
        for level, moved in after["bytes"].items():
            self.by_level[level] = self.by_level.get(level, 0) + moved - before["bytes"].get(level, 0)

    def add_kernels(self, totals: dict[str, dict[str, Any]]) -> None:
        for kernel, total in totals.items():
            add_up(self.by_kernel.setdefault(kernel, {}), total)

    def busy(self) -> dict[str, float]:
        """Fraction of the measured time that each unit was busy."""
        return {unit: busy / self.seconds if self.seconds else 0.0 for unit, busy in self.busy_seconds.items()}


def add_up(sums: dict[str, Any], row: dict[str, Any]) -> None:
    """Adds the numbers of a row, and of the rows in it, to others."""
    for name, value in row.items():
        if isinstance(value, dict):
            add_up(sums.setdefault(name, {}), value)
        else:
            sums[name] = sums.get(name, 0) + value


class Chip:
    """What a device's module tells of its chip; a device without perf_counters, such as the CPU, tells nothing."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._module = torch.get_device_module(device)
        self.counts = hasattr(self._module, "perf_counters")

    def counters(self) -> Counters | None:
        """The chip's accounts up to now; waits for the device."""
        if not self.counts:
            return None
        self.synchronize()
        counters: Counters = self._module.perf_counters()
        return counters

    def synchronize(self) -> None:
        self._module.synchronize()

    def name(self) -> str | None:
        return self._properties().name if self.counts else None

    def peak_flops(self, dtype: str) -> float | None:
        """FLOP/s of the chip's matrix units for an option of --dtype; None where the device does not say."""
        peaks = getattr(self._properties(), "peak_flops", None) if self.counts else None
        if not peaks:
            return None
        by_name = {str(key).removeprefix("torch."): value for key, value in peaks.items()}
        peak: float | None = by_name.get(str(PEAK_DTYPE[dtype]).removeprefix("torch."))
        return peak

    def kernel_totals(self) -> Any:
        """A context manager that adds up what each kernel takes; one without totals where the device has none."""
        totals = getattr(self._module, "kernel_totals", None)
        return nullcontext() if totals is None else totals()

    def stand_in_fraction(self) -> float | None:
        """Of the chip time so far, the part that rests on values which timing mode does not know."""
        summary = getattr(self._module, "timing_summary", None)
        seconds = self.counters()["seconds"] if self.counts else 0.0
        return None if summary is None or not seconds else summary()["stand_in_seconds"] / seconds

    def fallbacks(self) -> dict[str, int]:
        """Operators that ran on the CPU in place of the device, with their counts."""
        listed = getattr(self._module, "fallbacks", None)
        return dict(listed()) if listed is not None else {}

    def peak_memory_bytes(self) -> int:
        """Most bytes held on the device; for the CPU, most bytes of the process."""
        if hasattr(self._module, "max_memory_allocated"):
            return int(self._module.max_memory_allocated())
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def random_state(self) -> torch.Tensor | None:
        """State of the device's own generator; None where it has none besides the CPU's."""
        return self._module.get_rng_state() if hasattr(self._module, "get_rng_state") else None

    def set_random_state(self, state: torch.Tensor) -> None:
        if hasattr(self._module, "set_rng_state"):
            self._module.set_rng_state(state)

    def _properties(self) -> Any:
        return self._module.get_device_properties(self._device)
