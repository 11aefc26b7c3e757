"""A launch that fails is one error: what it did not come to write is no further finding."""

import pytest
import torch
import triton
import triton.language as tl

from mtia_core import errors


@triton.jit
def copy(x, out, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out + offsets, tl.load(x + offsets, mask=offsets < n), mask=offsets < n)


@pytest.fixture(autouse=True)
def forget_findings() -> None:
    torch.mtia_sim.clear_findings()


def test_an_operator_that_refuses_its_input() -> None:
    with torch.mtia_sim.check():
        x = torch.ones(4, device="mtia_sim")
        chosen = x[torch.tensor([9], device="mtia_sim")]
        with pytest.raises(errors.OutOfBounds, match=r"index, called at .*: index 9 is out of bounds"):
            chosen.cpu()
        assert chosen.cpu().shape == (1,)
    assert torch.mtia_sim.findings() == []


def test_a_program_that_a_finding_stopped() -> None:
    with torch.mtia_sim.check():
        x, out = torch.ones(100, device="mtia_sim"), torch.empty(100, device="mtia_sim")
        copy[(1,)](x[:50], out, 100, BLOCK=128)
        with pytest.raises(errors.OutOfBounds, match="position 50 of x"):
            torch.mtia_sim.synchronize()
        assert out.cpu().shape == (100,)
    assert [finding["check"] for finding in torch.mtia_sim.findings()] == ["out_of_bounds"]
