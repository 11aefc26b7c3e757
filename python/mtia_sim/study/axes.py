"""What a design may vary: a range of a chip field each, in steps where silicon comes in pieces."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim.study.candidate import Base

_MIB = 2**20
# Default ranges, over the base's number.
_DEFAULTS = {
    "pe_rows": (0.5, 1.5),
    "pe_columns": (0.5, 1.5),
    "local_memory_bytes": (0.5, 4.0),
    "sram_bytes": (0.25, 2.0),
    "sram_bytes_per_second": (0.5, 2.0),
    "dot_f16_macs_per_cycle": (0.5, 4.0),
    "dram_bytes_per_second": (0.5, 1.5),
    "peer_link_bytes_per_second": (0.125, 1.0),
    "clock_hz": (0.5, 1.1),
}
_STEPS = {"local_memory_bytes": 65536, "sram_bytes": 8 * _MIB}


@dataclass(frozen=True)
class Axis:
    """One field's range. A step of 0: any number, to three digits."""

    field: str
    low: float
    high: float
    step: float

    @property
    def least(self) -> int:
        """Steps at the low end."""
        return math.ceil(self.low / self.step - 1e-9)

    @property
    def most(self) -> int:
        """Steps at the high end."""
        return math.floor(self.high / self.step + 1e-9)

    def nearest(self, value: float) -> float:
        """The number of the range next to a value."""
        if not self.step:
            return min(max(value, self.low), self.high)
        return self.step * min(max(round(value / self.step), self.least), self.most)

    def drawn(self, generator: random.Random) -> float:
        """Any number of the range."""
        if self.step:
            return self.step * generator.randint(self.least, self.most)
        return self.nearest(float(f"{self.low * (self.high / self.low) ** generator.random():.3g}"))

    def moved(self, value: float, factor: float) -> float:
        """A number of the range about `factor` times a value."""
        found = self.nearest(self.neighbour(value, factor))
        return found if self.step else min(max(float(f"{found:.3g}"), self.low), self.high)

    def neighbour(self, value: float, factor: float) -> float:
        """About `factor` times a value, another number in any case; outside of the range, too."""
        if not self.step:
            return value * factor
        steps = round(value / self.step)
        moved = round(steps * factor)
        return self.step * (moved if moved != steps else steps + (1 if factor > 1 else -1))


def _step(base: Base, field: str) -> float:
    if field == "dram_bytes_per_second":
        return float(base.chip.dram_bytes_per_second) / base.silicon.units
    if field == "dot_f16_macs_per_cycle":  # half a tile of the engine's two
        return float(max(1, base.chip.dot_f16_macs_per_cycle // 4))
    by_name = {each.name: each for each in chips.fields()}
    return float(_STEPS.get(field, 1.0 if by_name[field].is_integer else 0.0))


def _axis(base: Base, field: str, low: float, high: float, asked: str) -> Axis:
    axis = Axis(field, low, high, _step(base, field))
    if axis.step and axis.least > axis.most:
        raise InvalidArgument(
            f"{asked} holds no multiple of {axis.step:g}, the least piece of {field}", remedy="widen the range"
        )
    return axis


def default_axes(base: Base) -> tuple[Axis, ...]:
    """Ranges around the base's numbers; fields that the base lacks stay out."""
    limits = {field.name: field for field in chips.fields()}
    found = []
    for field, (low, high) in _DEFAULTS.items():
        value = float(base.chip.values[field])
        if not value:
            continue
        low, high = max(low * value, limits[field].minimum), min(high * value, limits[field].maximum)
        step = _step(base, field)
        if step:  # a chip of one row has one row, rather than none
            low, high = min(low, max(step, value)), max(high, min(step, value))
        axis = Axis(field, low, high, step)
        found.append(axis if not step or axis.least <= axis.most else Axis(field, value, value, value))
    return tuple(found)


def parse_axes(base: Base, given: Sequence[str]) -> tuple[Axis, ...]:
    """Reads ``field=low:high``; numbers may have a suffix of powers of 1024: ``K``, ``M``, ``G``.

    Raises:
        InvalidArgument: No such field, no range, or one that holds nothing.
    """
    limits = {field.name: field for field in chips.fields()}
    axes: dict[str, Axis] = {}
    for text in given:
        asked = f"--vary {text}"
        field, separator, ends = text.partition("=")
        low_text, colon, high_text = ends.partition(":")
        if not separator or not colon:
            raise InvalidArgument(f"{asked} is no range", remedy="write FIELD=LOW:HIGH")
        if field not in limits:
            raise InvalidArgument(f"{asked}: no chip has a field {field}", remedy="docs/chips.md lists all fields")
        low, high = _number(low_text, asked), _number(high_text, asked)
        if low > high:
            raise InvalidArgument(f"{asked} begins above its end", remedy=f"write {field}={high_text}:{low_text}")
        least, most = limits[field].minimum, limits[field].maximum
        if low < least or high > most:
            raise InvalidArgument(
                f"{asked} leaves what {field} may be, {least:g} to {most:g}", remedy=limits[field].remedy
            )
        if low <= 0:
            raise InvalidArgument(f"{asked} begins at 0, of which nothing is a tenth more", remedy="begin above 0")
        if field in axes:
            raise InvalidArgument(f"{asked} varies {field} again", remedy="give one range a field")
        if not base.chip.values[field]:
            raise InvalidArgument(f"{asked}: {base.chip.name} has no {field}", remedy="choose another --base")
        axes[field] = _axis(base, field, low, high, asked)
    return tuple(axes.values())


def _number(text: str, asked: str) -> float:
    factor = {"K": 2**10, "M": 2**20, "G": 2**30}.get(text[-1:], 1)
    try:
        value = float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidArgument(f"{asked}: {text!r} is no number", remedy="write FIELD=LOW:HIGH")
    return value
