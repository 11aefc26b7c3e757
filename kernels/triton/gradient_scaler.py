"""What a gradient scaler (torch.amp.GradScaler) does on the device: unscaling with a check, and its scale's update."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    launch_shape,
    programs_for,
)
from mtia_sim_kernels.triton.chunks import chunk_pieces, chunk_pointer


@triton.jit
def amp_unscale(
    table, found_inf, inverse_scale, chunks, programs,
    GRADIENT: tl.constexpr, BLOCK: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """Scales in place; found_inf becomes 1 if any element is not finite. All programs that store it store the same."""
    scale = tl.load(inverse_scale).to(tl.float32)
    lane = tl.arange(0, BLOCK)
    for chunk in tl.range(tl.program_id(0), chunks, programs, num_stages=2):
        row = table + chunk * 2
        elements = tl.load(row).to(tl.int32)
        gradient = chunk_pointer(row, 1, GRADIENT)
        for piece in tl.static_range(PIECES):
            offsets = piece * BLOCK + lane
            mask = offsets < elements
            value = tl.load(gradient + offsets, mask=mask, other=0.0).to(tl.float32)
            finite = tl.abs(value) < float("inf")
            tl.store(gradient + offsets, (value * scale).to(GRADIENT), mask=mask)
            if tl.min(finite.to(tl.int32), axis=0) == 0:
                tl.store(found_inf, 1.0)


@triton.jit
def amp_update_scale(scale, growth_tracker, found_inf, growth_factor, backoff_factor, growth_interval):
    current = tl.load(scale)
    if tl.load(found_inf) != 0:
        tl.store(scale, current * backoff_factor)
        tl.store(growth_tracker, 0)
    else:
        successes = tl.load(growth_tracker) + 1
        if successes == growth_interval:
            grown = current * growth_factor
            # A scale that would overflow stays.
            if tl.abs(grown) < float("inf"):
                tl.store(scale, grown)
            tl.store(growth_tracker, 0)
        else:
            tl.store(growth_tracker, successes)


@launch_shape("amp_unscale")
def amp_unscale_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (chunk table, found_inf, inverse scale), then the dtype of the gradients; no scalars.

    A row of the table: elements, the chunk's address. `sizes` = (chunks, elements of a chunk).
    """
    chunks, chunk = sizes
    gradient = dtypes[3]
    block, pieces = chunk_pieces(chip, 2 * DTYPE_BYTES[gradient] + 16, chunk)
    programs, _ = programs_for(chip, chunks)
    arguments: dict[str, Argument] = {"table": Tensor(0), "found_inf": Tensor(1), "inverse_scale": Tensor(2)}
    arguments |= {"chunks": chunks, "programs": programs}
    constexprs = {"GRADIENT": TRITON_DTYPES[gradient], "BLOCK": block, "PIECES": pieces}
    return Launch(amp_unscale, (programs, 1, 1), arguments, constexprs)


@launch_shape("amp_update_scale")
def amp_update_scale_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (scale fp32, growth tracker i32, found_inf fp32), scalars (growth factor, backoff factor, interval)."""
    arguments: dict[str, Argument] = {"scale": Tensor(0), "growth_tracker": Tensor(1), "found_inf": Tensor(2)}
    arguments |= {"growth_factor": Scalar(0, "fp32"), "backoff_factor": Scalar(1, "fp32")}
    arguments |= {"growth_interval": Scalar(2, "i64")}
    return Launch(amp_update_scale, (1, 1, 1), arguments, {})
