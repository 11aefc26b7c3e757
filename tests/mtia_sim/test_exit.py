"""A process that trained ends with the status of its script."""

import subprocess
import sys

import pytest

# Leaves that nobody but the graph holds when the pass has run: the thread of the device releases them.
SCRIPT = """
import torch

def step(size):
    x = torch.randn(size, 33, device="mtia_sim").requires_grad_()
    y = torch.randn(33, size, device="mtia_sim", requires_grad=True)
    (x @ y).relu().sum().backward()

for size in (3, 70, 130):
    step(size)
"""
COUNTED = (
    SCRIPT
    + """
from mtia_sim import autograd_threads
torch.mtia_sim.synchronize()
before = torch.mtia_sim.perf_counters()["launches"]
assert autograd_threads.are_running()
autograd_threads.settle()
torch.mtia_sim.synchronize()
assert torch.mtia_sim.perf_counters()["launches"] == before
"""
)
IDLE = """
import torch
from mtia_sim import autograd_threads
torch.ones(3, device="mtia_sim").sum().item()
autograd_threads.settle()
assert not autograd_threads.are_running()
"""


def run(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", [COUNTED, IDLE], ids=["after a backward pass", "without one"])
def test_waiting_for_autograd_launches_nothing(script: str) -> None:
    run(script)


@pytest.mark.slow
def test_processes_that_trained_end_well() -> None:
    for _ in range(60):
        run(SCRIPT)
