"""`python -m mtia_sim validate`: published figures against the model's; what calibrates is apart from what checks."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim.study.arguments import ended, make_room, show_progress
from mtia_sim.study.figures import FIGURES as _OF_CHIPS
from mtia_sim.study.figures import Figure
from mtia_sim.study.job_figures import JOB_FIGURES
from mtia_sim.study.link_figures import LINK_FIGURES
from mtia_sim.study.runs import measured_all

FIGURES = (*_OF_CHIPS, *JOB_FIGURES, *LINK_FIGURES)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m mtia_sim validate`."""
    parser.add_argument("--chips", help="only figures of these, with commas between them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes the rows there, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="writes them as a document")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; returns the exit status."""
    return ended("validate", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    known = {figure.chip for figure in FIGURES}
    wanted = known if arguments.chips is None else {name.strip() for name in arguments.chips.split(",")}
    if unknown := sorted(wanted - known):
        raise InvalidArgument(
            f"no figure is of {', '.join(unknown)}", remedy=f"give some of {', '.join(sorted(known))}"
        )
    make_room([arguments.json, arguments.markdown])
    rows = validated([figure for figure in FIGURES if figure.chip in wanted])
    print("\n".join(text(rows)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.markdown is not None:
        arguments.markdown.write_text(markdown(rows))
    return 0


def validated(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """A row for each figure: chip, what, source, published, model, unit, error as a fraction, role, cause.

    published_to: the other end of a published range, or None; sense: "", "at least" or "at most" what is published;
    kind: streams, products, attention, training, serving, energy, power or links.

    Raises:
        MtiaError, RuntimeError: A run failed.
    """
    measurements = measured_all([run for figure in figures for run in _runs(figure)], show_progress)
    rows = []
    for figure in figures:
        found = [measurements[run] for run in _runs(figure)]
        model = figure.metric(chips.load(figure.chip), found)
        rows.append(
            {
                "chip": figure.chip,
                "what": figure.what,
                "source": figure.source,
                "published": figure.published,
                "published_to": figure.published_to,
                "sense": figure.sense,
                "kind": figure.kind,
                "model": model,
                "unit": figure.unit,
                "error": figure.error(model),
                "role": figure.role,
                "cause": figure.cause,
            }
        )
    return rows


def _runs(figure: Figure) -> list[Any]:
    # A figure of a cluster is one chip's here, whose share of the weights is not modelled yet: it gets room for all.
    return [run.with_room() if run.workload.endswith("train") else run for run in figure.runs]


def _published(row: dict[str, Any]) -> str:
    sense = row["sense"] and f"{row['sense']} "
    end = "" if row["published_to"] is None else f" to {row['published_to']:.4g}"
    return f"{sense}{row['published']:.4g}{end} {row['unit']}"


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Mean and worst error of the checks alone."""
    checks = [row for row in rows if row["role"] == "checks"]
    if not checks:
        return "no checks"
    worst = max(checks, key=lambda row: abs(row["error"]))
    mean = fmean(abs(row["error"]) for row in checks)
    return (
        f"{len(checks)} checks: mean error {mean:.1%}, worst {worst['error']:+.1%} ({worst['chip']}: {worst['what']}); "
        f"{len(rows) - len(checks)} figures calibrate"
    )


def by_kind(rows: Sequence[dict[str, Any]]) -> list[tuple[str, int, float, float]]:
    """For each kind of checks: how many, and their mean and worst error without signs."""
    errors: dict[str, list[float]] = {}
    for row in rows:
        if row["role"] == "checks":
            errors.setdefault(row["kind"], []).append(abs(row["error"]))
    return [(kind, len(found), fmean(found), max(found)) for kind, found in errors.items()]


def text(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of a table and a summary."""
    lines = [("chip", "what", "published", "model", "error", "role")]
    for row in rows:
        lines.append(
            (
                row["chip"],
                row["what"],
                _published(row),
                f"{row['model']:.4g} {row['unit']}",
                f"{row['error']:+.1%}",
                row["role"],
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    kinds = [
        f"{kind}: {count} checks, mean {mean:.1%}, worst {worst:.1%}" for kind, count, mean, worst in by_kind(rows)
    ]
    return [*table, "", *kinds, "", summary(rows)]


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """docs/validation.md."""
    parts = [
        "# Published figures against the model",
        "",
        "Made by `python -m mtia_sim validate --markdown docs/validation.md` from `python/mtia_sim/study/figures.py`.",
        "A figure calibrates, where a number of a chip file was derived from it, or checks; errors are as they are.",
        "",
        f"**{summary(rows)}.**",
        "",
        "| Checks of | Figures | Mean error | Worst |",
        "|---|---|---|---|",
        *(f"| {kind} | {count} | {mean:.1%} | {worst:.1%} |" for kind, count, mean, worst in by_kind(rows)),
    ]
    for role, title in (("checks", "Checks"), ("calibrates", "Figures that calibrate")):
        parts += [
            "",
            f"## {title}",
            "",
            "| Chip | What | Published | Model | Error | Source | Cause |",
            "|" + "---|" * 7,
        ]
        for row in rows:
            if row["role"] == role:
                parts.append(
                    f"| {row['chip']} | {row['what']} | {_published(row)} | {row['model']:.4g} "
                    f"{row['unit']} | {row['error']:+.1%} | {row['source']} | {row['cause']} |"
                )
    return "\n".join(parts) + "\n"
