"""What a run of suite `opinfo` comes to by operator: counts by TritorX's filter, and each operator that does not pass.

`python -m tests.conformance opinfo --operators docs/operators.md` writes the document.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.conformance.opinfo import catalogue
from tests.conformance.report import cell_text, table_lines

_DIRECTIONS = ("forward", "backward", "out", "inplace", "errors")
_CASE = re.compile(r"test_(\w+)\[(?:(\w+)-)?(.*)\]$")
_JUDGED = tuple(str(dtype).removeprefix("torch.") for dtype in catalogue.JUDGED)
_REASON = 110  # characters
_INTRODUCTION = (
    "What of torch's OpInfo database passes on mtia_sim, held against CPU torch, without any fallback to the CPU.",
    "Made by `python -m tests.conformance opinfo --json FILE --operators docs/operators.md`, which runs every sample",
    "of every operator in each direction and dtype.",
)


@dataclass
class Standing:
    """The cases of one operator, over its variants: dtypes that passed and reasons of those that did not."""

    passed: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    failed: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def passes(self, direction: str, dtypes: tuple[str, ...]) -> bool:
        """Whether no case of these dtypes failed, and one passed."""
        if any(dtype in self.failed[direction] for dtype in dtypes):
            return False
        return any(dtype in self.passed[direction] for dtype in dtypes)


def standings(cases: dict[str, Any]) -> dict[str, Standing]:
    """By operator, from a run's cases."""
    operators = {entry.name: entry.operator for entry in catalogue.entries()}
    found: dict[str, Standing] = defaultdict(Standing)
    for case, result in cases.items():
        match = _CASE.search(case)
        if match is None or match[3] not in operators or result["outcome"] not in ("passed", "failed"):
            continue
        direction, dtype, standing = match[1], match[2] or "", found[operators[match[3]]]
        if result["outcome"] == "passed":
            standing.passed[direction].add(dtype)
        else:
            standing.failed[direction][dtype] = _reason(result.get("message") or "")
    return dict(found)


def _reason(message: str) -> str:
    missing = re.search(r"Unimplemented: (\S+) has no", message)
    if missing is not None:
        return f"no kernel of {missing[1]}"
    text = message.split("\ncaused by ")[0].removeprefix("AssertionError: ")
    return text.strip().splitlines()[0][:_REASON] if text.strip() else "failed"


def judged() -> list[str]:
    """TritorX's operators: samples in one of the five dtypes and fewer than 900 of them, no FFT, no random numbers."""
    samples: dict[str, int] = defaultdict(int)
    for entry in catalogue.entries():
        if catalogue.family(entry.operator) == "judged":
            for dtype in set(entry.info.dtypes) & set(catalogue.JUDGED):
                torch.manual_seed(0)
                samples[entry.operator] += sum(1 for _ in entry.info.sample_inputs("cpu", dtype))
    return sorted(name for name, count in samples.items() if 0 < count < catalogue.FEW)


def _count_rows(found: dict[str, Standing]) -> list[list[str]]:
    chosen = judged()
    has = [found.get(name, Standing()) for name in chosen]
    differentiable = [one for one in has if one.passed["backward"] or one.failed["backward"]]
    both = [one for one in has if one.passes("forward", _JUDGED)]
    rows = [["forward, five dtypes", str(len(both)), str(len(chosen))]]
    backward = sum(one.passes("backward", _JUDGED) for one in differentiable)
    rows.append(["backward, three dtypes", str(backward), str(len(differentiable))])
    whole = sum(one.passes("forward", _JUDGED) and not any(one.failed["backward"].values()) for one in has)
    rows.append(["forward, and backward where differentiable", str(whole), str(len(chosen))])
    everyone = list(found.values())
    for direction in ("out", "inplace", "errors"):
        concerned = [one for one in everyone if one.passed[direction] or one.failed[direction]]
        rows.append(
            [
                f"{direction}, all operators",
                str(sum(not one.failed[direction] for one in concerned)),
                str(len(concerned)),
            ]
        )
    for family in ("fft", "random"):
        concerned = [one for name, one in found.items() if catalogue.family(name) == family]
        rows.append(
            [f"{family}: forward", str(sum(not one.failed["forward"] for one in concerned)), str(len(concerned))]
        )
    return rows


def document(run: dict[str, Any]) -> str:
    """docs/operators.md."""
    found = standings(run["cases"])
    failing = {name: one for name, one in sorted(found.items()) if any(one.failed.values())}
    rows = []
    for name, one in failing.items():
        for reason, places in _by_reason(one).items():
            rows.append([f"`{name}`", places, cell_text(reason)])
    passing = sorted(set(found) - set(failing))
    lines = ["# Operators", "", *_INTRODUCTION, ""]
    lines += [f"{key}: {value}  " for key, value in run["facts"].items() if key != "Changed in the suite"]
    lines += [
        "",
        f"By TritorX's filter ({', '.join(_JUDGED)}; no FFT, no random numbers, under {catalogue.FEW} samples):",
    ]
    lines += ["", *table_lines(["what", "operators that pass all", "of"], _count_rows(found))]
    lines += ["", "## What does not pass", "", "By operator, where (direction: dtypes), and the first reason.", ""]
    lines += table_lines(["operator", "where", "reason"], rows) if rows else ["Everything passes."]
    lines += ["", f"## What passes in every case that ran ({len(passing)})", ""]
    return "\n".join([*lines, ", ".join(f"`{name}`" for name in passing), ""])


def _by_reason(one: Standing) -> dict[str, str]:
    places: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for direction in _DIRECTIONS:
        for dtype, reason in one.failed[direction].items():
            places[reason][direction].append(dtype)
    return {
        reason: "; ".join(
            f"{direction}: {', '.join(dtypes)}" if any(dtypes) else direction for direction, dtypes in where.items()
        )
        for reason, where in places.items()
    }
