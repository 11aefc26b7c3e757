#!/usr/bin/env python3
"""The kernel ladders step by step in chip time: prints the tables, or writes them and the picture into docs/.

python benchmarks/ladder.py [--chips mtia300,mtia2i] [--only softmax] [--write]
python benchmarks/ladder.py --host    # host time of the last GEMM against CPU torch's on the same threads
"""

import argparse
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, PICTURE = DOCS / "ladder.md", DOCS / "ladder_roofline.png"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chips", default="mtia300,mtia2i", help="chips to measure on, by name or TOML file")
    parser.add_argument("--only", default="", metavar="TEXT", help="ladders whose name contains TEXT")
    parser.add_argument("--write", action="store_true", help=f"write tables and picture into {DOCS}")
    parser.add_argument("--host", action="store_true", help="host time of the last GEMM against CPU torch")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of device and CPU torch, for --host")
    parser.add_argument(
        "--clock", default="wall", choices=("wall", "processor"), help="for --host; processor: on a busy machine"
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def print_rows(only: str) -> None:
    """In a process of its own, because a process has one chip: a line of JSON a step."""
    from suites.ladders import TRITON_LADDERS, gemm_ladders, measure_ladder

    for ladder in (*gemm_ladders(), *TRITON_LADDERS):
        if only in ladder.name:
            for row in measure_ladder(ladder):
                print(json.dumps(dataclasses.asdict(row) | {"title": ladder.title}), flush=True)


def measured(chip: str, only: str) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, "--child", "--only", only]
    result = subprocess.run(
        command, env={**os.environ, "MTIA_SIM_CHIP": chip}, stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in result.stdout.splitlines()]


def print_host_time(arguments: argparse.Namespace) -> None:
    """The chip is that of MTIA_SIM_CHIP."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MTIA_SIM_THREADS"] = str(arguments.threads)
    import torch
    from suites.gemm_ladder import packed
    from suites.ladders import gemm_ladders, prepared
    from suites.measure import Call, Case, measure
    from suites.report import TABLE_HEADER, format_row

    torch.set_num_threads(arguments.threads)
    ladder = gemm_ladders()[0]

    def build(device: torch.device) -> Call:
        a, b = (tensor.to(device) for tensor in ladder.make())
        c = torch.empty(len(a), b.shape[1], dtype=a.dtype, device=device)
        if device.type == "cpu":
            return lambda: torch.matmul(a, b, out=c)
        inputs = prepared(packed, [a, b])

        def call() -> torch.Tensor:
            packed(c, *inputs)
            return c

        return call

    (m, k), (_, n) = ladder.shapes
    case = Case("ladder", "gemm packed", "bfloat16", f"{m}x{n}x{k}", build, ladder.flops, ladder.read + ladder.written)
    print(TABLE_HEADER, format_row(*measure(case, torch.device("mtia_sim"), 20.0, arguments.clock)), sep="\n")


def quantity(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e3:.3g} k"


def table(rows: list[dict[str, Any]]) -> str:
    """Steps of one ladder, the chips one after the other."""
    lines = [
        "| chip | step | from DRAM, us | of roofline | from SRAM, us | of roofline | bytes PEs - SRAM | SRAM - DRAM "
        "| FLOPs | busiest unit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        busiest = f"{row['busiest'].replace('_', ' ')} {row['busiest_fraction']:.0%}"
        lines.append(
            f"| {row['chip']} | {row['step']} | {row['cold'] * 1e6:.1f} | {row['cold_roofline']:.1%} "
            f"| {row['warm'] * 1e6:.1f} | {row['warm_roofline']:.1%} | {quantity(row['moved'])} "
            f"| {quantity(row['dram'])} | {quantity(row['flops'])} | {busiest} |"
        )
    return "\n".join(lines)


def write_tables(ladders: dict[str, list[dict[str, Any]]]) -> None:
    page = PAGE.read_text()
    for name, rows in ladders.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        text = f"{begin}\n{rows[0]['title']}:\n\n{table(rows)}\n{end}"
        page, count = re.subn(f"{begin}.*?{end}", lambda _, text=text: text, page, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{PAGE} holds {begin} ... {end} {count} times, wants once")
    PAGE.write_text(page)


def main() -> int:
    arguments = parse_arguments()
    if arguments.child:
        print_rows(arguments.only)
        return 0
    if arguments.host:
        print_host_time(arguments)
        return 0
    rows = [row for chip in arguments.chips.split(",") for row in measured(chip, arguments.only)]
    ladders: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        ladders.setdefault(row["ladder"], []).append(row)
    for name, steps in ladders.items():
        print(f"{name}\n{table(steps)}\n")
    if arguments.write:
        from suites.ladder_picture import draw

        write_tables(ladders)
        draw(ladders, PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
