"""How wide an answer is: assumed numbers of a chip varied over what a measurement added up.

A kernel takes as long as what works longest in it (a unit, the SRAM, the DRAM), and then waits: for latency, and for
its own results. Its energy is operations and bytes at each level, and static power over the time. So a chip with
another rate or energy is costed from the sums of a run, without running it again: exact where the same part of the chip
stays the slowest and overlaps as before. `tests/mtia_sim/study` holds that estimate against reruns.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mtia_core.chips import Chip

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
    "dram_bytes_per_second": "dram",
    "dram_efficiency": "dram",
}
_DOTS = {
    "bfloat16": ("dot_f16_macs_per_cycle", "dot_f16_picojoules_per_mac"),
    "float16": ("dot_f16_macs_per_cycle", "dot_f16_picojoules_per_mac"),
    "float32": ("dot_f32_macs_per_cycle", "dot_f32_picojoules_per_mac"),
    "float8_e4m3fn": ("dot_f8_macs_per_cycle", "dot_i8_picojoules_per_mac"),
}
_COSTS = ("dram_latency_ns", "sram_latency_ns", "replace_ns", "static_watts")
_ENERGIES = (
    "local_memory_picojoules_per_byte",
    "network_picojoules_per_byte",
    "sram_picojoules_per_byte",
    "dram_picojoules_per_byte",
    "vector_32bit_picojoules",
)


@dataclass(frozen=True)
class Interval:
    """A value with the 5th and 95th percentile of what it may be."""

    value: float
    low: float
    high: float

    def overlaps(self, other: "Interval") -> bool:
        """Whether neither is surely above the other."""
        return self.low <= other.high and other.low <= self.high


def assumed_ranges(chip: Chip, dtype: str) -> dict[str, tuple[float, float]]:
    """The range of each assumed number that a costing can vary."""
    fields = (*_RATES, *_DOTS[dtype], *_COSTS, *_ENERGIES)
    ranges = {}
    for name in fields:
        source = chip.sources[name]
        if source.range is not None and chip.values[name]:
            ranges[name] = source.range
    return ranges


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

    def cost(self, changes: Mapping[str, float]) -> tuple[float, float]:
        """Seconds and joules; `changes` are fields with other values."""
        chip = self._chip
        scale = {name: value / float(chip.values[name]) for name, value in changes.items()}
        part = dict.fromkeys(("dot_product_engine", *_RATES.values()), 1.0)
        for name, factor in scale.items():
            if name in _RATES:
                part[_RATES[name]] /= factor
        dot_rate, dot_energy = _DOTS[self._dtype]
        part["dot_product_engine"] /= scale.get(dot_rate, 1.0)
        waiting = (scale.get("dram_latency_ns", 1.0) + scale.get("sram_latency_ns", 1.0)) / 2
        overhead = chip.replace_ns * 1e-9
        seconds, joules = self._beside, 0.0
        for row in self._rows:
            parts = {unit: float(busy) for unit, busy in row["busy_seconds"].items()}
            parts["sram"] = row["sram_bytes"] / chip.sram_bytes_per_second
            parts["dram"] = row["dram_bytes"] / (chip.dram_bytes_per_second * chip.dram_efficiency)
            launching = min(row["count"] * overhead, row["seconds"])
            longest = max(parts.values())
            rest = max(0.0, row["seconds"] - launching - longest)
            taken = max(time * part.get(name, 1.0) for name, time in parts.items())
            taken += rest * waiting + launching * scale.get("replace_ns", 1.0)
            seconds += taken
            joules += self._dynamic(row, scale, dot_energy)
        static = chip.static_watts * scale.get("static_watts", 1.0)
        return seconds, joules + static * (seconds - self._beside)

    def _dynamic(self, row: Mapping[str, Any], scale: Mapping[str, float], dot_energy: str) -> float:
        chip = self._chip
        products = row["dot_flops"] / 2 * float(chip.values[dot_energy]) * 1e-12
        by_field = {
            dot_energy: min(products, row["dynamic_joules"]),
            "local_memory_picojoules_per_byte": row["local_memory_bytes"]
            * chip.local_memory_picojoules_per_byte
            * 1e-12,
            "network_picojoules_per_byte": row["sram_bytes"] * chip.network_picojoules_per_byte * 1e-12,
            "sram_picojoules_per_byte": row["sram_bytes"] * chip.sram_picojoules_per_byte * 1e-12,
            "dram_picojoules_per_byte": row["dram_bytes"] * chip.dram_picojoules_per_byte * 1e-12,
        }
        # Vector work, functions and instructions: their energies go together.
        by_field["vector_32bit_picojoules"] = max(0.0, row["dynamic_joules"] - sum(by_field.values()))
        return sum(joules * scale.get(name, 1.0) for name, joules in by_field.items())


def draws(ranges: Mapping[str, tuple[float, float]], count: int, seed: int) -> list[dict[str, float]]:
    """Joint samples of assumed numbers, each evenly within its range."""
    generator = random.Random(seed)
    return [{name: generator.uniform(*bounds) for name, bounds in ranges.items()} for _ in range(count)]


def interval(value: float, samples: list[float]) -> Interval:
    """A value with the percentiles of its samples."""
    if not samples:
        return Interval(value, value, value)
    ordered = sorted(samples)
    return Interval(value, ordered[int(0.05 * (len(ordered) - 1))], ordered[int(0.95 * (len(ordered) - 1))])
