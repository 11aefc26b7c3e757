"""The sum of a row in a wider block: lanes that the mask leaves out have no value without `other`."""

import torch
import triton
import triton.language as tl


@triton.jit
def row_sum(x, out, columns, FILL: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    if FILL:
        values = tl.load(x + row * columns + offsets, mask=offsets < columns, other=0.0)
    else:
        values = tl.load(x + row * columns + offsets, mask=offsets < columns)
    tl.store(out + row, tl.sum(values))  # found


def launch(fill: bool) -> None:
    x = torch.ones(4, 100, device="mtia_sim")
    out = torch.empty(4, device="mtia_sim")
    row_sum[(4,)](x, out, 100, FILL=fill, BLOCK=128)


def trigger() -> None:
    launch(fill=False)


def mended() -> None:
    launch(fill=True)
