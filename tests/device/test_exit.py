"""The end of a process: no hang, no crash, and a word about errors that nobody saw."""

import time

import pytest

from tests.device.subprocesses import run, run_successfully

# Leaves that nobody but the graph holds when the pass has run: the thread of the device releases them.
TRAINS = """
import torch

def step(size):
    x = torch.randn(size, 33, device="mtia_sim").requires_grad_()
    y = torch.randn(33, size, device="mtia_sim", requires_grad=True)
    (x @ y).relu().sum().backward()

for size in (3, 70, 130):
    step(size)
"""
# The threads of autograd get the core only where nobody else wants it: what they have left to do is late.
ARE_LATE = """
import os, pathlib
torch.mtia_sim.synchronize()
core = min(os.sched_getaffinity(0))
for thread in pathlib.Path("/proc/self/task").iterdir():
    os.sched_setaffinity(int(thread.name), {core})
    if (thread / "comm").read_text().startswith("pt_autograd"):
        os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
"""
SETTLES = """
import sys
from mtia_sim import autograd_threads
torch.mtia_sim.synchronize()
launches, modules = torch.mtia_sim.perf_counters()["launches"], set(sys.modules)
assert autograd_threads.are_running()
autograd_threads.settle()
torch.mtia_sim.synchronize()
assert torch.mtia_sim.perf_counters()["launches"] == launches
assert set(sys.modules) == modules
"""


def test_work_in_flight_does_not_delay_the_exit() -> None:
    begin = time.monotonic()
    run_successfully(
        """
        import torch
        pinned = torch.empty(64 << 20, dtype=torch.uint8).pin_memory()
        x = torch.empty(64 << 20, dtype=torch.uint8, device="mtia_sim")
        for _ in range(400):
            pinned.copy_(x, non_blocking=True)
        """,
        timeout=60,
    )
    assert time.monotonic() - begin < 30


def test_tensors_of_global_lifetime_and_both_devices() -> None:
    run_successfully(
        """
        import atexit, torch
        x = [torch.ones(100, device="cpu").to(f"mtia_sim:{i}") for i in range(2)]
        torch.keep_this_tensor = x[0]
        atexit.register(lambda: x[1].cpu())
        """
    )


def test_an_exception_ends_the_process_with_its_traceback() -> None:
    done = run("import torch; x = torch.ones(3).to('mtia_sim'); raise KeyError('mine')")
    assert done.returncode == 1 and "KeyError: 'mine'" in done.stderr


def test_waiting_for_autograd_launches_and_imports_nothing() -> None:
    run_successfully(TRAINS + SETTLES)


def test_autograd_is_not_waited_for_where_it_never_ran() -> None:
    run_successfully(
        """
        import torch
        from mtia_sim import autograd_threads
        torch.ones(3, device="mtia_sim").sum().item()
        autograd_threads.settle()
        assert not autograd_threads.are_running()
        """
    )


def test_autograd_threads_that_are_late_do_not_end_the_process() -> None:
    for _ in range(3):  # each of them failed once in two
        run_successfully(TRAINS + ARE_LATE)


@pytest.mark.slow
def test_processes_that_trained_end_well() -> None:
    for _ in range(60):
        run_successfully(TRAINS)
