"""Measurements of one workload on several chips, side by side: what each takes, how sure that is, and who is ahead."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtia_core.chips import Chip
from mtia_sim.reporting.table import merged, row_of
from mtia_sim.study.prices import Prices, dollars, kilowatt_hours
from mtia_sim.study.uncertainty import DOT_FIELDS, Costing, Interval, assumed_ranges, draws, interval

SAMPLES = 200
GIB = 2**30
_ALL_OF_IT = 0.98  # of a limit: idle moments between kernels are below it


def peak_flops(chip: Chip, dtype: str) -> float:
    """FLOPs a second of all dot product engines for operands of a dtype; of 16 bits where the chip lacks 8."""
    macs = float(chip.values[DOT_FIELDS[dtype][0]] or chip.values["dot_f16_macs_per_cycle"])
    return float(2 * macs * chip.clock_hz * chip.processing_elements)


@dataclass(frozen=True)
class Row:
    """One chip's answer; what a chip without enough memory would take if it had it, with fits False.

    Intervals hold what assumed numbers of the chip and of the prices leave open. Rates are a second, energies and
    prices an item (a token, a product, a call); None: not known.
    """

    chip: Chip
    fits: bool
    described: str
    unit: str
    seconds: Interval
    rate: Interval
    joules: Interval
    watts: Interval
    utilisation: float | None  # of the peak for the dtype, by the FLOPs that the model needs
    memory_bytes: int
    dollars: Interval | None  # a million items
    carbon: Interval  # kilograms of CO2 a million items
    bound: str
    stand_in_fraction: float
    most_by: tuple[tuple[str, float], ...]  # assumed numbers, by the share of the time that they leave open
    dollar_draws: tuple[float, ...] = ()  # of the samples, in which a site's numbers are the same for all chips

    @property
    def is_at_power_limit(self) -> bool:
        """Whether the chip draws on average what it may, so that its clock falls most of the time."""
        limit = float(self.chip.power_limit_watts)
        return bool(limit) and self.watts.value >= _ALL_OF_IT * limit


def row_of_measurement(
    measurement: Mapping[str, Any], chip: Chip, prices: Prices, fits: bool, seed: int = 0, samples: int = SAMPLES
) -> Row:
    """A chip's row from what was measured on it, or on a copy of it with more memory."""
    costing, items = Costing(measurement, chip), float(measurement["items"])
    seconds, joules = float(measurement["seconds"]), float(measurement["joules"])
    ranges = assumed_ranges(chip, str(measurement["dtype"]))
    drawn = [costing.cost(changes) for changes in draws(ranges, samples, seed)]
    # A site's numbers are drawn alike for all its chips, what a chip costs for itself.
    site, own, priced = random.Random(seed), random.Random(f"{seed} {chip.name}"), prices.of(chip.name)
    certain = {name: price.value for name, price in priced.items()}
    paid, carbon = [], []
    for taken, used in drawn:
        price = {name: each.drawn(site if name in prices.site else own) for name, each in priced.items()}
        paid.append(dollars(taken, used, price))
        carbon.append(kilowatt_hours(taken, used, price) * price["carbon_kg_per_kwh"])
    million = 1e6 / items
    cost = dollars(seconds, joules, certain)
    emitted = kilowatt_hours(seconds, joules, certain) * certain["carbon_kg_per_kwh"]
    peak = peak_flops(chip, str(measurement["dtype"]))
    flops = float(measurement["model_flops"])
    return Row(
        chip=chip,
        fits=fits,
        described=str(measurement["described"]),
        unit=str(measurement["unit"]),
        seconds=interval(seconds, [taken for taken, _ in drawn]),
        rate=interval(items / seconds, [items / taken for taken, _ in drawn]),
        joules=interval(joules / items, [used / items for _, used in drawn]),
        watts=interval(joules / seconds, [used / taken for taken, used in drawn]),
        utilisation=flops / seconds / peak if flops and peak else None,
        memory_bytes=int(measurement["peak_memory_bytes"]),
        dollars=None
        if cost is None
        else interval(cost * million, [each * million for each in paid if each is not None]),
        carbon=interval(emitted * million, [each * million for each in carbon]),
        bound=_bound(measurement),
        stand_in_fraction=float(measurement["stand_in_fraction"]),
        most_by=_sensitivity(costing, ranges, seconds),
        dollar_draws=tuple(each for each in paid if each is not None),
    )


def _bound(measurement: Mapping[str, Any]) -> str:
    """What bounds most of the time: the limits of the kernels, weighed by their seconds."""
    weights: dict[str, float] = {}
    for name, totals in measurement["by_kernel"].items():
        kernel = row_of(name, totals)
        limit, _ = kernel.bound()
        weights[limit] = weights.get(limit, 0.0) + kernel.seconds
    return max(weights, key=lambda name: weights[name], default="-")


def _sensitivity(
    costing: Costing, ranges: Mapping[str, tuple[float, float]], seconds: float
) -> tuple[tuple[str, float], ...]:
    widths = {
        name: abs(costing.cost({name: high})[0] - costing.cost({name: low})[0]) / seconds
        for name, (low, high) in ranges.items()
    }
    return tuple(sorted(widths.items(), key=lambda item: -item[1]))


def kernels_of(measurement: Mapping[str, Any]) -> Any:
    """All kernels of a measurement as one row of reporting."""
    return merged("all", [row_of(name, totals) for name, totals in measurement["by_kernel"].items()])


def _is_open(row: Row, best: Row, what: str) -> bool:
    if what == "dollars" and row.dollars and best.dollars:  # what a site leaves open makes both cheaper or both dearer
        ratios = [mine / its for mine, its in zip(row.dollar_draws, best.dollar_draws, strict=True)]
        return interval(row.dollars.value / best.dollars.value, ratios).low <= 1.0
    overlap: bool = getattr(row, what).overlaps(getattr(best, what))
    return overlap


def verdict(rows: Sequence[Row], what: str) -> str:
    """Who is ahead in `what` ("rate", "joules" or "dollars"), or that the intervals leave it open."""
    known = [row for row in rows if row.fits and getattr(row, what) is not None]
    if len(known) < 2:
        return "nothing to compare"
    sign = -1 if what == "rate" else 1
    ranked = sorted(known, key=lambda row: sign * getattr(row, what).value)
    best = getattr(ranked[0], what)
    rivals = [row.chip.name for row in ranked[1:] if _is_open(row, ranked[0], what)]
    if rivals:
        return f"open between {ranked[0].chip.name} and {', '.join(rivals)}"
    ratio = getattr(ranked[1], what).value / best.value
    return f"{ranked[0].chip.name}, {ratio if sign > 0 else 1 / ratio:.2f} times better than {ranked[1].chip.name}"
