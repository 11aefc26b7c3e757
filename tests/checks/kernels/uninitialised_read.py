"""An accumulator that nobody cleared."""

from collections.abc import Callable

import torch
import triton
import triton.language as tl


@triton.jit
def accumulate(total, x, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    before = tl.load(total + offsets)  # found
    tl.store(total + offsets, before + tl.load(x + offsets))


def launch(allocate: Callable[..., torch.Tensor]) -> None:
    x = torch.ones(256, device="mtia_sim")
    total = allocate(256, device="mtia_sim")
    accumulate[(1,)](total, x, BLOCK=256)


def trigger() -> None:
    launch(torch.empty)


def mended() -> None:
    launch(torch.zeros)
