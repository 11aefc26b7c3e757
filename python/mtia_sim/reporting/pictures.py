"""A roofline of kernels and a stacked bar of chip time, as PNG."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from mtia_sim.reporting.table import Breakdown, Row, merged

_NAMED = 10  # kernels with a colour and a line in the legend, by the time they took
_OTHERS = "#b8bcc4"
_PEAKS = {"f16": "bfloat16, float16", "f32": "float32"}


def _named(found: Breakdown) -> tuple[list[Row], list[Any]]:
    rows = [row for row in found.rows if row.seconds > 0]
    shown = rows[:_NAMED]
    colours: list[Any] = [mpl.colormaps["tab10"](i) for i in range(len(shown))]
    if len(rows) > _NAMED:
        shown.append(merged(f"{len(rows) - _NAMED} others", rows[_NAMED:]))
        colours.append(_OTHERS)
    return shown, colours


def draw_bar(found: Breakdown, path: Path) -> None:
    """Chip time and energy, each a bar with a part for each kernel."""
    rows, colours = _named(found)
    figure, axis = plt.subplots(figsize=(10, 3.2), layout="constrained")
    for place, (label, values) in enumerate(
        (("joules", [row.joules for row in rows]), ("chip time", [row.seconds for row in rows]))
    ):
        total, left = sum(values) or 1.0, 0.0
        for row, value, colour in zip(rows, values, colours, strict=True):
            axis.barh(place, value / total * 100, left=left, color=colour, label=row.name if place else None)
            left += value / total * 100
        unit = f"{total:.4g} J" if label == "joules" else f"{total * 1e3:.4g} ms"
        axis.text(100.5, place, unit, va="center", fontsize=9)
    axis.set_yticks([0, 1], ["energy", "chip time"])
    axis.set_xlim(0, 100)
    axis.set_xlabel("percent")
    axis.set_title(f"{found.chip.name}: where chip time and energy go", fontsize=10)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_roofline(found: Breakdown, path: Path) -> None:
    """Operations a second over operations a byte of DRAM traffic; a kernel's area is its share of the chip time."""
    rows, colours = _named(found)
    chip = found.chip
    figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    seconds = sum(row.seconds for row in rows) or 1.0
    drawn = [row for row in rows if row.flops and row.dram_bytes]
    intensities = [row.flops / row.dram_bytes for row in drawn] or [1.0]
    low, high = min(*intensities, 0.1) / 2, max(*intensities, 1000.0) * 2
    bandwidth = chip.dram_bytes_per_second * chip.dram_efficiency
    for field, label in _PEAKS.items():
        peak = 2 * getattr(chip, f"dot_{field}_macs_per_cycle") * chip.clock_hz * chip.processing_elements
        if peak <= 0:
            continue
        axis.plot([low, peak / bandwidth, high], [low * bandwidth, peak, peak], color="#555", linewidth=1)
        axis.text(high, peak, f" {label}", va="center", ha="left", fontsize=7)
    for row, colour in zip(rows, colours, strict=True):
        if row not in drawn:
            continue
        size = 30 + 1500 * row.seconds / seconds
        point = (row.flops / row.dram_bytes, row.flops / row.seconds)
        axis.scatter(*point, s=size, color=colour, alpha=0.8, label=row.name, edgecolors="white")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(low, high)
    axis.set_xlabel("floating-point operations a byte of DRAM traffic")
    axis.set_ylabel("floating-point operations a second")
    axis.set_title(f"{chip.name}: roofline; areas are shares of the chip time", fontsize=10)
    legend = figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([30])
    figure.savefig(path, dpi=120)
    plt.close(figure)
