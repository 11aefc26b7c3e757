"""A second stream reads what the first one still writes."""

import torch
import triton
import triton.language as tl


@triton.jit
def copy(source, destination, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(destination + offsets, tl.load(source + offsets))  # found


def launch(wait: bool) -> None:
    x = torch.ones(1024, device="mtia_sim")
    middle = torch.zeros_like(x)
    out = torch.zeros_like(x)
    torch.mtia_sim.synchronize()
    side = torch.mtia_sim.Stream()
    copy[(4,)](x, middle, BLOCK=256)
    if wait:
        side.wait_stream(torch.mtia_sim.current_stream())
    with torch.mtia_sim.stream(side):
        copy[(4,)](middle, out, BLOCK=256)
    side.synchronize()


def trigger() -> None:
    launch(wait=False)


def mended() -> None:
    launch(wait=True)
