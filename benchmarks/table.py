#!/usr/bin/env python3
"""Markdown tables of measured rows, with a ratio and a host time for each make of host.

python benchmarks/table.py NAME=FILE [NAME=FILE ...]: files of `run.py --json`, a name for the make of each; rows of a
later file with the same name replace those before. Chip times are the last file's that has them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Key = tuple[str, str, str, str]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("files", nargs="+", metavar="NAME=FILE")
    parser.add_argument(
        "--above", type=float, metavar="RATIO", help="only rows with a larger ratio on one of the hosts"
    )
    return parser.parse_args()


def digits(value: float | None) -> str:
    """Three significant digits."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table_of(rows: dict[Key, dict[str, Row]], makes: list[str]) -> list[str]:
    """The lines of the table of one suite."""
    heads = ["name", "dtype", "shape", *(f"{make}: {what}" for make in makes for what in ("ratio", "host ms"))]
    lines = [f"| {' | '.join([*heads, 'chip us', 'roofline'])} |", "|---" * (len(heads) + 2) + "|"]
    for (_, name, dtype, shape), measured in rows.items():
        cells = [name, dtype, shape]
        chip: Row = {}
        for make in makes:
            row = measured.get(make, {})
            cells += ["" if row.get("host_ratio") is None else f"{row['host_ratio']:.2f}", digits(row.get("host_ms"))]
            chip = row if row.get("chip_us") is not None else chip
        roofline = chip.get("roofline")
        cells += [
            "" if not chip else f"{chip['chip_us']:.2f}",
            "" if roofline is None else f"{100 * roofline:.0f} %",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> int:
    arguments = parse_arguments()
    measured: dict[Key, dict[str, Row]] = {}
    makes: list[str] = []
    for item in arguments.files:
        make, _, name = item.partition("=")
        makes += [make] if make not in makes else []
        for row in json.loads(Path(name).read_text())["rows"]:
            measured.setdefault((row["suite"], row["name"], row["dtype"], row["shape"]), {})[make] = row
    if arguments.above is not None:
        measured = {
            key: rows
            for key, rows in measured.items()
            if any((row.get("host_ratio") or 0) > arguments.above for row in rows.values())
        }
    for suite in dict.fromkeys(key[0] for key in measured):
        print(f"{suite}\n")
        print("\n".join(table_of({key: rows for key, rows in measured.items() if key[0] == suite}, makes)), end="\n\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
