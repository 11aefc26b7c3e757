"""How wide an answer is: assumed numbers of a chip varied over what a measurement added up.

A kernel takes as long as what works longest in it (a unit, the SRAM, the DRAM), and then waits: for latency, and for
its own results. Its energy is operations and bytes at each level, and idle and clock power over the time; where the
mean of a step would exceed the power limit, the kernels above it run at a lower clock
(csrc/emulator/timing/power_limit.h). So a chip with another rate or energy is costed from the sums of a run, without
running it again: exact where the same part of the chip stays the slowest and overlaps as before. `tests/mtia_sim/study`
holds that estimate against reruns.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtia_core.chips import Chip
from mtia_sim import _C

# Fields by what of a kernel they scale: {field: part}, the part's time going as 1 / field or as field.
_RATES = {
    "vector_8bit_elements_per_cycle": "vector_core",
    "vector_16bit_elements_per_cycle": "vector_core",
    "vector_bf16_elements_per_cycle": "vector_core",
    "vector_32bit_elements_per_cycle": "vector_core",
    "simd_elements_per_cycle": "simd_engine",
    "reduction_elements_per_cycle": "reduction_engine",
    "layout_bytes_per_cycle": "memory_layout_unit",
    "fabric_bytes_per_cycle": "fabric_interface",
    "scalar_instructions_per_cycle": "scalar_core",
    "sram_bytes_per_second": "sram",
    "network_efficiency": "sram",
    "dram_bytes_per_second": "dram",
    "dram_efficiency": "dram",
}
# Rate and energy of products of a dtype.
DOT_FIELDS = {
    "bfloat16": ("dot_f16_macs_per_cycle", "dot_f16_picojoules_per_mac"),
    "float16": ("dot_f16_macs_per_cycle", "dot_f16_picojoules_per_mac"),
    "float32": ("dot_f32_macs_per_cycle", "dot_f32_picojoules_per_mac"),
    "float8_e4m3fn": ("dot_f8_macs_per_cycle", "dot_i8_picojoules_per_mac"),
}
_COSTS = ("dram_latency_ns", "sram_latency_ns", "replace_ns")
_POWERS = ("leakage_watts", "dram_idle_watts", "links_watts", "clock_watts", "voltage_exponent", "power_limit_watts")
_ENERGIES = (
    "local_memory_picojoules_per_byte",
    "network_picojoules_per_byte",
    "sram_picojoules_per_byte",
    "dram_picojoules_per_byte",
    "vector_32bit_picojoules",
)


@dataclass(frozen=True)
class Interval:
    """A value, with the 5th and 95th percentile of what it may be; it lies between them."""

    value: float
    low: float
    high: float

    def overlaps(self, other: "Interval") -> bool:
        """Whether neither is surely above the other."""
        return self.low <= other.high and other.low <= self.high


def assumed_ranges(chip: Chip, dtype: str) -> dict[str, tuple[float, float]]:
    """The range of each assumed number that a costing can vary."""
    fields = (*_RATES, *DOT_FIELDS[dtype], *_COSTS, *_POWERS, *_ENERGIES)
    ranges = {}
    for name in fields:
        source = chip.sources[name]
        if source.range is not None and chip.values[name]:
            ranges[name] = source.range
    return ranges


@dataclass(frozen=True)
class _Kernel:
    """All launches of a kernel at full clock: seconds, those of PEs or SRAM, of the DRAM; joules but idle ones."""

    seconds: float
    core: float
    memory: float
    dynamic: float
    dram: float  # joules, a part of dynamic


class _Power:
    """What kernels draw on a chip at a fraction of its clock, and what its limit makes of their time."""

    def __init__(self, chip: Chip, changes: Mapping[str, float]) -> None:
        value = {name: float(changes.get(name, chip.values[name])) for name in (*_POWERS, "clock_floor")}
        self.idle = value["leakage_watts"] + value["dram_idle_watts"] + value["links_watts"]
        self._clock, self._exponent = value["clock_watts"], value["voltage_exponent"]
        self._limit, self._floor = value["power_limit_watts"], value["clock_floor"]

    def at_clock(self, kernel: _Kernel, clock: float) -> tuple[float, float]:
        """Seconds and joules at a fraction of the clock."""
        energy = clock**self._exponent
        rest = kernel.seconds - max(kernel.core, kernel.memory)
        seconds = max(kernel.core / clock, kernel.memory) + rest
        joules = (kernel.dynamic - kernel.dram) * energy + kernel.dram
        return seconds, joules + (self.idle + self._clock * clock * energy) * seconds

    def _within_limit(self, kernel: _Kernel) -> tuple[float, float]:
        low, high = self._floor, 1.0
        for _ in range(16):
            middle = (low + high) / 2
            seconds, joules = self.at_clock(kernel, middle)
            low, high = (low, middle) if joules > self._limit * seconds else (middle, high)
        return self.at_clock(kernel, low)

    def cost(self, kernels: list[_Kernel]) -> tuple[float, float]:
        """Seconds and joules of a step that is repeated: what some kernels leave of the limit, others may use."""
        full = [self.at_clock(kernel, 1.0) for kernel in kernels]
        excess = [joules - self._limit * seconds for seconds, joules in full]
        above, below = sum(each for each in excess if each > 0), -sum(each for each in excess if each < 0)
        part = 1.0 if self._limit <= 0 or above <= below else below / above
        total_seconds = total_joules = 0.0
        for kernel, (seconds, joules), over in zip(kernels, full, excess, strict=True):
            if over > 0 and part < 1:
                slow_seconds, slow_joules = self._within_limit(kernel)
                seconds = part * seconds + (1 - part) * slow_seconds
                joules = part * joules + (1 - part) * slow_joules
            total_seconds += seconds
            total_joules += joules
        return total_seconds, total_joules


class Costing:
    """Seconds and joules of a measurement on a chip, with some of the chip's numbers changed.

    Args:
        measurement: Of `measuring.measure`.
        chip: That it ran on.
    """

    def __init__(self, measurement: Mapping[str, Any], chip: Chip) -> None:
        self._chip, self._dtype = chip, str(measurement["dtype"])
        self._rows = list(measurement["by_kernel"].values())
        # What streams and links did beside each other, or waited for, stays as it was.
        self._beside = float(measurement["seconds"]) - sum(row["seconds"] for row in self._rows)
        seconds, joules = self._estimate({})
        # The order of kernels, which the sums do not tell, decides what is left of the limit's window.
        self._corrections = (
            (float(measurement["seconds"]) - self._beside) / seconds if seconds else 1.0,
            float(measurement["joules"]) / joules if joules else 1.0,
        )

    def cost(self, changes: Mapping[str, float]) -> tuple[float, float]:
        """Seconds and joules; `changes` are fields with other values."""
        seconds, joules = self._estimate(changes)
        return self._beside + seconds * self._corrections[0], joules * self._corrections[1]

    def _estimate(self, changes: Mapping[str, float]) -> tuple[float, float]:
        """Of the kernels alone, but idle power for all of the time."""
        chip = self._chip
        scale = {name: value / float(chip.values[name]) for name, value in changes.items() if chip.values[name]}
        part = dict.fromkeys(("dot_product_engine", *_RATES.values()), 1.0)
        for name, factor in scale.items():
            if name in _RATES:
                part[_RATES[name]] /= factor
        dot_rate, dot_energy = DOT_FIELDS[self._dtype]
        part["dot_product_engine"] /= scale.get(dot_rate, 1.0)
        waiting = (scale.get("dram_latency_ns", 1.0) + scale.get("sram_latency_ns", 1.0)) / 2
        power = _Power(chip, changes)
        kernels = [self._kernel(row, scale, part, waiting, dot_energy) for row in self._rows]
        seconds, joules = power.cost(kernels)
        return seconds, joules + power.idle * max(0.0, self._beside)

    def _kernel(
        self, row: Mapping[str, Any], scale: Mapping[str, float], part: Mapping[str, float], waiting: float, dot: str
    ) -> _Kernel:
        chip, full = self._chip, float(row["full_clock_seconds"])
        slowed = full / row["seconds"] if row["seconds"] else 1.0
        parts = {unit: float(busy) * slowed for unit, busy in row["busy_seconds"].items()}
        parts["sram"], parts["dram"] = row["sram_seconds"] * slowed, row["dram_seconds"]
        launching = min(row["count"] * chip.replace_ns * 1e-9, full)
        rest = max(0.0, full - launching - self._together(parts)[1])
        taken = {name: time * part.get(name, 1.0) for name, time in parts.items()}
        core, together = self._together(taken)
        memory = taken["dram"]
        dynamic, dram = self._dynamic(row, scale, dot)
        seconds = together + rest * waiting + launching * scale.get("replace_ns", 1.0)
        # Waiting for latency and for own results follows the clock.
        return _Kernel(seconds, core + rest * waiting if core >= memory else core, memory, dynamic, dram)

    def _together(self, parts: Mapping[str, float]) -> tuple[float, float]:
        """Seconds of PEs and SRAM, and of these and the DRAM, which wait for each other."""
        pes = self._chip.processing_elements
        units = max((time for name, time in parts.items() if name not in ("sram", "dram")), default=0.0)
        core = _C.time_together(units, parts["sram"], pes)
        return core, _C.time_together(core, parts["dram"], pes)

    def _dynamic(self, row: Mapping[str, Any], scale: Mapping[str, float], dot_energy: str) -> tuple[float, float]:
        """Joules at full clock, all and those of the DRAM."""
        chip, dynamic = self._chip, float(row["full_clock_dynamic_joules"])
        products = row["dot_flops"] / 2 * float(chip.values[dot_energy]) * 1e-12
        by_field = {
            dot_energy: min(products, dynamic),
            "local_memory_picojoules_per_byte": row["local_memory_bytes"]
            * chip.local_memory_picojoules_per_byte
            * 1e-12,
            "network_picojoules_per_byte": row["sram_bytes"] * chip.network_picojoules_per_byte * 1e-12,
            "sram_picojoules_per_byte": row["sram_bytes"] * chip.sram_picojoules_per_byte * 1e-12,
            "dram_picojoules_per_byte": row["dram_bytes"] * chip.dram_picojoules_per_byte * 1e-12,
        }
        # Vector work, functions and instructions: their energies go together.
        by_field["vector_32bit_picojoules"] = max(0.0, dynamic - sum(by_field.values()))
        scaled = {name: joules * scale.get(name, 1.0) for name, joules in by_field.items()}
        return sum(scaled.values()), scaled["dram_picojoules_per_byte"]


def draws(ranges: Mapping[str, tuple[float, float]], count: int, seed: int) -> list[dict[str, float]]:
    """Joint samples of assumed numbers, each evenly within its range."""
    generator = random.Random(seed)
    return [{name: generator.uniform(*bounds) for name, bounds in ranges.items()} for _ in range(count)]


def interval(value: float, samples: list[float]) -> Interval:
    """A value with the percentiles of its samples; of ranges that lie on one side of it, the value is an end."""
    if not samples:
        return Interval(value, value, value)
    ordered = sorted(samples)
    low, high = (ordered[int(fraction * (len(ordered) - 1))] for fraction in (0.05, 0.95))
    return Interval(value, min(low, value), max(high, value))
