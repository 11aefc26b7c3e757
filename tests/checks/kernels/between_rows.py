"""The view's rows are 64 of 80 columns; the kernel steps by its own idea of a row and writes the columns between."""

import torch
import triton
import triton.language as tl


@triton.jit
def zero_rows(x, stride, COLUMNS: tl.constexpr):
    row = tl.program_id(0)
    tl.store(x + row * stride + tl.arange(0, COLUMNS), 0.0)  # found


def launch(stride: int) -> None:
    padded = torch.ones(4, 80, device="mtia_sim")
    view = padded[:, :64]
    zero_rows[(4,)](view, stride, COLUMNS=64)


def trigger() -> None:
    launch(stride=64)


def mended() -> None:
    launch(stride=80)
