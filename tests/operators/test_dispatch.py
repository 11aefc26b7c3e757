"""Operators without a kernel, the fallback that a user may ask for, and the plan cache."""

import subprocess
import sys

import pytest
import torch

from tests.operators.comparison import DEVICE, random_tensor

FALLBACK = """
import torch, warnings
x = torch.arange(12.0).reshape(3, 4).to("mtia_sim")
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        q = torch.linalg.qr(x)[0]
assert q.device.type == "mtia_sim"
assert torch.allclose(q.cpu(), torch.linalg.qr(x.cpu())[0])
assert sum(torch.mtia_sim.fallbacks().values()) == 2, torch.mtia_sim.fallbacks()
assert sum("runs on the CPU" in str(w.message) for w in caught) == 1, caught
"""


def test_an_operator_without_a_kernel_names_itself_and_the_remedy() -> None:
    with pytest.raises(NotImplementedError, match=r"linalg_qr.*Float\[2, 2\].*MTIA_SIM_CPU_FALLBACK=1"):
        torch.linalg.qr(torch.ones(2, 2, device=DEVICE))
    assert torch.mtia_sim.fallbacks() == {}


def test_fallback_is_counted_and_warned_of_once() -> None:
    import os

    environment = {**os.environ, "MTIA_SIM_CPU_FALLBACK": "1"}
    subprocess.run([sys.executable, "-c", FALLBACK], check=True, env=environment)


def test_second_call_takes_its_plan_from_the_cache() -> None:
    from mtia_sim import _C

    x = random_tensor(3, 1027).to(DEVICE)
    x + x
    before = _C.plan_cache_statistics()
    for _ in range(5):
        x + x
    after = _C.plan_cache_statistics()
    assert after["misses"] == before["misses"]
    assert after["hits"] == before["hits"] + 5


def test_complex_numbers_are_refused_with_a_remedy() -> None:
    with pytest.raises(Exception, match=r"(?i)complex"):
        torch.exp(torch.ones(2, device=DEVICE) * 1j)
