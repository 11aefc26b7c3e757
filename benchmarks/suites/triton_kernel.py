"""The kernel of the Triton vector-addition tutorial, for its launch to be timed."""

import triton
import triton.language as tl


@triton.jit
def add_vectors(first, second, out, count, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < count
    tl.store(out + offsets, tl.load(first + offsets, mask=mask) + tl.load(second + offsets, mask=mask), mask=mask)
