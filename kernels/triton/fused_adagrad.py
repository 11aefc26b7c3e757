"""One step of Adagrad (Duchi et al. 2011) on all parameters of a list."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import ChipLimits, Launch, launch_shape
from mtia_sim_kernels.triton.chunks import chunk_pointer
from mtia_sim_kernels.triton.optimizer_step import chunks_to_step, gradient_of, optimizer_launch


@triton.jit
def fused_adagrad(
    table, grad_scale, found_inf, rate, rate_decay, decay, epsilon, chunks, programs,
    PARAMETER: tl.constexpr, GRADIENT: tl.constexpr, SUM: tl.constexpr, STEP: tl.constexpr,
    MAXIMIZE: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    weight_decay = tl.full([], decay, COMPUTE)
    eps = tl.full([], epsilon, COMPUTE)
    lane = tl.arange(0, BLOCK)
    for chunk in tl.range(tl.program_id(0), chunks_to_step(found_inf, chunks), programs, num_stages=2):
        row = table + chunk * 5
        elements = tl.load(row).to(tl.int32)
        parameter = chunk_pointer(row, 1, PARAMETER)
        gradient = chunk_pointer(row, 2, GRADIENT)
        state_sum = chunk_pointer(row, 3, SUM)
        steps = tl.load(chunk_pointer(row, 4, STEP)).to(COMPUTE)
        learning_rate = tl.full([], rate, COMPUTE) / (1.0 + (steps - 1.0) * tl.full([], rate_decay, COMPUTE))
        for piece in tl.static_range(PIECES):
            offsets = piece * BLOCK + lane
            mask = offsets < elements
            value = tl.load(parameter + offsets, mask=mask).to(COMPUTE)
            grad = gradient_of(gradient, offsets, mask, grad_scale, MAXIMIZE, COMPUTE)
            grad = grad + value * weight_decay
            total = tl.load(state_sum + offsets, mask=mask).to(COMPUTE) + grad * grad
            tl.store(state_sum + offsets, total.to(SUM), mask=mask)
            value = value - learning_rate * (grad / (tl.sqrt(total) + eps))
            tl.store(parameter + offsets, value.to(PARAMETER), mask=mask)


@launch_shape("fused_adagrad")
def fused_adagrad_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (chunk table, grad_scale or none, found_inf or none), then the dtypes of (parameter, gradient, state sum,
    step); scalars (learning rate, its decay, weight decay, eps).

    A row of the table: elements, the addresses of the chunk in the first three, the address of step, which is already
    incremented. `sizes` = (chunks, elements of a chunk, maximize). A found_inf that is not 0 leaves all as it is.
    """
    chunks, chunk, maximize = sizes
    scalars = ("rate", "rate_decay", "decay", "epsilon")
    lists = ("PARAMETER", "GRADIENT", "SUM")
    constexprs = {"MAXIMIZE": bool(maximize)}
    tensors = ("grad_scale", "found_inf")
    return optimizer_launch(fused_adagrad, tensors, scalars, lists, ("STEP",), dtypes, chunks, chunk, chip, constexprs)
