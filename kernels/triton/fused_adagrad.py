"""One step of Adagrad (Duchi et al. 2011) on one parameter."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import ChipLimits, Launch, launch_shape
from mtia_sim_kernels.triton.optimizer_step import gradient_of, optimizer_launch, tiles_to_step


@triton.jit
def fused_adagrad(
    parameter, gradient, state_sum, step, grad_scale, found_inf, rate, rate_decay, decay, epsilon,
    elements, tiles, programs, MAXIMIZE: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    steps = tl.load(step).to(COMPUTE)
    learning_rate = tl.full([], rate, COMPUTE) / (1.0 + (steps - 1.0) * tl.full([], rate_decay, COMPUTE))
    weight_decay = tl.full([], decay, COMPUTE)
    eps = tl.full([], epsilon, COMPUTE)
    lane = tl.arange(0, BLOCK)
    for tile in tl.range(tl.program_id(0), tiles_to_step(found_inf, tiles), programs, num_stages=2):
        start = tile * tl.full([], BLOCK, tl.int64)
        mask = lane < tl.minimum(elements - start, BLOCK).to(tl.int32)
        offsets = start + lane
        value = tl.load(parameter + offsets, mask=mask).to(COMPUTE)
        grad = gradient_of(gradient, offsets, mask, grad_scale, MAXIMIZE, COMPUTE)
        grad = grad + value * weight_decay
        total = tl.load(state_sum + offsets, mask=mask).to(COMPUTE) + grad * grad
        tl.store(state_sum + offsets, total.to(state_sum.dtype.element_ty), mask=mask)
        value = value - learning_rate * (grad / (tl.sqrt(total) + eps))
        tl.store(parameter + offsets, value.to(parameter.dtype.element_ty), mask=mask)


@launch_shape("fused_adagrad")
def fused_adagrad_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (parameter, gradient, state sum, step, grad_scale or none, found_inf or none), scalars (learning rate,
    its decay, weight decay, eps).

    The first three are contiguous (or dense in the same layout), the others one element; step is already incremented.
    `sizes` = (elements, maximize). A found_inf that is not 0 leaves all as it is.
    """
    elements, maximize = sizes
    tensors = ("parameter", "gradient", "state_sum", "step", "grad_scale", "found_inf")
    scalars = ("rate", "rate_decay", "decay", "epsilon")
    return optimizer_launch(fused_adagrad, tensors, scalars, dtypes, 3, elements, chip, {"MAXIMIZE": bool(maximize)})
