"""Dropout by Philox numbers of the element's index, so that neither chip nor thread count changes what is dropped."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    ChipLimits,
    Launch,
    Scalar,
    ceil_div,
    compute_dtype,
    launch_shape,
    programs_for,
    tensor_arguments,
)

# Elements that one Philox counter serves are this far apart; it is part of what a seed means, so the same on all chips.
QUARTER = 512


@triton.jit
def dropped(out, mask, x, offsets, inside, uniform, probability, scale, COMPUTE: tl.constexpr):
    value = tl.load(x + offsets, mask=inside, other=0.0).to(COMPUTE)
    keep = uniform >= probability
    tl.store(out + offsets, (value * tl.where(keep, scale, 0.0)).to(out.dtype.element_ty), mask=inside)
    if mask is not None:
        tl.store(mask + offsets, keep, mask=inside)


@triton.jit
def dropout_forward(
    out, mask, x, probability, scale, seed, offset, elements, tiles, programs,
    COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A tile is four blocks, whose numbers come from one Philox call: counter offset + tile * BLOCK + lane."""
    lane = tl.arange(0, BLOCK)
    factor = tl.full([], scale, COMPUTE)
    for tile in tl.range(tl.program_id(0), tiles, programs, num_stages=2):
        wide = tile * tl.full([], BLOCK, tl.int64)
        first, second, third, fourth = tl.rand4x(seed, offset + wide + lane)
        start = wide * 4
        left = tl.minimum(elements - start, 4 * BLOCK).to(tl.int32)
        place = start + lane
        dropped(out, mask, x, place, lane < left, first, probability, factor, COMPUTE)
        dropped(out, mask, x, place + BLOCK, lane < left - BLOCK, second, probability, factor, COMPUTE)
        dropped(out, mask, x, place + 2 * BLOCK, lane < left - 2 * BLOCK, third, probability, factor, COMPUTE)
        dropped(out, mask, x, place + 3 * BLOCK, lane < left - 3 * BLOCK, fourth, probability, factor, COMPUTE)


@launch_shape("dropout_forward")
def dropout_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (out, mask bool or none, x), scalars (probability to drop, scale 1 / (1 - probability), seed, offset).

    `sizes` = (elements,), all contiguous. Element i's number: counter offset + i // 2048 * 512 + i % 512, word
    i // 512 % 4 of the Philox 4x32-10 block; the caller advances its offset by ceil(elements / 2048) * 512.
    """
    (elements,) = sizes
    compute = compute_dtype(dtypes[0])
    tiles = ceil_div(elements, 4 * QUARTER)
    programs, _ = programs_for(chip, tiles)
    arguments = tensor_arguments(("out", "mask", "x"), dtypes)
    arguments |= {
        "probability": Scalar(0, "fp32"),
        "scale": Scalar(1, compute),
        "seed": Scalar(2, "i64"),
        "offset": Scalar(3, "i64"),
    }
    arguments |= {"elements": elements, "tiles": tiles, "programs": programs}
    return Launch(dropout_forward, (programs, 1, 1), arguments, {"COMPUTE": TRITON_DTYPES[compute], "BLOCK": QUARTER})
