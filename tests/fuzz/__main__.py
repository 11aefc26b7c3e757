"""python -m tests.fuzz --cases N --seed S: random kernels on the device against numpy; failures are made small."""

import argparse
import copy
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from tests.fuzz.checking import Checker, Difference, defined, minimise, remove_unused
from tests.fuzz.kernel import effects, ttir
from tests.fuzz.statements import make_kernel
from triton_mtia_sim.strips.splitting import Strips


def case_seed(seed: int, case: int) -> str:
    """What decides everything about a case."""
    return f"{seed}:{case}"


def run_case(checker: Checker, seed: int, case: int) -> tuple[Difference | None, bool]:
    """How a case disagrees, and whether it went through Triton's passes."""
    kernel = make_kernel(case_seed(seed, case))
    passes = case % 2 == 1
    if case % 8:
        remove_unused(kernel)
    outcome = defined(kernel)
    if outcome is None or not effects(kernel):
        return None, passes
    return checker.check(kernel, passes, case, outcome), passes


def report(checker: Checker, seed: int, case: int, difference: Difference, passes: bool) -> None:
    """Prints a failing case, made small."""
    print(f"\ncase {case} of seed {seed}{' through Triton' if passes else ''}: {difference.kind}: {difference.text}")
    kernel = make_kernel(case_seed(seed, case))
    if case % 8:
        remove_unused(kernel)
    defined(kernel)
    smaller = minimise(checker, copy.deepcopy(kernel), passes, case, difference.kind)
    again = checker.check(smaller, passes, case)
    print(ttir(smaller))
    print("arguments:", list(smaller.numbers.values()), "programs:", smaller.grid)
    print("made small:", again.text if again else "agrees", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--chip", default=None, help="name or file of a chip (default: MTIA_SIM_CHIP's)")
    parser.add_argument("--stop-after", type=int, default=5, help="failures after which to stop (default 5)")
    parser.add_argument("--strips", type=int, default=0, help="cut tiles of 2 elements and more into so many strips")
    parser.add_argument("--reload", action="store_true", help="with --strips: load again rather than keep")
    parser.add_argument("--show", action="store_true", help="print the kernel of the first case, do not run it")
    options = parser.parse_args()
    if options.show:
        kernel = make_kernel(case_seed(options.seed, options.first))
        defined(kernel)
        print(ttir(kernel))
        return 0
    failed: Counter[str] = Counter()
    began = time.perf_counter()
    ran = 0
    with tempfile.TemporaryDirectory() as folder:
        strips = Strips(options.strips, options.reload, least=2) if options.strips else None
        checker = Checker(Path(folder), options.chip, strips)
        for case in range(options.first, options.first + options.cases):
            ran += 1
            try:
                difference, passes = run_case(checker, options.seed, case)
            except Exception:
                print(f"\ncase {case} of seed {options.seed}: the fuzzer itself fails\n{traceback.format_exc()}")
                failed["fuzzer"] += 1
                difference = None
            if difference is not None:
                failed[difference.kind] += 1
                report(checker, options.seed, case, difference, passes)
            if sum(failed.values()) >= options.stop_after:
                break
    seconds = time.perf_counter() - began
    print(f"{ran} cases of seed {options.seed} in {seconds:.1f} s ({ran / seconds:.0f} a second): ", end="")
    print(f"{sum(failed.values())} failed {dict(failed)}" if failed else "all agree")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
