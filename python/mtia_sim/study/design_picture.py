"""A design as a picture: candidates by rate, energy and area, and what a tenth more of each field does to the best."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from mtia_sim.study.design import Result
from mtia_sim.study.points import Point


def draw_design(result: Result, path: Path) -> None:
    """Left: energy over rate, coloured by area. Middle: rate over area. Right: the changes of the best point."""
    figure, (energy, area, changes) = plt.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    within = [point for point in result.points if not point.over]
    beyond = [point for point in result.points if point.over]
    unit = result.unit
    for axis, across, up in ((energy, _rate, _joules), (area, _area, _rate)):
        axis.scatter(
            [across(point) for point in beyond],
            [up(point) for point in beyond],
            s=8,
            color="lightgrey",
            label="over a budget",
        )
        dots = axis.scatter(
            [across(point) for point in within],
            [up(point) for point in within],
            s=14,
            c=[_area(point) for point in within],
            cmap="viridis",
            label="within the budgets",
        )
        axis.scatter(
            [across(point) for point in result.front],
            [up(point) for point in result.front],
            s=34,
            facecolors="none",
            edgecolors="black",
            linewidths=0.8,
            label="front",
        )
        axis.scatter(across(result.base), up(result.base), marker="s", s=50, color="tab:red", label="base", zorder=3)
        if result.best is not None:
            axis.scatter(
                across(result.best),
                up(result.best),
                marker="*",
                s=170,
                color="tab:orange",
                edgecolors="black",
                label="best",
                zorder=3,
            )
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.grid(alpha=0.3)
    energy.set_xlabel(f"{unit}s a second")
    energy.set_ylabel(f"joules a {unit}")
    energy.legend(fontsize=7)
    area.set_xlabel("area, mm²")
    area.set_ylabel(f"{unit}s a second")
    if within:
        figure.colorbar(dots, ax=area, label="area, mm²")
    _draw_changes(changes, result)
    figure.suptitle(result.described, fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _rate(point: Point) -> float:
    return point.rate


def _joules(point: Point) -> float:
    return point.joules


def _area(point: Point) -> float:
    return point.candidate.area


def _draw_changes(axis: Any, result: Result) -> None:
    best = result.best
    if best is None:
        axis.axis("off")
        return
    fields = list(dict.fromkeys(change.field for change in result.changes))
    for field_place, field in enumerate(fields):
        for change in (each for each in result.changes if each.field == field and each.point is not None):
            assert change.point is not None
            more = change.factor > 1
            place = field_place + (-0.2 if more else 0.2)
            for share, colour in (
                (best.joules / change.point.joules, "tab:green"),
                (change.point.rate / best.rate, "tab:blue"),
            ):
                offset = 0.1 if colour == "tab:green" else -0.1
                axis.barh(place + offset, 100 * (share - 1), height=0.18, color=colour, alpha=1.0 if more else 0.45)
    axis.set_yticks(range(len(fields)), fields, fontsize=7)
    axis.invert_yaxis()
    axis.axvline(0, color="black", linewidth=0.6)
    unit = result.unit
    for label, colour, strength in (
        (f"{unit}s/s, a tenth more", "tab:blue", 1.0),
        (f"{unit}s/J, a tenth more", "tab:green", 1.0),
        ("a tenth less", "grey", 0.45),
    ):
        axis.barh(0, 0, color=colour, alpha=strength, label=label)
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=3)
    axis.set_xlabel("change of the best point, %")
