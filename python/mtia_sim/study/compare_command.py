"""`python -m mtia_sim compare`: one workload on several chips."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim.study import many_command, own_workloads, plans
from mtia_sim.study import prices as price_files
from mtia_sim.study.arguments import ended, make_room, number, parse_changes, parse_shape, show_progress
from mtia_sim.study.comparison import GIB, Row, row_of_measurement, verdict
from mtia_sim.study.runs import Run, measured_all
from mtia_sim.study.uncertainty import DOT_FIELDS, Interval
from mtia_sim.study.workloads import DTYPES, WORKLOADS, Options

_AT_LIMIT = ", power limit"
_HEADER = ("chip", "ms", "{unit}s/s", "MFU", "J/{unit}", "W", "GiB", "$/M", "kg CO2/M", "bound by")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m mtia_sim compare`."""
    parser.add_argument("--workload", required=True, help=f"{', '.join(WORKLOADS)}, or FILE.py:function")
    parser.add_argument("--chips", required=True, help="names or TOML files, with commas between them")
    parser.add_argument(
        "--plan", help="of many chips (mtia300x16): fsdp=8,tp=2,cp=..,pp=..,dp=..,v=.. or auto, the default"
    )
    parser.add_argument("--batch", type=int, help="sequences at a time; of many chips of a step of all together")
    parser.add_argument("--seq", type=int, help="tokens of a sequence, or of the context of a decoded token")
    parser.add_argument("--layers", type=int, help="layers of the model, for a quick look")
    parser.add_argument(
        "--recompute",
        type=int,
        default=1,
        choices=(0, 1, 2),
        help="in training: 1 makes every layer again for the backward pass, 2 every second one, 0 none",
    )
    parser.add_argument("--shape", help="of gemm: rows x columns x depth; of attention: heads x key-value heads x head")
    parser.add_argument("--dtype", default="bfloat16", choices=tuple(DTYPES))
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="of all chips; again for more"
    )
    parser.add_argument("--price", type=Path, help="TOML file of prices; those of mtia_sim are marked as assumed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the rows there, too")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="writes pictures there")
    parser.add_argument("--seed", type=int, default=0, help="of the samples of assumed numbers")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; returns the exit status."""
    return ended("compare", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    make_room([arguments.json], arguments.out)
    if many_command.is_asked(arguments):
        return many_command.run(arguments)
    rows, measurements = compare(arguments)
    print(rows[0].described + f", {arguments.dtype}\n")
    print(text(rows), end="")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([as_json(row) for row in rows], indent=1) + "\n")
    if arguments.out is not None:
        from mtia_sim.study.pictures import draw_comparison

        draw_comparison(rows, measurements, arguments.out / "compare.png")
        print(f"picture: {arguments.out / 'compare.png'}")
    return 0


def compare(arguments: argparse.Namespace) -> tuple[list[Row], list[dict[str, Any]]]:
    """Rows and measurements of the chips asked for.

    Raises:
        MtiaError: A chip, workload, price or option is wrong.
        RuntimeError: A measurement failed.
    """
    for name in ("batch", "seq", "layers"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise InvalidArgument(f"--{name} {value} is not positive", remedy="give a number of 1 or more")
    prices = price_files.load(arguments.price)
    options = Options(
        arguments.batch,
        arguments.seq,
        arguments.dtype,
        parse_shape(arguments.shape),
        arguments.layers,
        arguments.recompute,
    )
    changes = parse_changes(arguments.set)
    names = [plans.parse_chips(name)[0] for name in arguments.chips.split(",") if name]
    if not names:
        raise InvalidArgument("--chips names none", remedy=f"give some of {', '.join(chips.names())}")
    if arguments.workload not in WORKLOADS:
        own_workloads.locate(arguments.workload, WORKLOADS)
    runs = [Run(arguments.workload, name, options, changes) for name in names]
    loaded = [run.load() for run in runs]
    lacking = [chip.name for chip in loaded if not chip.values[DOT_FIELDS[arguments.dtype][0]]]
    if lacking and "gemm" in arguments.workload and arguments.workload in WORKLOADS:
        raise InvalidArgument(
            f"{', '.join(lacking)} have no products of {arguments.dtype}",
            remedy="leave them out, or give another --dtype",
        )
    first = measured_all(runs, show_progress)
    fits = [bool(first[run]["fits"]) for run in runs]
    roomy = [run if fitting else run.with_room() for run, fitting in zip(runs, fits, strict=True)]
    second = measured_all(roomy, show_progress)
    measurements = [second[run] for run in roomy]
    for run, measurement in zip(runs, measurements, strict=True):
        if not measurement["fits"]:
            raise InvalidArgument(
                f"{arguments.workload} fits no memory: {measurement['problem']}",
                run.chip,
                "ask for fewer layers, or a smaller batch or sequence",
            )
    unknown = set(prices.chips) - set(chips.names()) - {chip.name for chip in loaded}
    if unknown:
        print(f"compare: prices of {', '.join(sorted(unknown))} are of no chip here", file=sys.stderr)
    rows = [
        row_of_measurement(measurement, chip, prices, fitting, arguments.seed)
        for measurement, chip, fitting in zip(measurements, loaded, fits, strict=True)
    ]
    return rows, measurements


def _shown(found: Interval | None) -> str:
    if found is None:
        return "no price"
    if found.low == found.high:
        return number(found.value)
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def text(rows: Sequence[Row]) -> str:
    """The table, what does not fit, who is ahead, and which assumptions matter most."""
    unit = rows[0].unit
    lines = [tuple(title.format(unit=unit) for title in _HEADER)]
    for row in rows:
        lines.append(
            (
                row.chip.name + ("" if row.fits else " *"),
                _shown(Interval(row.seconds.value * 1e3, row.seconds.low * 1e3, row.seconds.high * 1e3)),
                _shown(row.rate),
                "-" if row.utilisation is None else f"{row.utilisation:.0%}",
                _shown(row.joules),
                _shown(row.watts),
                f"{row.memory_bytes / GIB:.1f}",
                _shown(row.dollars),
                _shown(row.carbon),
                row.bound + _AT_LIMIT * row.is_at_power_limit,
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
    notes = ["", "In brackets: 5th to 95th percentile of what the assumed numbers of chip and price leave open."]
    for row in rows:
        if not row.fits:
            has, needs = row.chip.dram_bytes / GIB, row.memory_bytes / GIB
            notes.append(
                f"* does not fit {row.chip.name}: needs {needs:.1f} GiB, has {has:.1f}; the row is of one with room, "
                f"{-(-row.memory_bytes // int(row.chip.dram_bytes))} chips would hold it"
            )
    if len(rows) > 1:
        for what, title in (
            ("rate", f"most {unit}s a second"),
            ("joules", f"least energy a {unit}"),
            ("dollars", "cheapest"),
        ):
            notes.append(f"{title}: {verdict(rows, what)}")
    for row in rows:
        most = [f"{name} {width:.0%}" for name, width in row.most_by[:3] if width >= 0.005]
        if most:
            notes.append(f"{row.chip.name}'s time rests most on: {', '.join(most)}")
        if row.stand_in_fraction > 0.005:
            notes.append(f"{row.chip.name}: {row.stand_in_fraction:.0%} of the time rests on values that stand in")
    return table + "\n".join(notes) + "\n"


def as_json(row: Row) -> dict[str, Any]:
    """A row as JSON: the chip by its name."""
    shown = {**asdict(row), "chip": row.chip.name}
    del shown["dollar_draws"]
    return shown
