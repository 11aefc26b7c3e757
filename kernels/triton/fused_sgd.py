"""One step of stochastic gradient descent, with momentum or without, on one parameter."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import ChipLimits, Launch, launch_shape
from mtia_sim_kernels.triton.optimizer_step import gradient_of, learning_rate_of, optimizer_launch, tiles_to_step


@triton.jit
def fused_sgd(
    parameter, gradient, momentum_buffer, grad_scale, found_inf, rate_tensor,
    rate, decay, momentum, dampening, elements, tiles, programs,
    NESTEROV: tl.constexpr, MAXIMIZE: tl.constexpr, FIRST: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    learning_rate = learning_rate_of(rate_tensor, rate, COMPUTE)
    weight_decay = tl.full([], decay, COMPUTE)
    keep = tl.full([], momentum, COMPUTE)
    take = 1.0 - tl.full([], dampening, COMPUTE)
    lane = tl.arange(0, BLOCK)
    for tile in tl.range(tl.program_id(0), tiles_to_step(found_inf, tiles), programs, num_stages=2):
        start = tile * tl.full([], BLOCK, tl.int64)
        mask = lane < tl.minimum(elements - start, BLOCK).to(tl.int32)
        offsets = start + lane
        value = tl.load(parameter + offsets, mask=mask).to(COMPUTE)
        grad = gradient_of(gradient, offsets, mask, grad_scale, MAXIMIZE, COMPUTE)
        grad = grad + value * weight_decay
        if momentum_buffer is not None:
            if FIRST:
                buffer = grad
            else:
                buffer = tl.load(momentum_buffer + offsets, mask=mask).to(COMPUTE) * keep + grad * take
            tl.store(momentum_buffer + offsets, buffer.to(momentum_buffer.dtype.element_ty), mask=mask)
            if NESTEROV:
                grad = grad + buffer * keep
            else:
                grad = buffer
        value = value - learning_rate * grad
        tl.store(parameter + offsets, value.to(parameter.dtype.element_ty), mask=mask)


@launch_shape("fused_sgd")
def fused_sgd_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (parameter, gradient, momentum buffer or none, grad_scale or none, found_inf or none, learning rate or
    none), scalars (learning rate, weight decay, momentum, dampening).

    The first three are contiguous (or dense in the same layout), the others one element. `sizes` = (elements, nesterov,
    maximize, whether this is the first step). A found_inf that is not 0 leaves all as it is.
    """
    elements, nesterov, maximize, first = sizes
    tensors = ("parameter", "gradient", "momentum_buffer", "grad_scale", "found_inf", "rate_tensor")
    scalars = ("rate", "decay", "momentum", "dampening")
    constexprs = {"NESTEROV": bool(nesterov), "MAXIMIZE": bool(maximize), "FIRST": bool(first)}
    return optimizer_launch(fused_sgd, tensors, scalars, dtypes, 3, elements, chip, constexprs)
