"""Rows of totals with what bounds them, as text."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from mtia_core import chips
from mtia_core.chips import Chip
from mtia_sim.counters import add_row

_IDLE = 0.5  # where nothing is busy for half of the time, a kernel waits for memory's latency and for its own results
_LIMITS = {
    "dot_product_engine": "dot product engine",
    "vector_core": "vector core",
    "simd_engine": "SIMD engine",
    "reduction_engine": "reduction engine",
    "memory_layout_unit": "memory layout unit",
    "fabric_interface": "fabric interface",
    "scalar_core": "scalar core",
}


@dataclass
class Row:
    """Sums under one name: seconds and joules of chip time, floating-point operations, bytes at each level, and the
    seconds that these bytes take where nothing else bounds a launch."""

    name: str
    count: int = 0
    seconds: float = 0.0
    joules: float = 0.0
    flops: int = 0
    dot_flops: int = 0
    sram_bytes: int = 0
    dram_bytes: int = 0
    sram_seconds: float = 0.0
    dram_seconds: float = 0.0
    busy_seconds: dict[str, float] = field(default_factory=dict)

    def limits(self) -> dict[str, float]:
        """Fraction of the time for which each unit worked, or that the bytes of a level of memory need at its rate."""
        if self.seconds == 0:
            return {}
        found = {_LIMITS[unit]: busy / self.seconds for unit, busy in self.busy_seconds.items() if unit in _LIMITS}
        found["DRAM"] = self.dram_seconds / self.seconds
        found["SRAM"] = self.sram_seconds / self.seconds
        return found

    def bound(self) -> tuple[str, float]:
        """What bounds it, and the share of the time that this needs at its full rate: the distance to the roofline."""
        name, share = max(self.limits().items(), key=lambda item: item[1], default=("-", 0.0))
        return (name if share >= _IDLE else f"latency, then {name}" if share else "-", share)


@dataclass(frozen=True)
class Breakdown:
    """Rows, most chip time first."""

    rows: tuple[Row, ...]
    chip: Chip

    def text(self, title: str, most: int = 30) -> str:
        """A table; rows behind the first `most` are summed in one."""
        seconds = sum(row.seconds for row in self.rows) or 1.0
        shown = list(self.rows[:most])
        if len(self.rows) > most:
            rest = merged(f"({len(self.rows) - most} others)", self.rows[most:])
            shown.append(rest)
        header = (title, "count", "chip ms", "share", "joules", "bound by", "of its limit")
        lines = [header]
        for row in shown:
            limit, share = row.bound()
            lines.append(
                (
                    row.name,
                    str(row.count),
                    f"{row.seconds * 1e3:.4g}",
                    f"{row.seconds / seconds:.1%}",
                    f"{row.joules:.4g}",
                    limit,
                    f"{min(share, 1.0):.0%}",
                )
            )
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "".join(
            "  ".join(
                cell.ljust(width) if place in (0, 5) else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            + "\n"
            for line in lines
        )


def merged(name: str, rows: Iterable[Row]) -> Row:
    """The sum of rows."""
    sums = Row(name)
    for row in rows:
        sums.count += row.count
        sums.seconds += row.seconds
        sums.joules += row.joules
        sums.flops += row.flops
        sums.dot_flops += row.dot_flops
        sums.sram_bytes += row.sram_bytes
        sums.dram_bytes += row.dram_bytes
        sums.sram_seconds += row.sram_seconds
        sums.dram_seconds += row.dram_seconds
        add_row(sums.busy_seconds, row.busy_seconds)
    return sums


def row_of(name: str, totals: dict[str, Any]) -> Row:
    """A row of `kernel_totals.by_name`, of a summary's by_kernel, or of a trace's event; what is not there is 0."""
    numbers = {key: totals.get(key, 0) for key in Row.__dataclass_fields__ if key not in ("name", "busy_seconds")}
    return Row(name, **numbers, busy_seconds=dict(totals.get("busy_seconds", {})))


def breakdown(rows: Iterable[dict[str, Any]], name: Callable[[dict[str, Any]], str], chip: str = "") -> Breakdown:
    """Sums rows of totals by a name."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(name(row), []).append(row_of("", row))
    found = [merged(key, group) for key, group in grouped.items()]
    return Breakdown(tuple(sorted(found, key=lambda row: -row.seconds)), chips.load(chip) if chip else chips.load())
