"""The roofline picture of the kernel ladders: a panel a chip, a path a ladder."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from mtia_core import chips

COLOURS = ("#9467bd", "#8c564b", "#1f77b4", "#2ca02c", "#d62728")
ROOF = "#444444"


def ceilings(axes: Any, chip: Any, low: float, high: float) -> None:
    """The peak of the dot product engines in bfloat16, and the slopes of SRAM and DRAM."""
    peak = 2.0 * chip.dot_f16_macs_per_cycle * chip.processing_elements * chip.clock_hz
    for name, bandwidth, style in (
        ("SRAM", chip.sram_bytes_per_second, "-"),
        ("DRAM", chip.dram_bytes_per_second, ":"),
    ):
        ridge = peak / bandwidth
        axes.plot([low, ridge, high], [low * bandwidth, peak, peak], style, color=ROOF, linewidth=1.2)
        left = name == "SRAM"
        axes.annotate(
            f"{name} {bandwidth / 1e12:.3g} TB/s", (4, 4 * bandwidth), xytext=(-6, 4) if left else (6, -10),
            textcoords="offset points", fontsize=8, color=ROOF, ha="right" if left else "left",
        )  # fmt: skip
    axes.annotate(
        f"bf16 peak {peak / 1e12:.0f} TFLOP/s", (high, peak), xytext=(-4, 4), textcoords="offset points", ha="right",
        fontsize=8, color=ROOF,
    )  # fmt: skip


def path(axes: Any, label: str, rows: list[dict[str, Any]], colour: str) -> None:
    """Useful FLOPs a byte between PEs and SRAM, against useful FLOPs a second, operands in SRAM where they fit."""
    across = [row["useful_flops"] / row["moved"] for row in rows]
    up = [row["useful_flops"] / row["warm"] for row in rows]
    axes.plot(across, up, "-o", color=colour, markersize=5, linewidth=1, label=label)
    for number, (x, y) in enumerate(zip(across, up, strict=True), start=1):
        axes.annotate(str(number), (x, y), xytext=(6, -4), textcoords="offset points", fontsize=8, color=colour)


def draw(ladders: dict[str, list[dict[str, Any]]], target: Path) -> None:
    """Writes the picture of ladders by name, each with the rows of its chips."""
    names = list(dict.fromkeys(row["chip"] for rows in ladders.values() for row in rows))
    figure, panels = plt.subplots(1, len(names), figsize=(6.2 * len(names), 5.2), squeeze=False, sharey=True)
    low, high = 0.3, 3000.0
    for axes, name in zip(panels[0], names, strict=True):
        ceilings(axes, chips.load(name), low, high)
        for (ladder, rows), colour in zip(ladders.items(), COLOURS, strict=False):
            path(axes, ladder.replace("_", " "), [row for row in rows if row["chip"] == name], colour)
        axes.set(xscale="log", yscale="log", xlim=(low, high), title=name)
        axes.set_xlabel("useful FLOPs a byte between PEs and SRAM")
        axes.grid(True, which="major", linewidth=0.3)
    panels[0][0].set_ylabel("useful FLOP/s")
    panels[0][0].legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(target, dpi=100)
    plt.close(figure)
