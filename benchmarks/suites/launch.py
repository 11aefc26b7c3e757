"""Suite `launch`: host time of single launches that nobody waits for, and of compiling a training step's kernels."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from .measure import Case, check, chip_cost, synchronize
from .report import Row

SUITE = "launch"
CALLS = 500  # in a row without a wait
BATCHES = 15


def unsynchronized_ms(call: Callable[[], object], device: torch.device) -> float:
    """Median host time of a call, in ms, over batches of CALLS calls; the wait after a batch is not counted."""
    call()
    batches = []
    for _ in range(BATCHES):
        synchronize(device)
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        batches.append((time.perf_counter() - start) / CALLS)
        synchronize(device)
    return 1e3 * statistics.median(batches)


def add_one_case() -> Case:
    def build(device: torch.device) -> Callable[[], torch.Tensor]:
        first, second = torch.tensor([1.25], device=device), torch.tensor([2.5], device=device)
        return lambda: first + second

    return Case(SUITE, "add_one_element", "float32", "1", build)


def add_one(device: torch.device) -> tuple[Row, str]:
    cpu, case = torch.device("cpu"), add_one_case()
    call, reference = case.build(device), case.build(cpu)
    check(case, call(), reference())
    cost = chip_cost(case, call, device)
    host_ms, cpu_ms = unsynchronized_ms(call, device), unsynchronized_ms(reference, cpu)
    row = Row(
        SUITE,
        case.name,
        case.dtype,
        case.shape,
        host_ms,
        cpu_ms,
        host_ms / cpu_ms,
        None if cost is None else cost.seconds * 1e6,
        None,
        None if cost is None else cost.joules,
    )
    return row, f"{host_ms * 1e3:.2f} us a call, unsynchronised"


def triton_launch(device: torch.device) -> tuple[Row, str]:
    """A @triton.jit kernel of a user, launched from Python; the CPU has no counterpart."""
    from .triton_kernels import add_vectors

    first, second = (torch.randn(1024, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    inputs, out = (first.to(device), second.to(device)), torch.full((1024,), float("nan"), device=device)

    def call() -> torch.Tensor:
        add_vectors[(1,)](*inputs, out, 1024, BLOCK=1024)
        return out

    case = Case(SUITE, "triton_launch", "float32", "1024", lambda _: call)
    check(case, call(), first + second)
    cost = chip_cost(case, call, device)
    host_ms = unsynchronized_ms(call, device)
    row = Row(SUITE, case.name, case.dtype, case.shape, host_ms)
    if cost is not None:
        row = Row(SUITE, case.name, case.dtype, case.shape, host_ms, chip_us=cost.seconds * 1e6, joules=cost.joules)
    return row, f"{host_ms * 1e3:.2f} us a launch, unsynchronised"


def first_step_ms(device: torch.device, dtype: str, cache: Path) -> float:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "suites.first_step", str(device), dtype]
    folder = Path(__file__).parents[1]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} in {folder} failed:\n{result.stderr}")
    return 1e3 * float(result.stdout.split()[-1])


def compile_rows(device: torch.device, dtype: str) -> Iterator[tuple[Row, str]]:
    """Time that a fresh process spends on compiling the kernels of the 30m step: nothing cached, then all of it."""
    with tempfile.TemporaryDirectory() as cache:
        for name in ("compile_step_cold", "compile_step_disk_cache"):
            host_ms = first_step_ms(device, dtype, Path(cache))
            yield Row(SUITE, name, dtype, "30m 4x256", host_ms), f"{host_ms / 1e3:.2f} s beyond a steady step"


def measurements(device: torch.device) -> Iterator[tuple[str, Callable[[], Iterator[tuple[Row, str]]]]]:
    """Names of the suite's measurements, and calls that give their rows."""
    yield "add_one_element", lambda: iter([add_one(device)])
    if device.type != "cpu":
        yield "triton_launch", lambda: iter([triton_launch(device)])
    for dtype in ("float32", "bfloat16"):
        yield "compile_step", partial(compile_rows, device, dtype)
