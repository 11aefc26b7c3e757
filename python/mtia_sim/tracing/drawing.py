"""Draws tracks and counters of a trace in Chrome's format with matplotlib."""

import argparse
import dataclasses
import fnmatch
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

_ROW_INCHES = 0.26
_COUNTER_INCHES = 0.7
_NAMED = 12  # names that get a colour and a line in the legend, by the time they took
_OTHERS = "#b8bcc4"


@dataclasses.dataclass
class _Row:
    label: str
    slices: list[tuple[float, float, str]]  # start, end, name; microseconds


def draw(arguments: argparse.Namespace) -> str:
    """Writes the picture. Returns what is wrong with the request, or an empty string."""
    try:
        rows, counters = _read(json.loads(Path(arguments.trace).read_text())["traceEvents"], arguments.groups)
    except (OSError, ValueError, LookupError, TypeError) as error:
        return f"{arguments.trace} is no trace in Chrome's format, as trace() writes to a path in .json: {error}"
    if not rows:
        return f"{arguments.trace} has no track in a group {arguments.groups}"
    left = min(s for row in rows for s, _, _ in row.slices) if arguments.start is None else arguments.start
    right = max(e for row in rows for _, e, _ in row.slices) if arguments.end is None else arguments.end
    rows = [_Row(row.label, [s for s in row.slices if s[1] > left and s[0] < right]) for row in rows]
    rows = [row for row in rows if row.slices]
    if not rows:
        return f"nothing happens from {left} to {right} us"
    colours = _colours(rows, left, right)
    heights = [_ROW_INCHES * len(rows) + 0.4, *[_COUNTER_INCHES] * len(counters)]
    figure, axes = plt.subplots(
        len(heights),
        1,
        sharex=True,
        squeeze=False,
        figsize=(arguments.width, sum(heights) + 0.9),
        height_ratios=heights,
        layout="constrained",
    )
    _draw_rows(axes[0][0], rows, colours, left, right)
    for axis, (label, unit, samples) in zip(axes[1:, 0], counters, strict=True):
        _draw_counter(axis, label, unit, samples, left, right)
    axes[-1][0].set_xlabel("microseconds of chip time")
    axes[-1][0].set_xlim(left, right)
    if arguments.title:
        figure.suptitle(arguments.title, fontsize=10)
    handles = [mpl.patches.Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    figure.legend(handles, list(colours), loc="outside right upper", fontsize=7, frameon=False)
    figure.savefig(arguments.picture, dpi=110)
    plt.close(figure)
    return ""


def _read(
    events: list[dict[str, Any]], groups: str
) -> tuple[list[_Row], list[tuple[str, str, list[tuple[float, float]]]]]:
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    shown = {pid for pid, name in processes.items() if fnmatch.fnmatch(name, groups)}
    slices: dict[tuple[int, int], list[tuple[float, float, str]]] = defaultdict(list)
    counters: dict[tuple[int, str, str], list[tuple[float, float]]] = defaultdict(list)
    for event in events:
        if event["pid"] not in shown:
            continue
        if event["ph"] == "X":
            end = event["ts"] + event["dur"]
            name = "scalar" if event["name"].endswith(" scalar") else event["name"]  # "12 scalar", "3 scalar": one kind
            slices[event["pid"], event["tid"]].append((event["ts"], end, name))
        elif event["ph"] == "C":
            for unit, value in event["args"].items():
                counters[event["pid"], event["name"], unit].append((event["ts"], value))
    rows = [_Row(f"{processes[pid]}  {threads.get((pid, tid), tid)}", found) for (pid, tid), found in slices.items()]
    busy = [
        (f"{processes[pid]}\n{name}", unit, samples)
        for (pid, name, unit), samples in counters.items()
        if any(value for _, value in samples)
    ]
    return rows, busy


def _colours(rows: list[_Row], left: float, right: float) -> dict[str, Any]:
    """A colour for each of the names that took most time, in that order."""
    time: dict[str, float] = defaultdict(float)
    for row in rows:
        for start, end, name in row.slices:
            time[name] += min(end, right) - max(start, left)
    names = sorted(time, key=lambda name: -time[name])
    palette = plt.get_cmap("tab20")
    colours: dict[str, Any] = {name: palette(index) for index, name in enumerate(names[:_NAMED])}
    if len(names) > _NAMED:
        colours["others"] = _OTHERS
    return colours


def _draw_rows(axis: Any, rows: list[_Row], colours: dict[str, Any], left: float, right: float) -> None:
    wide = (right - left) / 18  # room for a name
    for index, row in enumerate(rows):
        names = [name for _, _, name in row.slices]
        spans = [(start, max(end - start, (right - left) / 4000)) for start, end, _ in row.slices]
        faces = [colours.get(name, _OTHERS) for name in names]
        axis.broken_barh(spans, (index - 0.4, 0.8), facecolors=faces, edgecolor="white", linewidth=0.2)
        for (start, length), name in zip(spans, names, strict=True):
            middle = start + length / 2
            if length > wide and left < middle < right:
                axis.text(middle, index, name, ha="center", va="center", fontsize=6, clip_on=True)
    axis.set_yticks(range(len(rows)), [row.label for row in rows], fontsize=7)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(axis="x", linewidth=0.3)
    axis.set_axisbelow(True)


def _draw_counter(
    axis: Any, label: str, unit: str, samples: list[tuple[float, float]], left: float, right: float
) -> None:
    times = [left, *(time for time, _ in samples), right]
    values = [next((value for time, value in reversed(samples) if time <= left), 0.0), *(v for _, v in samples)]
    axis.fill_between(times, [*values, values[-1]], step="post", alpha=0.6, linewidth=0)
    axis.set_ylabel(f"{label}\n{unit}", fontsize=6, rotation=0, ha="right", va="center")
    axis.tick_params(labelsize=6)
    axis.set_ylim(bottom=0)
    axis.grid(linewidth=0.3)
