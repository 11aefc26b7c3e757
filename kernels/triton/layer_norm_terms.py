"""What the kernels of LayerNorm compute of a tile; see layer_norm.py."""

import triton
import triton.language as tl


@triton.jit
def affine(normal, weight, bias, start, column, length, COMPUTE: tl.constexpr):
    inside = column < length - start
    if weight is not None:
        normal = normal * tl.load(weight + start + column, mask=inside, other=0.0).to(COMPUTE)
    if bias is not None:
        normal = normal + tl.load(bias + start + column, mask=inside, other=0.0).to(COMPUTE)
    return normal


@triton.jit
def layer_norm_grad(
    grad_out, x, weight, average, inverse, first, row, column, start, length, mask, x_row, grad_row,
    COMPUTE: tl.constexpr,
):  # fmt: skip
    """(grad_out, grad_out * weight, normalised x) of a tile."""
    values = tl.load(x + first * x_row + start + row[:, None] * x_row + column, mask=mask, other=0.0).to(COMPUTE)
    source = grad_out + first * grad_row + start
    grad = tl.load(source + row[:, None] * grad_row + column, mask=mask, other=0.0).to(COMPUTE)
    normal = (values - average) * inverse
    return grad, affine(grad, weight, None, start, column, length, COMPUTE), normal
