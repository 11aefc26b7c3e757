"""Where a training step's host time goes: kernels, dispatch from Python, accounts and the queue, waiting."""

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class KernelTime:
    """What the launches of one kernel in a step took; host_ms is wall time of the dispatcher, all threads at work."""

    name: str
    launches: int
    host_ms: float
    chip_us: float


@dataclasses.dataclass(frozen=True)
class StepProfile:
    """Milliseconds of one step, the mean of several.

    `wall` is undisturbed by observers. `kernels` is the sum over launches and copies as the dispatcher executed them,
    one after the other. `python` is processor time of the program's own threads: autograd, ATen, plans and submission,
    which run beside the kernels. `exposed` is what of the wall time no kernel ran in: the queue was empty or between
    two commands. `workers` is processor time of the threads that run the grid beside the dispatcher.
    """

    wall: float
    kernels: float
    python: float
    exposed: float
    workers: float
    by_kernel: list[KernelTime]


def _processor_ms_by_thread() -> dict[int, float]:
    """Processor time of each thread of this process so far."""
    times = {}
    for task in Path("/proc/self/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        times[int(task.name)] = 1e3 * (int(fields[11]) + int(fields[12])) / _TICKS
    return times


def profile_step(step: Callable[[], Any], device: torch.device, steps: int = 10) -> StepProfile:
    """Runs `step` a few times to warm up, `steps` times undisturbed and as often observed."""
    from mtia_sim import _C

    module = torch.get_device_module(device)
    for _ in range(3):
        step()
    module.synchronize()
    own = _own_threads()
    before, start = _processor_ms_by_thread(), time.perf_counter()
    for _ in range(steps):
        step()
    module.synchronize()
    wall = (time.perf_counter() - start) * 1e3 / steps
    spent = {thread: (spent - before.get(thread, 0.0)) / steps for thread, spent in _processor_ms_by_thread().items()}
    recording = _C.TraceRecording([], [], 1 << 24)
    for _ in range(steps):
        step()
    module.synchronize()
    commands = recording.stop()["commands"]
    sums: dict[str, list[float]] = {}
    for command in commands:
        entry = sums.setdefault(command["name"], [0, 0.0, 0.0])
        entry[0] += 1
        entry[1] += command["host_seconds"] * 1e3 / steps
        entry[2] += (command["end"] - command["start"]) * 1e6 / steps
    by_kernel = [
        KernelTime(name, round(count / steps), host, chip)
        for name, (count, host, chip) in sorted(sums.items(), key=lambda item: -item[1][1])
    ]
    kernels = sum(kernel.host_ms for kernel in by_kernel)
    python = sum(value for thread, value in spent.items() if thread in own)
    return StepProfile(wall, kernels, python, max(0.0, wall - kernels), sum(spent.values()) - python, by_kernel)


def _own_threads() -> set[int]:
    """The program's main thread and autograd's."""
    tasks = Path("/proc/self/task").iterdir()
    return {os.getpid()} | {int(task.name) for task in tasks if (task / "comm").read_text().startswith("pt_autograd")}


def print_profile(title: str, profile: StepProfile, most: int = 25) -> None:
    """A table of the kernels that take longest, under a line of sums."""
    print(
        f"{title}: {profile.wall:.1f} ms a step; kernels and copies {profile.kernels:.1f}, no kernel runs for "
        f"{profile.exposed:.1f}; processor time of Python and autograd {profile.python:.1f}, of the emulator's threads "
        f"{profile.workers:.1f}"
    )
    print(f"{'kernel':44} {'launches':>8} {'host ms':>9} {'share':>6} {'chip us':>9}")
    for kernel in profile.by_kernel[:most]:
        print(
            f"{kernel.name[:44]:44} {kernel.launches:8} {kernel.host_ms:9.2f} {kernel.host_ms / profile.kernels:6.1%} "
            f"{kernel.chip_us:9.1f}"
        )
    if rest := profile.by_kernel[most:]:
        host = sum(kernel.host_ms for kernel in rest)
        print(f"{f'{len(rest)} more':44} {sum(kernel.launches for kernel in rest):8} {host:9.2f}", flush=True)
