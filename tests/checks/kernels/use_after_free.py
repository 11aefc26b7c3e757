"""An address outlives its tensor: kernels that take tables of addresses as numbers."""

import torch
import triton
import triton.language as tl


@triton.jit
def add_one(table, out, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    inside = offsets < n
    x = tl.load(table).to(tl.pointer_type(tl.float32))
    values = tl.load(x + offsets, mask=inside)  # found
    tl.store(out + offsets, values + 1, mask=inside)


def launch(keep: bool) -> None:
    x = torch.ones(100, device="mtia_sim")
    table = torch.tensor([x.data_ptr()], device="mtia_sim")
    out = torch.empty(100, device="mtia_sim")
    if not keep:
        del x
    add_one[(1,)](table, out, 100, BLOCK=128)


def trigger() -> None:
    launch(keep=False)


def mended() -> None:
    launch(keep=True)
