"""A candidate chip: what a search chose, and what follows from it by physics, each law with its reason.

The laws are relative to the base: a candidate that chooses the base's numbers is the base.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mtia_core import chips
from mtia_core.chips import Chip, Source
from mtia_sim.study.dies import area_by_term
from mtia_sim.study.silicon import Silicon, chip_area, dollars, full_watts, parts_of

_NAMES = tuple(field.name for field in chips.fields())


def _others(leader: str, begin: str, end: str) -> tuple[str, ...]:
    return tuple(name for name in _NAMES if name.startswith(begin) and name.endswith(end) and name != leader)


# Fields that keep their proportion to the one that is chosen.
PROPORTIONAL = {
    "sram_bytes": ("sram_cache_bytes",),
    "local_memory_bytes": tuple(name for name in ("dot_accumulator_bytes",) if name in _NAMES),
    "dot_f16_macs_per_cycle": _others("dot_f16_macs_per_cycle", "dot_", "_macs_per_cycle"),
    "vector_32bit_elements_per_cycle": _others("vector_32bit_elements_per_cycle", "vector_", "_elements_per_cycle"),
}
_OPERATIONS = tuple(name for name in _NAMES if "picojoules" in name and not name.endswith("_per_byte"))
# Below this fraction of the base's voltage circuits stop working: about 0.55 V of 0.8 V.
LEAST_VOLTAGE = 0.7
# Share of an SRAM's latency that is wire and hops, the rest cycles: assumed.
_WIRE = 0.5
_CLOCKED = ("macs", "lanes_32", "lanes_64", "cores", "network_bytes_per_cycle")
_LEAKING = (*_CLOCKED, "shared_mebibytes", "local_mebibytes")


@dataclass(frozen=True)
class Candidate:
    """A chip that may be built; area in square millimetres, dollars to make it."""

    chip: Chip
    silicon: Silicon
    chosen: Mapping[str, float]
    area: float
    dollars: float


@dataclass(frozen=True)
class Base:
    """The chip that candidates are derived from."""

    chip: Chip
    silicon: Silicon
    markup: float = 1.0  # price over the cost of making it

    @property
    def area(self) -> float:
        """Square millimetres by the model."""
        return chip_area(self.chip, self.silicon)

    @property
    def dollars(self) -> float:
        """By the model, and what the price file makes of it."""
        return self.markup * dollars(self.chip, self.silicon, self.area)


def _with_proportions(base: Chip, chosen: Mapping[str, float]) -> dict[str, float]:
    changes = dict(chosen)
    for leader, followers in PROPORTIONAL.items():
        if leader in chosen:
            factor = chosen[leader] / base.values[leader]
            for name in followers:
                changes.setdefault(name, base.values[name] * factor)
    return changes


def _with_dram(base: Base, changes: dict[str, float]) -> Silicon:
    """Stacks of the same kind: capacity goes with bandwidth."""
    silicon = base.silicon
    if "dram_bytes_per_second" not in changes:
        return silicon
    factor = changes["dram_bytes_per_second"] / base.chip.dram_bytes_per_second
    changes.setdefault("dram_bytes", base.chip.dram_bytes * factor)
    units = max(1, round(silicon.units * factor))
    return replace(silicon, units=units, stacks=units if silicon.stacks else 0)


def voltage_squared(base: Chip, clock_hz: float) -> float:
    """Energy of an operation at another clock, over the base's: voltage follows the clock down to the least one."""
    exponent = float(base.values.get("voltage_exponent", 2.0))
    voltage = (clock_hz / base.clock_hz) ** (exponent / 2)
    return max(voltage, LEAST_VOLTAGE) ** 2


def derive(base: Base, chosen: Mapping[str, float]) -> Candidate:
    """The candidate of some chosen fields.

    Raises:
        InvalidChip: A number is out of its field's limits.
    """
    origin = base.chip
    changes = _with_proportions(origin, chosen)
    silicon = _with_dram(base, changes)
    rows = float(changes.get("pe_rows", origin.pe_rows))
    columns = float(changes.get("pe_columns", origin.pe_columns))
    elements, clock = rows * columns, float(changes.get("clock_hz", origin.clock_hz))
    sram_rate = float(changes.get("sram_bytes_per_second", origin.sram_bytes_per_second))
    engine = float(changes.get("dot_f16_macs_per_cycle", origin.dot_f16_macs_per_cycle)) / origin.dot_f16_macs_per_cycle
    # A PE's port keeps its headroom over the PE's share of the SRAM's bandwidth.
    share = (sram_rate / elements / clock) / (
        origin.sram_bytes_per_second / origin.processing_elements / origin.clock_hz
    )
    changes.setdefault("fabric_bytes_per_cycle", origin.fabric_bytes_per_cycle * share)
    # An array of n x n multipliers takes operands along its edges; it grows in both directions.
    changes.setdefault("local_memory_bytes_per_cycle", origin.local_memory_bytes_per_cycle * max(1.0, engine**0.5))
    for name in ("dot_tile_rows", "dot_tile_columns"):
        if name in origin.values:
            changes.setdefault(name, max(8, origin.values[name] * 2 ** round(math.log(engine, 4))))
    chip = chips.varied(origin, changes)
    area = chip_area(chip, silicon)
    changes |= _watts(base, chip, silicon, area, clock, set(changes))
    changes |= _energies(base, chip, area, clock, set(changes))
    chip = chips.varied(origin, changes)
    chip = Chip(f"{origin.name}-candidate", chip.values, _sources(origin, chip, chosen), origin.path)
    return Candidate(chip, silicon, dict(chosen), area, base.markup * dollars(chip, silicon, area))


def _watts(base: Base, chip: Chip, silicon: Silicon, area: float, clock: float, given: set[str]) -> dict[str, float]:
    """Power by part: leakage with what leaks, the clock tree with what it drives, DRAM and links by their number."""
    origin = base.chip
    squared, speed = voltage_squared(origin, clock), clock / origin.clock_hz
    leaking, clocked = (_ratio(base, chip, silicon, terms) for terms in (_LEAKING, _CLOCKED))
    links = parts_of(chip, silicon).link_gigabytes / parts_of(origin, base.silicon).link_gigabytes
    full = full_watts(chip, silicon, area) / full_watts(origin, base.silicon, base.area)
    factors = {
        "leakage_watts": leaking * squared,
        "clock_watts": clocked * speed * squared,
        "dram_idle_watts": silicon.units / base.silicon.units,
        "links_watts": links,
        "tdp_watts": full,
        "typical_watts": full,
        "power_limit_watts": full,
    }
    return {
        name: origin.values[name] * factor
        for name, factor in factors.items()
        if name in origin.values and name not in given
    }


def _ratio(base: Base, chip: Chip, silicon: Silicon, terms: tuple[str, ...]) -> float:
    """Area of some terms over the base's."""
    ours, theirs = (area_by_term(parts_of(*each)) for each in ((chip, silicon), (base.chip, base.silicon)))
    return sum(ours[term] for term in terms) / sum(theirs[term] for term in terms)


def _energies(base: Base, chip: Chip, area: float, clock: float, given: set[str]) -> dict[str, float]:
    """Energies and latencies: voltage squared; memory and wires with the square root of what they span."""
    origin = base.chip
    squared, length = voltage_squared(origin, clock), math.sqrt(area / base.area)
    latency = origin.sram_latency_ns * (_WIRE * length + (1 - _WIRE) * origin.clock_hz / clock)
    found = {name: origin.values[name] * squared for name in _OPERATIONS}
    found |= {
        "local_memory_picojoules_per_byte": origin.local_memory_picojoules_per_byte
        * squared
        * math.sqrt(chip.local_memory_bytes / origin.local_memory_bytes),
        "sram_picojoules_per_byte": origin.sram_picojoules_per_byte
        * squared
        * math.sqrt(chip.sram_bytes / origin.sram_bytes),
        "network_picojoules_per_byte": origin.network_picojoules_per_byte * squared * length,
        "sram_latency_ns": latency,
        "dram_latency_ns": origin.dram_latency_ns + latency - origin.sram_latency_ns,
    }
    return {name: value for name, value in found.items() if name not in given}


_LAWS = {
    **dict.fromkeys(_OPERATIONS, "with the voltage squared, the voltage with the clock"),
    "local_memory_picojoules_per_byte": "with the voltage squared and the root of the capacity (Horowitz)",
    "sram_picojoules_per_byte": "with the voltage squared and the root of the capacity (Horowitz)",
    "network_picojoules_per_byte": "with the voltage squared and the edge of the die",
    "sram_latency_ns": "half with the edge of the die, half with the clock",
    "dram_latency_ns": "what lies on the die goes with sram_latency_ns",
    "leakage_watts": "with the area of logic and SRAM and the voltage squared",
    "clock_watts": "with the area of logic, the clock and the voltage squared",
    "dram_idle_watts": "with the stacks or channels",
    "links_watts": "with the bandwidth of the links",
    "tdp_watts": "with the power model of dies.toml, everything at its full rate",
    "typical_watts": "with the power model of dies.toml, everything at its full rate",
    "power_limit_watts": "with tdp_watts",
    "dram_bytes": "stacks or channels of the same kind",
    "fabric_bytes_per_cycle": "same headroom over a PE's share of the SRAM",
    "local_memory_bytes_per_cycle": "with the edge of the dot product engine",
    "dot_tile_rows": "with the edge of the dot product engine",
    "dot_tile_columns": "with the edge of the dot product engine",
}


def _sources(origin: Chip, chip: Chip, chosen: Mapping[str, float]) -> dict[str, Source]:
    followed = {name: leader for leader, names in PROPORTIONAL.items() for name in names if leader in chosen}
    found = {}
    for name, value in chip.values.items():
        was = origin.sources[name]
        scale = value / origin.values[name] if origin.values[name] else 1.0
        span = (value, value) if was.range is None else (was.range[0] * scale, was.range[1] * scale)
        if name in chosen:
            how, span = "chosen by mtia_sim design", (value, value)
        elif value == origin.values[name]:
            how = f"as {origin.name}"
        else:
            how = f"{origin.name}'s, in proportion to {followed[name]}" if name in followed else _LAWS[name]
        found[name] = Source("assumed", "", how, span)
    return found


def chip_text(candidate: Candidate, name: str) -> str:
    """The chip file: every field with its reason, ready for MTIA_SIM_CHIP."""
    chip, area = candidate.chip, candidate.area
    lines = [
        f"# Made by `python -m mtia_sim design`: {area:.0f} mm2, {candidate.dollars:.0f} dollars by dies.toml.",
        f'name = "{name}"',
    ]
    group = ""
    for field in chips.fields():
        if field.group != group:
            group = field.group
            lines += ["", f"[{group}]"]
        source = chip.sources[field.name]
        low, high = source.range or (chip.values[field.name],) * 2
        low, high = (min(max(end, field.minimum), field.maximum) for end in (low, high))
        value = chip.values[field.name]
        low, high = min(low, value), max(high, value)
        if field.is_integer:
            low, high = math.floor(low), math.ceil(high)
        entry = f'value = {value!r}, kind = "assumed", range = [{low!r}, {high!r}], how = "{source.how}"'
        lines.append(f"{field.name} = {{ {entry} }}")
    return "\n".join(lines) + "\n"
