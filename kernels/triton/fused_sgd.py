"""One step of stochastic gradient descent, with momentum or without, on all parameters of a list."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import ChipLimits, Launch, launch_shape
from mtia_sim_kernels.triton.chunks import chunk_pointer
from mtia_sim_kernels.triton.optimizer_step import chunks_to_step, gradient_of, learning_rate_of, optimizer_launch


@triton.jit
def fused_sgd(
    table, grad_scale, found_inf, rate_tensor, rate, decay, momentum, dampening, chunks, programs,
    PARAMETER: tl.constexpr, GRADIENT: tl.constexpr, BUFFER: tl.constexpr,
    NESTEROV: tl.constexpr, MAXIMIZE: tl.constexpr, FIRST: tl.constexpr,
    COMPUTE: tl.constexpr, BLOCK: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    learning_rate = learning_rate_of(rate_tensor, rate, COMPUTE)
    weight_decay = tl.full([], decay, COMPUTE)
    keep = tl.full([], momentum, COMPUTE)
    take = 1.0 - tl.full([], dampening, COMPUTE)
    lane = tl.arange(0, BLOCK)
    COLUMNS: tl.constexpr = 3 if BUFFER is None else 4
    for chunk in tl.range(tl.program_id(0), chunks_to_step(found_inf, chunks), programs, num_stages=2):
        row = table + chunk * COLUMNS
        elements = tl.load(row).to(tl.int32)
        parameter = chunk_pointer(row, 1, PARAMETER)
        gradient = chunk_pointer(row, 2, GRADIENT)
        for piece in tl.static_range(PIECES):
            offsets = piece * BLOCK + lane
            mask = offsets < elements
            value = tl.load(parameter + offsets, mask=mask).to(COMPUTE)
            grad = gradient_of(gradient, offsets, mask, grad_scale, MAXIMIZE, COMPUTE)
            grad = grad + value * weight_decay
            if BUFFER is not None:
                momentum_buffer = chunk_pointer(row, 3, BUFFER)
                if FIRST:
                    buffer = grad
                else:
                    buffer = tl.load(momentum_buffer + offsets, mask=mask).to(COMPUTE) * keep + grad * take
                tl.store(momentum_buffer + offsets, buffer.to(BUFFER), mask=mask)
                if NESTEROV:
                    grad = grad + buffer * keep
                else:
                    grad = buffer
            value = value - learning_rate * grad
            tl.store(parameter + offsets, value.to(PARAMETER), mask=mask)


@launch_shape("fused_sgd")
def fused_sgd_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (chunk table, grad_scale or none, found_inf or none, learning rate or none), then the dtypes of
    (parameter, gradient, momentum buffer or none); scalars (learning rate, weight decay, momentum, dampening).

    A row of the table: elements, the addresses of the chunk in those that there are. `sizes` = (chunks, elements of
    a chunk, nesterov, maximize, whether this is the first step). A found_inf that is not 0 leaves all as it is.
    """
    chunks, chunk, nesterov, maximize, first = sizes
    tensors = ("grad_scale", "found_inf", "rate_tensor")
    scalars = ("rate", "decay", "momentum", "dampening")
    lists = ("PARAMETER", "GRADIENT", "BUFFER")
    constexprs = {"NESTEROV": bool(nesterov), "MAXIMIZE": bool(maximize), "FIRST": bool(first)}
    return optimizer_launch(fused_sgd, tensors, scalars, lists, (), dtypes, chunks, chunk, chip, constexprs)
