"""What a design found, as text, as Markdown of the published dies, and as JSON."""

from typing import Any

from mtia_sim.study import dies
from mtia_sim.study.arguments import number
from mtia_sim.study.design import Result
from mtia_sim.study.points import Point

_SHOWN = 20  # rows of the front


def repeats(result: Result) -> bool:
    """Whether the rerun gave the best point's numbers."""
    assert result.best is not None
    return result.repeated == (result.best.seconds, result.best.total_joules)


def _table(lines: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in lines
    )


def _row(name: str, point: Point, base: Point) -> tuple[str, ...]:
    return (
        name,
        number(point.rate),
        number(point.joules),
        f"{base.joules / point.joules:.2f}x",
        f"{point.candidate.area:.0f}",
        number(point.watts),
        number(point.candidate.dollars),
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
    if best is not None:
        out.append(f"\nbest: {_chosen(best, result.base)}\n")
        out.append(
            f"best beside {base}: {best.rate / result.base.rate:.2f} times the {unit}s a second, "
            f"{result.base.joules / best.joules:.2f} times the {unit}s a joule\n\n"
        )
        out.append(_table([("field", "by", f"{unit}s/s", f"J/{unit}", "mm2", "dollars"), *_changes(result, best)]))
        assert result.repeated is not None
        verdict = "the same numbers" if repeats(result) else "OTHER numbers"
        seconds, joules = result.repeated
        out.append(f"\nbest.toml rerun in a process of its own: {verdict} ({seconds:.6g} s, {joules:.6g} J)\n")
    for problem, count in result.problems.items():
        out.append(f"{count} candidates did not run: {problem}\n")
    for what, compared in (("area", dies.compare_areas()), ("power", dies.compare_powers())):
        mean, worst = dies.mean_error(compared)
        out.append(f"{what} model: {mean:.0%} mean, {worst:.0%} worst error of dies that did not calibrate it\n")
    return "".join(out)


def nothing_fits(result: Result) -> str:
    """Which budgets the candidates exceeded, and how far the nearest is."""
    over: dict[str, int] = {}
    for point in result.points:
        for name in point.over:
            over[name] = over.get(name, 0) + 1
    which = ", ".join(f"{name} {count} times" for name, count in over.items())
    least = min(point.watts for point in result.points)
    return (
        f"none of {len(result.points)} candidates keeps within the budgets (exceeded: {which}; the least power was "
        f"{least:.0f} W); raise them, widen --vary, or measure more"
    )


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
