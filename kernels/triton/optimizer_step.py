"""What steps of all optimisers have in common: gradients, when a step is left out, the launch over a chunk table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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
    compute_dtype,
    programs_for,
    tensor_arguments,
)
from mtia_sim_kernels.triton.chunks import chunk_pieces


@triton.jit
def learning_rate_of(rate_tensor, rate, COMPUTE: tl.constexpr):
    if rate_tensor is not None:
        return tl.load(rate_tensor).to(COMPUTE)
    else:
        return tl.full([], rate, COMPUTE)


@triton.jit
def chunks_to_step(found_inf, chunks):
    """`chunks`, or 0 after a gradient that is not finite: the scaler asks that nothing changes."""
    last = chunks
    if found_inf is not None:
        last = tl.where(tl.load(found_inf) != 0, 0, chunks)
    return last


@triton.jit
def gradient_of(gradient, offsets, mask, grad_scale, MAXIMIZE: tl.constexpr, COMPUTE: tl.constexpr):
    """The gradient to descend along; divided by the scaler's scale, in memory too, where there is one."""
    grad = tl.load(gradient + offsets, mask=mask).to(COMPUTE)
    if grad_scale is not None:
        grad = grad / tl.load(grad_scale).to(COMPUTE)
        tl.store(gradient + offsets, grad.to(gradient.dtype.element_ty), mask=mask)
    if MAXIMIZE:
        grad = -grad
    return grad


def optimizer_launch(
    kernel: Any,
    tensors: Sequence[str],
    scalars: Sequence[str],
    lists: Sequence[str],
    single: Sequence[str],
    dtypes: tuple[str, ...],
    chunks: int,
    chunk: int,
    chip: ChipLimits,
    constexprs: Mapping[str, Any],
) -> Launch:
    """Launches `kernel` over the rows of a chunk table, which is tensor 0, of `chunk` elements each at most.

    `dtypes` are those of the table, of the one-element `tensors` behind it ("none" where absent), of the table's
    `lists` of tensors and of its `single` elements: constexprs of the kernel by these names, None where absent. Scalars
    and arithmetic are in the compute dtype of the first list, the parameters.
    """
    of_table = dtypes[1 + len(tensors) :]
    compute = compute_dtype(of_table[0])
    wide = DTYPE_BYTES[compute]
    # Each operand twice (double buffers), its value where that is wider, and two temporaries.
    moved = [dtype for dtype in of_table[: len(lists)] if dtype != "none"]
    block_bytes = sum(2 * DTYPE_BYTES[dtype] + (wide if dtype != compute else 0) for dtype in moved) + 2 * wide
    block, pieces = chunk_pieces(chip, block_bytes, chunk)
    programs, _ = programs_for(chip, chunks)
    arguments: dict[str, Argument] = {"table": Tensor(0), "chunks": chunks, "programs": programs}
    arguments |= tensor_arguments(("table", *tensors), dtypes)
    arguments |= {name: Scalar(i, compute) for i, name in enumerate(scalars)}
    elements = {
        name: None if dtype == "none" else TRITON_DTYPES[dtype]
        for name, dtype in zip((*lists, *single), of_table, strict=True)
    }
    shape = {"COMPUTE": TRITON_DTYPES[compute], "BLOCK": block, "PIECES": pieces}
    return Launch(kernel, (programs, 1, 1), arguments, {**constexprs, **elements, **shape})
