"""Tables of a run: by file, and every failure and skip by its reason class."""

import math
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.reasons import Counts, Result, classify


@dataclass
class Row:
    """The cases of a file."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    vendor: int = 0
    void: int = 0

    @property
    def counted(self) -> int:
        return self.passed + self.failed + self.skipped - self.vendor - self.void

    def cells(self) -> list[str]:
        rate = f"{100 * self.passed / self.counted:.1f} %" if self.counted else "-"
        return [str(count) for count in (self.passed, self.failed, self.skipped, self.vendor, self.void)] + [rate]

    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the pass rate of a random sample, by Wilson (1927)."""
        z = 1.959964
        n, rate = self.counted, self.passed / self.counted
        centre = rate + z * z / (2 * n)
        half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
        return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


@dataclass
class Reason:
    """The cases of a reason class."""

    counts: Counts
    cases: list[str] = field(default_factory=list)
    files: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)


@dataclass
class Tables:
    """What a run's results come to."""

    rows: dict[str, Row]
    total: Row
    reasons: dict[str, Reason]


def tabulate(cases: dict[str, Result], root: Path) -> Tables:
    """Counts the results by file and by reason class."""
    rows: dict[str, Row] = defaultdict(Row)
    reasons: dict[str, Reason] = {}
    total = Row()
    for case, result in cases.items():
        outcome = result["outcome"]
        if outcome != "passed":
            name, counts = classify({**result, "case": case}, root)
            reason = reasons.setdefault(name, Reason(counts))
            reason.cases.append(case)
            reason.files[result["file"]] += 1
            reason.outcomes[outcome] += 1
        for row in (rows[result["file"]], total):
            setattr(row, outcome, getattr(row, outcome) + 1)
            if outcome != "passed" and counts is not Counts.OURS:
                setattr(row, counts.value, getattr(row, counts.value) + 1)
    order = {Counts.OURS: 0, Counts.VENDOR: 1, Counts.VOID: 2}
    ranked = sorted(reasons.items(), key=lambda item: (order[item[1].counts], -len(item[1].cases), item[0]))
    return Tables(dict(rows), total, dict(ranked))


def sample(tables: Tables, population: int) -> str:
    """How large a sample of ``population`` cases the tables are of, and what it says of all of them."""
    row = tables.total
    ran = row.passed + row.failed + row.skipped
    low, high = row.interval()
    rate = f"{row.passed} / {row.counted} = {100 * row.passed / row.counted:.1f} %"
    return (
        f"{ran} of {population} cases; pass rate {rate}, "
        f"95 % confidence interval (Wilson) {100 * low:.1f} % to {100 * high:.1f} %"
    )


_FILE_HEAD = ["file", "passed", "failed", "skipped", "vendor-tied", "void", "pass rate"]
_REASON_HEAD = ["reason class", "counts as", "failed", "skipped", "where", "for example"]


def table_lines(head: list[str], rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in [head, *rows]]
    rule = ["-" * width for width in widths]
    return ["| " + " | ".join(row) + " |" for row in [padded[0], rule, *padded[1:]]]


def _short(name: str) -> str:
    return Path(name).name


def file_table(tables: Tables) -> list[str]:
    """One line a file."""
    folder = os.path.commonpath([str(Path(name).parent) for name in tables.rows]) if tables.rows else ""
    rows = [[os.path.relpath(name, folder or "."), *row.cells()] for name, row in tables.rows.items()]
    return table_lines(_FILE_HEAD, [*rows, ["all", *tables.total.cells()]])


def reason_table(tables: Tables) -> list[str]:
    """One line a reason class."""
    rows = []
    for name, reason in tables.reasons.items():
        where = ", ".join(f"{_short(file).removesuffix('.py')} {count}" for file, count in reason.files.most_common(3))
        example = ".".join(reason.cases[0].split("::")[1:]) or reason.cases[0]
        outcomes = [str(reason.outcomes[outcome]) for outcome in ("failed", "skipped")]
        rows.append([cell_text(name), reason.counts.value, *outcomes, where, f"`{cell_text(example[:70])}`"])
    return table_lines(_REASON_HEAD, rows)


def cell_text(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "/")


def section(run: dict[str, Any], tables: Tables) -> str:
    """The part of docs/conformance.md that a run writes."""
    lines = [f"<!-- begin {run['suite']} -->", f"## {run['suite']}: {run['title']}", ""]
    lines += [f"{key}: {value}  " for key, value in run["facts"].items()]
    lines += ["", *file_table(tables), "", *reason_table(tables), f"<!-- end {run['suite']} -->"]
    return "\n".join(lines) + "\n"


def write_section(path: Path, name: str, text: str) -> None:
    """Puts the section of suite ``name`` into the document, in place of an older one or at its end."""
    document = path.read_text() if path.is_file() else "# Conformance\n"
    pattern = re.compile(f"<!-- begin {name} -->.*?<!-- end {name} -->\n", re.DOTALL)
    if pattern.search(document):
        document = pattern.sub(lambda _: text, document)
    else:
        document += "\n" + text
    path.write_text(document)
