"""What a chip's time and power cost: a price file, checked, and dollars and kilograms of CO2 of a measurement."""

import random
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtia_core.errors import InvalidArgument
from mtia_sim.study.runs import CHANGED

_DEFAULTS = Path(__file__).parent / "prices.toml"
_SITE = (
    "power_dollars_per_kwh",
    "pue",
    "host_watts_per_chip",
    "carbon_kg_per_kwh",
    "lifetime_hours",
    "utilisation",
)
_CHIP = ("rent_dollars_per_hour", "chip_dollars")
_ENTRY = ("value", "range", "kind", "how", "source")
_LEAST = {"pue": 1.0}
_MAY_BE_NOTHING = ("power_dollars_per_kwh", "host_watts_per_chip", "carbon_kg_per_kwh")
_MOST = {"utilisation": 1.0}
_JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class Price:
    """A number with the range within which it may lie; no range for a published one."""

    value: float
    low: float
    high: float

    def drawn(self, generator: random.Random) -> float:
        """One value of the range."""
        return generator.uniform(self.low, self.high)


@dataclass(frozen=True)
class Prices:
    """Numbers of a site, and of chips by name."""

    site: Mapping[str, Price]
    chips: Mapping[str, Mapping[str, Price]]

    def of(self, chip: str) -> dict[str, Price]:
        """All numbers that a chip's cost depends on."""
        return {**self.site, **self.chips.get(chip, self.chips.get(chip.removesuffix(CHANGED), {}))}


def _is_price(name: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= _MOST.get(name, 1e300):
        return False
    return bool(value >= _LEAST.get(name, 0) and (value > 0 or name in _MAY_BE_NOTHING))


def _allowed(name: str) -> str:
    least = f"of {_LEAST[name]:g} or more" if name in _LEAST else "above 0"
    above = "of 0 or more" if name in _MAY_BE_NOTHING else least
    return f"a number {above}" + (f", {_MOST[name]:g} at most" if name in _MOST else "")


def _entry(table: str, name: str, given: Any, path: Path) -> Price:
    place = f"{table}.{name}"
    entry = given if isinstance(given, dict) else {"value": given}
    if unknown := sorted(set(entry) - set(_ENTRY)):
        raise InvalidArgument(f"{place} has no {unknown[0]}", str(path), f"it has {', '.join(_ENTRY)}")
    value: Any = entry.get("value")
    if not _is_price(name, value):
        raise InvalidArgument(f"{place} = {value!r} is no price", str(path), f"give {_allowed(name)}")
    bounds = entry.get("range", [value, value])
    if not isinstance(bounds, list) or len(bounds) != 2 or not all(_is_price(name, bound) for bound in bounds):
        raise InvalidArgument(
            f"{place} has the range {bounds!r}", str(path), f"write range = [low, high], each {_allowed(name)}"
        )
    low, high = bounds
    if not low <= value <= high:
        raise InvalidArgument(
            f"{place} = {value} is outside of its range {low} to {high}", str(path), "widen the range"
        )
    return Price(float(value), float(low), float(high))


def _tables(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Everything that has to be a table."""
    yield "site", document.get("site", {})
    chips = document.get("chips", {})
    yield "chips", chips
    yield from ((f"chips.{name}", entries) for name, entries in chips.items())


def load(path: Path | None = None) -> Prices:
    """The prices that come with mtia_sim, overridden by those of a file.

    Raises:
        InvalidArgument: The file is not there, no TOML, or has an unknown or impossible entry.
    """
    site: dict[str, Price] = {}
    of_chips: dict[str, dict[str, Price]] = {}
    for source in (_DEFAULTS, path):
        if source is None:
            continue
        try:
            document = tomllib.loads(source.read_text())
        except OSError as error:
            raise InvalidArgument(f"no price file: {error}", remedy="give the path of a TOML file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidArgument(f"not a TOML file: {error}", str(source), f"compare it with {_DEFAULTS}") from None
        unknown = set(document) - {"site", "chips"}
        if unknown:
            raise InvalidArgument(f"no table [{min(unknown)}]", str(source), "the tables are [site] and [chips.NAME]")
        for place, table in _tables(document):
            if not isinstance(table, dict):
                raise InvalidArgument(f"{place} = {table!r} is no table", str(source), f"write [{place}]")
        for name, entry in document.get("site", {}).items():
            if name not in _SITE:
                raise InvalidArgument(f"a site has no {name}", str(source), f"it has {', '.join(_SITE)}")
            site[name] = _entry("site", name, entry, source)
        for chip, entries in document.get("chips", {}).items():
            found = {}
            for name, entry in entries.items():
                if name not in _CHIP:
                    raise InvalidArgument(f"a chip has no {name}", str(source), f"it has {', '.join(_CHIP)}")
                found[name] = _entry(f"chips.{chip}", name, entry, source)
            if len(found) > 1:
                raise InvalidArgument(f"{chip} is rented and bought", str(source), f"give one of {', '.join(_CHIP)}")
            of_chips[chip] = found or of_chips.get(chip, {})
    return Prices(site, of_chips)


def kilowatt_hours(seconds: float, joules: float, price: Mapping[str, float]) -> float:
    """Power drawn from the grid for a chip's work: the chip, its share of the host, and the site."""
    return (joules + price["host_watts_per_chip"] * seconds) * price["pue"] / _JOULES_PER_KWH


def dollars(seconds: float, joules: float, price: Mapping[str, float]) -> float | None:
    """What a chip's work costs; None where the chip has no price."""
    hours = seconds / 3600 / price["utilisation"]
    if "rent_dollars_per_hour" in price:
        return hours * price["rent_dollars_per_hour"]
    if "chip_dollars" in price:
        bought = hours * price["chip_dollars"] / price["lifetime_hours"]
        return bought + kilowatt_hours(seconds, joules, price) * price["power_dollars_per_kwh"]
    return None
