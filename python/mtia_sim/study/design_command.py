"""`python -m mtia_sim design`: a chip fitted to a workload, within budgets of area, power and cost."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mtia_core import chips
from mtia_core.chips import Chip
from mtia_core.errors import InvalidArgument, MtiaError
from mtia_sim.study import dies, own_workloads
from mtia_sim.study import prices as price_files
from mtia_sim.study.axes import default_axes, parse_axes
from mtia_sim.study.candidate import Base, chip_text
from mtia_sim.study.compare_command import make_folders, parse_shape, show_progress
from mtia_sim.study.design import Design, Question, Result
from mtia_sim.study.points import Point
from mtia_sim.study.proposer import require_optuna
from mtia_sim.study.silicon import dollars, silicon_of
from mtia_sim.study.workloads import DTYPES, WORKLOADS, Options

_INTERRUPTED = 130
_SHOWN = 20  # rows of the front


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m mtia_sim design`."""
    parser.add_argument("--workload", help=f"{', '.join(WORKLOADS)}, or FILE.py:function")
    parser.add_argument("--batch", type=int, help="sequences at a time")
    parser.add_argument("--seq", type=int, help="tokens of a sequence, or of the context of a decoded token")
    parser.add_argument("--layers", type=int, help="layers of the model")
    parser.add_argument("--shape", help="of gemm: rows x columns x depth; of attention: heads x key-value heads x head")
    parser.add_argument("--dtype", default="bfloat16", choices=tuple(DTYPES))
    parser.add_argument("--base", default="mtia300", help="the chip whose other fields are kept: a name or a TOML file")
    parser.add_argument("--process", help="of the base, where the area model does not know it: N7, N5, N3, ...")
    parser.add_argument("--stacks", type=int, help="stacks of HBM of the base, likewise")
    parser.add_argument(
        "--vary", action="append", default=[], metavar="FIELD=LOW:HIGH", help="again for more; a set around the base"
    )
    parser.add_argument("--area", type=float, metavar="MM2", help="at most; that of the base, by the area model")
    parser.add_argument("--power", type=float, metavar="W", help="mean of the workload at most; that of the base")
    parser.add_argument("--cost", type=float, metavar="DOLLARS", help="to make one, at most; that of the base")
    parser.add_argument("--price", type=Path, help="TOML file with the base's chip_dollars: costs are in proportion")
    parser.add_argument("--candidates", type=int, default=200, help="to measure within the budgets")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--processes", type=int, help="that measure side by side; one a processor")
    parser.add_argument("--out", type=Path, default=Path("design"), metavar="FOLDER", help="study, chips and picture")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all of it there, too")
    parser.add_argument("--dies", action="store_true", help="prints the published dies beside the models, and ends")


def run(arguments: argparse.Namespace) -> int:
    """Prints the design; returns the exit status."""
    if arguments.dies:
        print(dies_text(), end="")
        return 0
    try:
        result = design(arguments)
    except (MtiaError, RuntimeError) as error:
        print(f"design: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\ndesign: interrupted; what was measured is in {arguments.out}: ask the same to go on", file=sys.stderr)
        return _INTERRUPTED
    files = _write_chips(result, arguments.out)
    print(text(result, arguments.base, files), end="")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(as_json(result), indent=1) + "\n")
    from mtia_sim.study.design_picture import draw_design

    draw_design(result, arguments.out / "design.png")
    print(f"picture: {arguments.out / 'design.png'}")
    same = result.repeated is None or result.best is None or _repeats(result)
    return 0 if same else 1


def base_of(chip: Chip, process: str | None, stacks: int | None, prices: Path | None) -> Base:
    """A chip to derive candidates from; its cost is the price of a price file, where there is one."""
    silicon = silicon_of(chip, process, stacks)
    base = Base(chip, silicon)
    if prices is None:
        return base
    price = price_files.load(prices).of(chip.name).get("chip_dollars")
    if price is None:
        raise InvalidArgument(
            f"{prices} has no price of {chip.name}", remedy=f"add chip_dollars to [chips.{chip.name}]"
        )
    return Base(chip, silicon, price.value / dollars(chip, silicon, base.area))


def design(arguments: argparse.Namespace) -> Result:
    """The design asked for.

    Raises:
        MtiaError: A chip, workload, budget or range is wrong.
        RuntimeError: A measurement failed.
    """
    require_optuna()
    if arguments.workload is None:
        raise InvalidArgument("design needs a workload", remedy=f"give --workload {', '.join(WORKLOADS)}")
    for name in ("batch", "seq", "layers", "candidates", "processes"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            raise InvalidArgument(f"--{name} {value} is not positive", remedy="give a number of 1 or more")
    if arguments.workload not in WORKLOADS:
        own_workloads.locate(arguments.workload, WORKLOADS)
    make_folders(arguments)
    base = base_of(chips.load(arguments.base), arguments.process, arguments.stacks, arguments.price)
    axes = parse_axes(base, arguments.vary) or default_axes(base)
    options = Options(arguments.batch, arguments.seq, arguments.dtype, parse_shape(arguments.shape), arguments.layers)
    question = Question(
        arguments.workload,
        options,
        axes,
        arguments.area,
        arguments.power,
        arguments.cost,
        arguments.candidates,
        arguments.seed,
    )
    asked = Design(base, question, arguments.out, arguments.processes)
    if asked.found_before:
        print(f"goes on from {asked.found_before} measurements in {arguments.out}", file=sys.stderr)
    return asked.run(show_progress)


def _write_chips(result: Result, folder: Path) -> list[str]:
    names = [f"front{place}" for place in range(1, len(result.front) + 1)]
    for old in folder.glob("front*.toml"):
        old.unlink()
    for name, point in zip(names, result.front, strict=True):
        (folder / f"{name}.toml").write_text(chip_text(point.candidate, name))
    return names


def _repeats(result: Result) -> bool:
    assert result.best is not None
    return result.repeated == (result.best.seconds, result.best.total_joules)


def _number(value: float) -> str:
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _table(lines: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _row(name: str, point: Point, base: Point) -> tuple[str, ...]:
    return (
        name,
        _number(point.rate),
        _number(point.joules),
        f"{base.joules / point.joules:.2f}x",
        f"{point.candidate.area:.0f}",
        _number(point.watts),
        _number(point.candidate.dollars),
    )


def _chosen(point: Point, base: Point) -> str:
    """The fields that a point chose otherwise than the base."""
    told = []
    for field, value in point.candidate.chosen.items():
        was = float(base.candidate.chip.values[field])
        if value != was:
            told.append(f"{field} {value:,.6g} ({value / was:.2f}x)")
    return ", ".join(told) or "as the base"


def text(result: Result, base: str, files: list[str]) -> str:
    """The front, the best point, what a tenth of each field buys, the rerun and the models' errors."""
    unit, budgets, best = result.unit, result.budgets, result.best
    out = [
        f"{result.described}: {len(result.points)} candidates measured, derived from {base}\n"
        f"budgets: {budgets.area:.0f} mm2, {budgets.watts:.0f} W, {budgets.dollars:,.0f} dollars\n\n"
    ]
    header = ("chip", f"{unit}s/s", f"J/{unit}", f"{unit}s/J", "mm2", "W", "dollars")
    rows = [header, _row(base, result.base, result.base)]
    named = list(zip(files, result.front, strict=True))
    shown = [each for place, each in enumerate(named) if place % -(-len(named) // _SHOWN) == 0 or each[1] is best]
    rows += [_row(name + (" = best" if point is best else ""), point, result.base) for name, point in shown]
    out.append(_table(rows))
    if len(shown) < len(named):
        out.append(f"{len(named) - len(shown)} more of the front lie between these\n")
    if best is None:
        over: dict[str, int] = {}
        for point in result.points:
            for name in point.over:
                over[name] = over.get(name, 0) + 1
        which = ", ".join(f"{name} {count} times" for name, count in over.items())
        out.append(f"\nno candidate keeps within the budgets (exceeded: {which}); raise them, or measure more\n")
    else:
        out.append(f"\nbest: {_chosen(best, result.base)}\n")
        out.append(
            f"best beside {base}: {best.rate / result.base.rate:.2f} times the {unit}s a second, "
            f"{result.base.joules / best.joules:.2f} times the {unit}s a joule\n\n"
        )
        out.append(_table([("field", "by", f"{unit}s/s", f"J/{unit}", "mm2", "dollars"), *_changes(result, best)]))
        assert result.repeated is not None
        verdict = "the same numbers" if _repeats(result) else "OTHER numbers"
        seconds, joules = result.repeated
        out.append(f"\nbest.toml rerun in a process of its own: {verdict} ({seconds:.6g} s, {joules:.6g} J)\n")
    for problem, count in result.problems.items():
        out.append(f"{count} candidates did not run: {problem}\n")
    for what, compared in (("area", dies.compare_areas()), ("power", dies.compare_powers())):
        mean, worst = dies.mean_error(compared)
        out.append(f"{what} model: {mean:.0%} mean, {worst:.0%} worst error of dies that did not calibrate it\n")
    return "".join(out)


def _changes(result: Result, best: Point) -> list[tuple[str, ...]]:
    """A row a changed field: what it does to the best point."""
    rows: list[tuple[str, ...]] = []
    for change in result.changes:
        by = f"{change.factor - 1:+.0%}"
        if change.point is None:
            rows.append((change.field, by, "does not run", "", "", ""))
            continue
        point = change.point
        rows.append(
            (
                change.field,
                by,
                f"{point.rate / best.rate - 1:+.2%}",
                f"{point.joules / best.joules - 1:+.2%}",
                f"{point.candidate.area - best.candidate.area:+.1f}",
                f"{point.candidate.dollars - best.candidate.dollars:+,.0f}",
            )
        )
    return rows


def dies_text() -> str:
    """Published dies beside the models, as Markdown: docs/design.md has it."""
    lines = []
    for what, unit, compared in (("Area", "mm²", dies.compare_areas()), ("Power", "W", dies.compare_powers())):
        mean, worst = dies.mean_error(compared)
        lines += [
            f"| Die | Process | {what} published, {unit} | model | error | role | source |",
            "|---|---|---|---|---|---|---|",
            *(
                f"| `{row.die.name}` | {row.die.parts.process} | {row.published:g}{_mark(row.die, what)} "
                f"| {row.model:.0f} | {row.error:+.0%} | {row.die.role} | {row.die.source} |"
                for row in compared
            ),
            "",
            f"Of those that check: {mean:.0%} mean, {worst:.0%} worst error.",
            "",
        ]
    return "\n".join(lines)


def _mark(die: dies.Die, what: str) -> str:
    field = "square_millimetres" if what == "Area" else "watts"
    return " ᵃ" if field in die.assumed else ""


def _point_json(point: Point) -> dict[str, Any]:
    return {
        "chosen": dict(point.candidate.chosen),
        "rate": point.rate,
        "joules": point.joules,
        "watts": point.watts,
        "seconds": point.seconds,
        "square_millimetres": point.candidate.area,
        "dollars": point.candidate.dollars,
        "over": list(point.over),
    }


def as_json(result: Result) -> dict[str, Any]:
    """A design as JSON."""
    return {
        "described": result.described,
        "unit": result.unit,
        "budgets": {
            "square_millimetres": result.budgets.area,
            "watts": result.budgets.watts,
            "dollars": result.budgets.dollars,
        },
        "base": _point_json(result.base),
        "best": result.best and _point_json(result.best),
        "front": [_point_json(point) for point in result.front],
        "candidates": [_point_json(point) for point in result.points],
        "changes": [
            {
                "field": each.field,
                "value": each.value,
                "factor": each.factor,
                "point": each.point and _point_json(each.point),
            }
            for each in result.changes
        ],
        "repeated": result.repeated,
        "problems": dict(result.problems),
        "errors": {
            what: dict(zip(("mean", "worst"), dies.mean_error(compared), strict=True))
            for what, compared in (("area", dies.compare_areas()), ("power", dies.compare_powers()))
        },
    }
