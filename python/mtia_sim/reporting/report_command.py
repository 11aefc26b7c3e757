"""Where the time of a run or trace went: by kernel, bound by what, with a roofline and a stacked bar."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from mtia_sim.reporting.table import Breakdown, breakdown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m mtia_sim report`."""
    known = "a summary.json of examples/train_llama.py, or a trace in Chrome's format (.json)"
    parser.add_argument("file", nargs="?", help=known)
    parser.add_argument("--out", type=Path, default=None, help="folder for roofline.png and bar.png; none: no pictures")
    parser.add_argument("--most", type=int, default=30, help="rows of the table")


def run(arguments: argparse.Namespace) -> int:
    """Prints the table; returns the exit status."""
    try:
        found = read(Path(arguments.file))
    except (OSError, ValueError, LookupError, TypeError) as error:
        print(
            f"report: {arguments.file} is no summary.json with by_kernel and no trace in Chrome's format: {error}",
            file=sys.stderr,
        )
        return 2
    print(found.text("kernel", max(1, arguments.most)), end="")
    if arguments.out is not None:
        from mtia_sim.reporting.pictures import draw_bar, draw_roofline

        arguments.out.mkdir(parents=True, exist_ok=True)
        draw_roofline(found, arguments.out / "roofline.png")
        draw_bar(found, arguments.out / "bar.png")
        print(f"pictures: {arguments.out / 'roofline.png'}, {arguments.out / 'bar.png'}")
    return 0


def read(path: Path) -> Breakdown:
    """Rows by kernel of a summary or a trace."""
    contents = json.loads(path.read_text())
    if "by_kernel" in contents:
        rows = [{"name": name, **totals} for name, totals in contents["by_kernel"].items()]
        return breakdown(rows, lambda row: str(row["name"]), str(contents.get("chip") or ""))
    rows = [_row_of(event) for event in contents["traceEvents"] if _is_command(event)]
    if not rows:
        raise ValueError("it has no launches")
    return breakdown(rows, lambda row: str(row["name"]), str(contents["otherData"]["chip"]))


def _is_command(event: dict[str, Any]) -> bool:
    return event.get("ph") == "X" and event.get("cat") in ("launch", "copy", "fill") and "joules" in event["args"]


def _row_of(event: dict[str, Any]) -> dict[str, Any]:
    arguments = event["args"]
    return {**arguments, "name": event["name"], "count": 1, "seconds": arguments["chip_us"] * 1e-6}
