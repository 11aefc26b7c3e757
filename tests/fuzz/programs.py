"""Changes compiled tile programs at random and runs them: each is refused or stays within its bounds and limits.

`python -m tests.fuzz.programs --cases 10000` takes the golden kernels and whatever lies in Triton's cache folder, or in
the folders of --programs. The changes themselves are tests/cpp/program/mutation.cpp, the checks
test_mutated_programs.cpp beside it: `make cpp-test` or `make sanitize` builds what --binary names
(build-asan/mtia_tests: under ASan and UBSan).
"""

import argparse
import collections
import contextlib
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import triton

from mtia_core import errors
from mtia_core.program import MAGIC, check

BATCH = 2000
MOST_DEFECTS = 20  # then there is enough to look at
FILTER = "mutated_programs_are_refused"
LARGEST_PROGRAM = 200_000  # bytes; the verifier and the decoder are not to be what is timed


@dataclass
class Outcome:
    """What became of the cases so far."""

    ran: int = 0
    refused: collections.Counter[str] = field(default_factory=collections.Counter)
    defects: list[str] = field(default_factory=list)


def golden_programs() -> list[bytes]:
    """The golden kernels, compiled now."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "triton_mtia_sim"))
    import test_golden

    from triton_mtia_sim.launch import compile_launch

    return [compile_launch(*case, chip="mtia300").program for case in test_golden.CASES.values()]


def stored_programs(folders: list[Path], most: int) -> list[bytes]:
    """Programs of this instruction set in cache folders, a sample of at most `most`, the same one each time."""
    paths = sorted(path for folder in folders for path in folder.rglob("*.tileprog"))
    random.Random(0).shuffle(paths)
    programs: list[bytes] = []
    for path in paths:
        data = path.read_bytes()
        program = data[data.find(MAGIC) :] if MAGIC in data else b""
        with contextlib.suppress(errors.InvalidProgram):
            check(program)
            if len(program) <= LARGEST_PROGRAM:
                programs.append(program)
        if len(programs) == most:
            break
    return programs


def run_batch(binary: Path, folder: Path, first: int, cases: int, limit: float, outcome: Outcome) -> int:
    """Runs cases from `first` on; returns how many were run, the last of them the defect where there was one."""
    environment = {
        **os.environ,
        "MTIA_SIM_PROGRAMS": str(folder),
        "MTIA_SIM_FUZZ_FIRST": str(first),
        "MTIA_SIM_FUZZ_CASES": str(cases),
    }
    command = [str(binary), "--filter", FILTER]
    problem = ""
    try:
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit, check=False)
        output = finished.stdout
        if finished.returncode != 0:
            problem = f"exit code {finished.returncode}: {finished.stderr[-3000:]}"
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode()
        problem = f"no end after {limit:.0f} s"
    reached = [int(number) for number in re.findall(r"^case (\d+)$", output, re.MULTILINE)]
    if problem:
        last = reached[-1] if reached else first
        outcome.defects.append(f"case {last}: {problem}\n{output[-1500:]}")
        return last - first + 1
    outcome.ran += int(re.search(r"^ran (\d+)$", output, re.MULTILINE)[1])  # type: ignore[index]
    for category, count in re.findall(r"^refused (\w+) (\d+)$", output, re.MULTILINE):
        outcome.refused[category] += int(count)
    return cases


def main() -> int:
    """Returns 0 where no case was a defect."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.programs", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case: a case is its number")
    parser.add_argument("--binary", type=Path, default=Path("build/cmake/mtia_tests"))
    parser.add_argument("--programs", type=Path, action="append", help="a folder of *.tileprog files; may be repeated")
    parser.add_argument("--most", type=int, default=1000, help="programs to take from those folders")
    parser.add_argument("--limit", type=float, default=600, help="seconds that a batch may take")
    options = parser.parse_args()
    folders = options.programs or [Path(triton.knobs.cache.dir)]
    outcome = Outcome()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        programs = golden_programs() + stored_programs(folders, options.most)
        for number, program in enumerate(programs):
            (Path(name) / f"{number:06}.tileprog").write_bytes(program)
        end = options.first + options.cases
        at = options.first
        while at < end and len(outcome.defects) < MOST_DEFECTS:
            at += run_batch(options.binary, Path(name), at, min(BATCH, end - at), options.limit, outcome)
            print(f"{at - options.first} cases, {len(outcome.defects)} defects", flush=True)
    for defect in outcome.defects:
        print(defect)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    refused = ", ".join(f"{count} {category}" for category, count in outcome.refused.most_common())
    print(
        f"{options.cases} cases of {len(programs)} programs in {time.monotonic() - started:.0f} s: {outcome.ran} ran, "
        f"refused: {refused}; at most {memory:.0f} MiB of host memory; {len(outcome.defects)} defects"
    )
    return 1 if outcome.defects else 0


if __name__ == "__main__":
    sys.exit(main())
