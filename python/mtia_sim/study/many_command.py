"""`python -m mtia_sim compare` and `report` of many chips: steps of a training job side by side, or where one goes."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from mtia_core.errors import InvalidArgument
from mtia_sim.reporting.table import breakdown
from mtia_sim.study import plans, prices
from mtia_sim.study.arguments import number, parse_changes, show_progress
from mtia_sim.study.llama import SIZES
from mtia_sim.study.many_chips import Job, StepRow, measure, searched
from mtia_sim.study.runs import Run
from mtia_sim.study.workloads import DTYPES, Options

_SUFFIX = "-train"
_GIB = 2**30
_HEADER = (
    "chips",
    "plan",
    "s",
    "tokens/s a chip",
    "MFU",
    "exposed s",
    "exposed",
    "bubble",
    "J/token",
    "$/M tokens",
    "GiB a chip",
)


def is_asked(arguments: argparse.Namespace) -> bool:
    """Whether --chips or --plan is about many chips."""
    named = (name for name in arguments.chips.split(",") if name)
    return arguments.plan is not None or any(plans.parse_chips(name)[1] > 1 for name in named)


def run(arguments: argparse.Namespace) -> int:
    """Prints the table of `compare`; returns the exit status.

    Raises:
        MtiaError, RuntimeError: As `measured_rows`.
    """
    rows = measured_rows(arguments)
    print(described(rows[0]) + f", {arguments.dtype}\n")
    print(text(rows), end="")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([as_json(row) for row in rows], indent=1) + "\n")
    return 0


def report(arguments: argparse.Namespace) -> int:
    """Prints where a step goes, for each of the chips; returns the exit status.

    Raises:
        MtiaError, RuntimeError: As `measured_rows`.
    """
    rows = measured_rows(arguments)
    print(described(rows[0]) + f", {arguments.dtype}\n")
    print(text(rows))
    for row in rows:
        kernels = [{"name": name, **totals, "count": round(totals["count"])} for name, totals in row.by_kernel.items()]
        found = breakdown(kernels, lambda each: str(each["name"]), row.chip.name)
        print(
            f"A chip of {row.name}, {row.plan}: collectives are beside the grid, or before it where they are exposed."
        )
        print(found.text("kernel or collective", max(1, arguments.most)))
    return 0


def measured_rows(arguments: argparse.Namespace) -> list[StepRow]:
    """A row for each of --chips; of `auto` the plan of least time.

    Raises:
        MtiaError: A chip, plan, workload, price or option is wrong, or no plan fits.
        RuntimeError: A measurement failed.
    """
    jobs = _jobs(arguments)
    given = plans.AUTO if arguments.plan is None else arguments.plan
    wanted: list[tuple[Job, plans.Plan]] = []
    for job in jobs:
        if given == plans.AUTO:
            found, fitting = searched(job)
            wanted += [(job, plan) for plan in found]
            if sys.stderr.isatty():
                print(f"{job.run.chip}x{job.chips}: {fitting} plans fit, {len(found)} are measured", file=sys.stderr)
        else:
            plan = plans.parse_plan(given, job.chips, job.batch)
            plans.check(plan, job.size, job.model, job.sequence)
            wanted.append((job, plan))
    rows = measure(wanted, prices.load(arguments.price), show_progress)
    best = []
    for job in jobs:
        own = [row for row in rows if row.job == job]
        best.append(min(own, key=lambda row: (not row.fits, row.seconds)))
    return best


def _jobs(arguments: argparse.Namespace) -> list[Job]:
    model = arguments.workload.removesuffix(_SUFFIX)
    if not arguments.workload.endswith(_SUFFIX) or model not in SIZES:
        known = ", ".join(f"{name}{_SUFFIX}" for name in SIZES)
        raise InvalidArgument(f"{arguments.workload} is no training step of many chips", remedy=f"give one of {known}")
    if arguments.dtype not in ("bfloat16", "float16", "float32") or arguments.dtype not in DTYPES:
        raise InvalidArgument(f"many chips train in no {arguments.dtype}", remedy="give bfloat16, float16 or float32")
    options = Options(arguments.batch, arguments.seq, arguments.dtype, None, arguments.layers, arguments.recompute)
    for name in ("batch", "seq", "layers"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise InvalidArgument(f"--{name} {value} is not positive", remedy="give a number of 1 or more")
    changes = parse_changes(arguments.set)
    jobs = []
    for named in filter(None, arguments.chips.split(",")):
        name, count = plans.parse_chips(named)
        job = Job(Run(model, name, options, changes), count, model)
        job.run.load()
        jobs.append(job)
    if not jobs:
        raise InvalidArgument("--chips names none", remedy="give some, such as mtia300x16,h100x16")
    return jobs


def described(row: StepRow) -> str:
    """What was measured."""
    layers = f" with {row.job.size.layers} layers" if row.job.run.options.layers is not None else ""
    return f"{row.job.model}{layers}, training steps of sequences of {row.job.sequence} tokens"


def text(rows: Sequence[StepRow]) -> str:
    """The table, and what it does not hold."""
    lines: list[tuple[str, ...]] = [_HEADER]
    for row in rows:
        lines.append(
            (
                row.name + ("" if row.fits else " *"),
                f"{row.plan}, {row.plan.sequences} sequences",
                number(row.seconds),
                number(row.tokens_per_chip_second),
                f"{row.utilisation:.1%}",
                number(round(row.exposed_seconds, 12)),
                f"{row.exposed_seconds / row.seconds:.1%}",
                f"{row.bubble_seconds / row.seconds:.1%}",
                number(row.joules_per_token),
                "no price" if row.dollars_per_million is None else number(row.dollars_per_million),
                f"{row.memory_bytes / _GIB:.1f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )
    notes = [
        f"* does not fit {row.chip.name}: needs {row.memory_bytes / _GIB:.1f} GiB, "
        f"has {row.chip.dram_bytes / _GIB:.1f}; more shards (fsdp), parts (tp) or stages (pp) need less"
        for row in rows
        if not row.fits
    ]
    return table + "".join(f"{note}\n" for note in notes)


def as_json(row: StepRow) -> dict[str, Any]:
    """A row as JSON."""
    shown = {
        name: getattr(row, name)
        for name in StepRow.__dataclass_fields__
        if name not in ("chip", "job", "plan", "by_kernel")
    }
    return {"chips": row.name, "model": row.job.model, "plan": asdict(row.plan), **shown}
