"""The grid rounds up, the mask does not. Both views share one storage, so that the stray elements hit the neighbour."""

import torch
import triton
import triton.language as tl


@triton.jit
def double(x, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    values = tl.load(x + offsets, mask=inside)  # found
    tl.store(x + offsets, 2 * values, mask=inside)


def launch(n: int) -> None:
    both = torch.ones(2000, device="mtia_sim")
    first = both[:1000]
    double[(2,)](first, n, BLOCK=512)


def trigger() -> None:
    launch(n=1024)


def mended() -> None:
    launch(n=1000)
