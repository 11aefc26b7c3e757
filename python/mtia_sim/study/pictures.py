"""A comparison as a picture: rooflines of the chips with the workload's place on each, and bars with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from mtia_sim.study.comparison import Row, kernels_of, peak_flops


def draw_comparison(rows: Sequence[Row], measurements: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Left: operations a second over operations a byte of DRAM. Right: items a second, and joules an item."""
    figure, (roofline, rates, energies) = plt.subplots(1, 3, figsize=(14, 4.5), layout="constrained")
    colours = [mpl.colormaps["tab10"](place % 10) for place in range(len(rows))]
    sums = [kernels_of(measurement) for measurement in measurements]
    intensities = [total.flops / total.dram_bytes for total in sums if total.flops and total.dram_bytes] or [1.0]
    low, high = min(*intensities, 1.0) / 4, max(*intensities, 1000.0) * 4
    for row, measurement, total, colour in zip(rows, measurements, sums, colours, strict=True):
        chip = row.chip
        peak = peak_flops(chip, str(measurement["dtype"]))
        bandwidth = chip.dram_bytes_per_second * chip.dram_efficiency
        roofline.plot(
            [low, peak / bandwidth, high],
            [low * bandwidth, peak, peak],
            color=colour,
            linewidth=1,
            label=chip.name if total.dram_bytes else f"{chip.name} (nothing from DRAM)",
        )
        if total.flops and total.dram_bytes:
            point = (total.flops / total.dram_bytes, total.flops / row.seconds.value)
            roofline.scatter(*point, color=colour, edgecolors="black", zorder=3)
    roofline.set_xscale("log")
    roofline.set_yscale("log")
    roofline.set_xlabel("floating-point operations a byte of DRAM traffic")
    roofline.set_ylabel("floating-point operations a second")
    roofline.legend(fontsize=7)
    names = [row.chip.name + ("" if row.fits else " (does not fit)") for row in rows]
    for axis, values, label in (
        (rates, [row.rate for row in rows], f"{rows[0].unit}s a second"),
        (energies, [row.joules for row in rows], f"joules a {rows[0].unit}"),
    ):
        heights = [found.value for found in values]
        spread = [
            [max(0.0, found.value - found.low) for found in values],
            [max(0.0, found.high - found.value) for found in values],
        ]
        hatches = ["" if row.fits else "//" for row in rows]
        axis.barh(names, heights, xerr=spread, color=colours, hatch=hatches, error_kw={"capsize": 3, "linewidth": 1})
        axis.invert_yaxis()
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.set_xlabel(label)
    figure.suptitle(rows[0].described, fontsize=10)
    figure.savefig(path, dpi=120)
    plt.close(figure)
