"""Times a call on the device against the same call on CPU torch: alternating, medians, disturbed samples repeated."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .report import Row

Call = Callable[[], Any]
ROUNDS = 5  # undisturbed samples wanted of each side
LARGEST_ROUNDS = 15
SAMPLE_SECONDS = 0.03  # a sample repeats the call until it takes about so long
DISTURBED = 0.9  # of the side's highest CPU time over wall time: below, something else used the cores
# Lets worker threads of the other side stop spinning: on an Intel host libgomp's do after 6 to 9 ms.
SETTLE_SECONDS = 0.02
CLOCKS = ("wall", "processor")  # processor: CPU time of all threads, for a machine that others use too
RELATIVE_NORM = {"float32": 1e-4, "float64": 1e-10, "bfloat16": 2e-2, "float16": 4e-3, "amp": 2e-2, "int64": 0.0}


class WrongResultError(Exception):
    """The device's result differs from CPU torch's by more than the dtype allows."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A call to time: build(device) makes inputs from a fixed seed and gives the call, which returns its results.

    `flops` and `bytes` are the least that the call needs, for the roofline; 0 where nobody counts.
    """

    suite: str
    name: str
    dtype: str
    shape: str
    build: Callable[[torch.device], Call]
    flops: int = 0
    bytes: int = 0
    tolerance: float | None = None


@dataclasses.dataclass(frozen=True)
class Sample:
    """One timed stretch: seconds a call, and CPU time of the process over wall time."""

    seconds: float
    cores: float


def synchronize(device: torch.device) -> None:
    torch.get_device_module(device).synchronize()


def sample(call: Call, device: torch.device, repeats: int, clock: str) -> Sample:
    """Times `repeats` calls by a clock of CLOCKS."""
    synchronize(device)
    time.sleep(SETTLE_SECONDS)
    processor, start = time.process_time(), time.perf_counter()
    for _ in range(repeats):
        call()
    synchronize(device)
    wall, processor = time.perf_counter() - start, time.process_time() - processor
    return Sample((wall if clock == "wall" else processor) / repeats, processor / wall)


def undisturbed(samples: list[Sample]) -> list[Sample]:
    most = max(each.cores for each in samples)
    return [each for each in samples if each.cores >= DISTURBED * most]


def alternate(calls: dict[torch.device, Call], seconds: float, clock: str) -> dict[torch.device, list[Sample]]:
    """Samples of each device's call in turn until each has ROUNDS undisturbed ones, or the time or rounds are over."""
    repeats = {}
    for device, call in calls.items():
        once = min(sample(call, device, 1, clock).seconds for _ in range(2))
        repeats[device] = max(1, round(SAMPLE_SECONDS / once))
    samples: dict[torch.device, list[Sample]] = {device: [] for device in calls}
    start = time.perf_counter()
    for round_number in range(LARGEST_ROUNDS):
        for device, call in calls.items():
            samples[device].append(sample(call, device, repeats[device], clock))
        quiet = min(len(undisturbed(side)) for side in samples.values())
        if quiet >= ROUNDS or (round_number >= 2 and time.perf_counter() - start > seconds):
            break
    return samples


def tensors_of(result: Any) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [tensor for item in result if item is not None for tensor in tensors_of(item)]


def check(case: Case, result: Any, expected: Any) -> None:
    """Raises WrongResultError unless the relative norm of each tensor's error is within the dtype's bound."""
    bound = RELATIVE_NORM[case.dtype] if case.tolerance is None else case.tolerance
    pairs = zip(tensors_of(result), tensors_of(expected), strict=True)
    for index, (got, wanted) in enumerate(pairs):
        got_64, wanted_64 = got.detach().cpu().double(), wanted.detach().double()
        if got_64.shape != wanted_64.shape:
            raise WrongResultError(f"{case.name}: result {index} has shape {got_64.shape}, CPU torch {wanted_64.shape}")
        error = float((got_64 - wanted_64).norm() / wanted_64.norm().clamp_min(1e-30))
        if not error <= bound:
            raise WrongResultError(
                f"{case.name} {case.dtype} {case.shape}: result {index} is off by {error:.2g} in relative norm, "
                f"the bound is {bound:.2g}"
            )


@dataclasses.dataclass(frozen=True)
class ChipCost:
    """What one call takes in the chip's account."""

    seconds: float
    joules: float
    roofline: float | None


def chip_cost(case: Case, call: Call, device: torch.device) -> ChipCost | None:
    """Account of one call; None where the device keeps none."""
    module = torch.get_device_module(device)
    if not hasattr(module, "perf_counters"):
        return None
    synchronize(device)
    before = module.perf_counters()
    call()
    synchronize(device)
    after = module.perf_counters()
    seconds = after["seconds"] - before["seconds"]
    properties = module.get_device_properties(device)
    peaks = {str(key).removeprefix("torch."): value for key, value in getattr(properties, "peak_flops", {}).items()}
    peak = peaks.get("bfloat16" if case.dtype == "amp" else case.dtype)
    bandwidth = getattr(properties, "memory_bandwidth", None)
    least = max(case.flops / peak if peak else 0.0, case.bytes / bandwidth if bandwidth else 0.0)
    return ChipCost(seconds, after["joules"] - before["joules"], least / seconds if least and seconds else None)


def measure(case: Case, device: torch.device, seconds: float, clock: str = "wall") -> tuple[Row, str]:
    """Row of a case, checked against CPU torch first, and how many cores were used; `seconds` bounds its timing."""
    cpu = torch.device("cpu")
    calls = [(device, case.build(device)), (cpu, case.build(cpu))]
    check(case, calls[0][1](), calls[1][1]())
    cost = chip_cost(case, calls[0][1], device)
    if device == cpu:  # the harness against itself: two sides that are the same
        host, reference = (alternate({cpu: call}, seconds, clock)[cpu] for _, call in calls)
    else:
        samples = alternate(dict(calls), seconds, clock)
        host, reference = samples[device], samples[cpu]
    return row_of(case, host, reference, cost), describe(host, reference)


def row_of(case: Case, host: list[Sample], reference: list[Sample], cost: ChipCost | None) -> Row:
    host_ms, cpu_ms = (
        1e3 * statistics.median(each.seconds for each in undisturbed(side)) for side in (host, reference)
    )
    return Row(
        case.suite,
        case.name,
        case.dtype,
        case.shape,
        host_ms,
        cpu_ms,
        host_ms / cpu_ms,
        None if cost is None else cost.seconds * 1e6,
        None if cost is None else cost.roofline,
        None if cost is None else cost.joules,
    )


def describe(*sides: list[Sample]) -> str:
    """CPU time over wall time of each side's undisturbed samples, and how many samples were thrown away."""
    cores = " ".join(f"{statistics.median(each.cores for each in undisturbed(side)):.2f}" for side in sides)
    thrown = sum(len(side) - len(undisturbed(side)) for side in sides)
    return cores + (f" ({thrown} disturbed)" if thrown else "")
