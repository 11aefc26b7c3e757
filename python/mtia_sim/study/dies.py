"""Published dies (dies.toml), and models of area and power as sums of terms that some dies calibrate and others check.

A term is a count (MiB, multipliers, stacks) times what the process makes of it times a coefficient. The coefficients
start at what other sources say, and are fitted to the relative errors of the dies whose role is to calibrate.
"""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_TABLE = Path(__file__).parent / "dies.toml"
# How strongly a coefficient is held to its prior: an error of this much in one die weighs as much as a factor of e.
_HELD = {"area": 0.2, "power": 0.2}
_STEPS = 200


@dataclass(frozen=True)
class Parts:
    """What a die holds; the counts of dies.toml."""

    process: str
    shared_mebibytes: float = 0
    local_mebibytes: float = 0
    macs: float = 0  # of bf16
    lanes_32: float = 0
    lanes_64: float = 0
    cores: float = 0
    network_bytes_per_cycle: float = 0
    dram_stacks: float = 0
    link_gigabytes: float = 0  # a second, one way
    ddr_gigabytes: float = 0  # a second


@dataclass(frozen=True)
class Die:
    """A published die; no watts where it is not a chip by itself."""

    name: str
    role: str
    parts: Parts
    square_millimetres: float
    watts: float | None
    gigahertz: float
    enabled: float
    source: str
    assumed: tuple[str, ...]


@functools.cache
def table() -> Mapping[str, Any]:
    """dies.toml."""
    return tomllib.loads(_TABLE.read_text())


def number(entry: Mapping[str, Any]) -> float:
    """The value of ``{ value, kind, ... }``."""
    return float(entry["value"])


@functools.cache
def dies() -> tuple[Die, ...]:
    """All dies in the order of the table."""
    counts = {field.name for field in fields(Parts)} - {"process"}
    return tuple(
        Die(
            name,
            entry["role"],
            Parts(entry["process"], **{key: value for key, value in entry.items() if key in counts}),
            entry["square_millimetres"],
            entry.get("watts"),
            entry.get("gigahertz", 0.0),
            entry.get("enabled", 1.0),
            entry["source"],
            tuple(entry.get("assumed", ())),
        )
        for name, entry in table()["dies"].items()
    )


def processes() -> tuple[str, ...]:
    """The processes that the models know."""
    return tuple(table()["process"])


def _of(process: str, what: str) -> float:
    return number(table()["process"][process][what])


def area_terms(parts: Parts) -> dict[str, float]:
    """What each coefficient of the area is multiplied with."""
    sram, logic, analog = (_of(parts.process, what) for what in ("sram", "logic", "analog"))
    return {
        "shared_mebibytes": sram * parts.shared_mebibytes,
        "local_mebibytes": sram * parts.local_mebibytes,
        "macs": logic * parts.macs / 1e4,
        "lanes_32": logic * parts.lanes_32 / 1e3,
        "lanes_64": logic * parts.lanes_64 / 1e3,
        "cores": logic * parts.cores,
        "network_bytes_per_cycle": logic * parts.network_bytes_per_cycle / 1e3,
        "dram_stacks": analog * parts.dram_stacks,
        "link_gigabytes": analog * parts.link_gigabytes / 100,
        "ddr_gigabytes": analog * parts.ddr_gigabytes / 100,
    }


def power_terms(parts: Parts, square_millimetres: float, gigahertz: float, enabled: float = 1.0) -> dict[str, float]:
    """What each coefficient of the power is multiplied with: everything at its full rate."""
    energy = _of(parts.process, "energy")
    return {
        "square_millimetres": square_millimetres / 10,
        "clocked_area": square_millimetres / 10 * gigahertz,
        "macs_per_second": parts.macs * enabled * gigahertz * 1e-3 * energy,
        "lanes_per_second": (parts.lanes_32 + parts.lanes_64) * enabled * gigahertz * 1e-3 * energy,
        "dram_stacks": parts.dram_stacks,
        "link_gigabytes": parts.link_gigabytes * 8e-3,
    }


def _solve(model: str, rows: list[dict[str, float]], targets: list[float]) -> dict[str, float]:
    """Coefficients of least squares of relative errors and of the logarithms of prior over coefficient."""
    priors = table()[model]
    double = torch.float64
    least = torch.tensor([float(prior.get("least", 0.0)) for prior in priors.values()], dtype=double)
    above = torch.tensor([float(prior["value"]) for prior in priors.values()], dtype=double) - least
    shares = torch.tensor(
        [[row[name] / target for name in priors] for row, target in zip(rows, targets, strict=True)], dtype=double
    )
    held = _HELD[model] * torch.eye(len(priors), dtype=double)
    moved = torch.zeros(len(priors), dtype=double)
    for _ in range(_STEPS):
        grown: Tensor = above * moved.exp()
        residual = torch.cat([shares @ (least + grown) - 1, held @ moved])
        slope = torch.cat([shares * grown, held])
        moved = moved - 0.5 * torch.linalg.solve(slope.T @ slope, slope.T @ residual)
    # Three digits: the same on every host.
    found = (least + above * moved.exp()).tolist()
    return {name: float(f"{value:.3g}") for name, value in zip(priors, found, strict=True)}


@functools.cache
def area_coefficients() -> Mapping[str, float]:
    """Of the area, in the units of dies.toml."""
    chosen = [die for die in dies() if die.role == "calibrates"]
    return _solve("area", [area_terms(die.parts) for die in chosen], [die.square_millimetres for die in chosen])


@functools.cache
def power_coefficients() -> Mapping[str, float]:
    """Of the power, in the units of dies.toml."""
    chosen = [(die, die.watts) for die in dies() if die.role == "calibrates" and die.watts is not None]
    rows = [power_terms(die.parts, die.square_millimetres, die.gigahertz, die.enabled) for die, _ in chosen]
    return _solve("power", rows, [watts for _, watts in chosen])


def area_by_term(parts: Parts) -> dict[str, float]:
    """Square millimetres of each term."""
    coefficients = area_coefficients()
    return {name: coefficients[name] * count for name, count in area_terms(parts).items()}


def area(parts: Parts) -> float:
    """Square millimetres."""
    return sum(area_by_term(parts).values())


def full_power(parts: Parts, square_millimetres: float, gigahertz: float, enabled: float = 1.0) -> float:
    """Watts with everything at its full rate."""
    coefficients = power_coefficients()
    terms = power_terms(parts, square_millimetres, gigahertz, enabled)
    return sum(coefficients[name] * count for name, count in terms.items())


@dataclass(frozen=True)
class Comparison:
    """A die's published number beside the model's."""

    die: Die
    published: float
    model: float

    @property
    def error(self) -> float:
        """As a fraction."""
        return self.model / self.published - 1


def compare_areas() -> tuple[Comparison, ...]:
    """Areas of all dies."""
    return tuple(Comparison(die, die.square_millimetres, area(die.parts)) for die in dies())


def compare_powers() -> tuple[Comparison, ...]:
    """Power of all dies that have one, with their published area."""
    return tuple(
        Comparison(die, die.watts, full_power(die.parts, die.square_millimetres, die.gigahertz, die.enabled))
        for die in dies()
        if die.watts is not None
    )


def mean_error(rows: tuple[Comparison, ...]) -> tuple[float, float]:
    """Mean and worst absolute error of the dies that check."""
    errors = [abs(row.error) for row in rows if row.die.role == "checks"]
    return sum(errors) / len(errors), max(errors)
