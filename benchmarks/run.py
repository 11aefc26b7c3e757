#!/usr/bin/env python3
"""Benchmarks of a torch device against CPU torch with as many threads: results checked, then timed in turn.

python benchmarks/run.py [--suite llama|kernels|launch|triton] [--json FILE] [--profile]
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from suites.report import Row

SUITES = ("llama", "kernels", "launch", "triton")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--suite", choices=SUITES, help="run this suite only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    parser.add_argument("--device", default="mtia_sim", help="torch device to measure")
    parser.add_argument("--chip", help="name or TOML file of the chip that the device shall emulate")
    parser.add_argument("--only", default="", metavar="TEXT", help="run the cases whose name contains TEXT")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of the device and of CPU torch")
    parser.add_argument(
        "--profile", action="store_true", help="suite llama: show what a step spends by kernel, instead of rows"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="longest time for the samples of a case")
    parser.add_argument(
        "--tutorials", type=Path, metavar="DIR", help="suite triton: Triton's python/tutorials, to measure theirs too"
    )
    parser.add_argument(
        "--clock", default="wall", choices=("wall", "processor"), help="processor: CPU time, for a busy machine"
    )
    return parser.parse_args()


def rows_of(suite: str, device: "torch.device", arguments: argparse.Namespace) -> Iterator[tuple["Row | str", str]]:
    """Rows of a suite as they are measured; a case that fails gives its name and what went wrong."""
    from suites import kernels, launch, training
    from suites.measure import measure

    only, seconds, clock = arguments.only, arguments.seconds, arguments.clock
    if suite in ("launch", "triton"):
        if suite == "launch":
            listed = launch.measurements(device)
        else:
            from suites import triton_suite

            listed = triton_suite.measurements(device, arguments.tutorials, seconds, clock)
        for name, measurements in listed:
            if only in name:
                try:
                    yield from measurements()
                except Exception as error:
                    yield f"{suite} {name}", f"{type(error).__name__}: {error}"
        return
    for case in (training if suite == "llama" else kernels).cases():
        if only in case.name:
            try:
                yield measure(case, device, seconds, clock)
            except Exception as error:
                yield f"{suite} {case.name} {case.dtype} {case.shape}", f"{type(error).__name__}: {error}"


def profile_steps(device: "torch.device", only: str) -> int:
    """Prints what the steps of suite llama whose dtype contains `only` spend their host time on."""
    from suites import training
    from suites.profile import print_profile, profile_step

    for case in training.cases():
        if only in case.name or only in case.dtype:
            print_profile(f"{case.name} {case.dtype} {case.shape}", profile_step(case.build(device), device))
    return 0


def main() -> int:
    arguments = parse_arguments()
    # Read when the libraries are loaded, so set before torch is imported.
    os.environ["OMP_NUM_THREADS"] = os.environ["MTIA_SIM_THREADS"] = str(arguments.threads)
    if arguments.chip is not None:
        os.environ["MTIA_SIM_CHIP"] = arguments.chip
    import torch
    from suites.report import TABLE_HEADER, format_row, write_rows

    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    from suites import host

    if arguments.profile:
        return profile_steps(device, arguments.only)
    rows, failures = [], []
    print(f"{host.make()} ({' '.join(host.instructions())})")
    print(f"{device}, CPU torch {torch.__version__}, {arguments.threads} threads each\n{TABLE_HEADER}", flush=True)
    for suite in SUITES if arguments.suite is None else (arguments.suite,):
        for row, note in rows_of(suite, device, arguments):
            if isinstance(row, str):
                failures.append(row)
                print(f"{row} FAILED: {note}", flush=True)
            else:
                rows.append(row)
                print(format_row(row, note), flush=True)
    if arguments.json is not None:
        write_rows(arguments.json, rows, host.make(), host.instructions(), host.environment())
    if failures:
        print(f"{len(failures)} of {len(failures) + len(rows)} cases failed: {', '.join(failures)}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
