"""Numbers that a kernel refuses by itself: indices and values that its caller put into a tensor.

Each check is one instruction, check_range (docs/isa.md). The error surfaces at the next synchronising call, as an
IndexError or a ValueError that names the operator, the number, its bounds and the line of Python that launched it.
"""

import triton
import triton.language as tl

INDEX = tl.constexpr(
    "mtia.check_index index {value} is out of bounds for dimension {note} with size {size}; give {low} to {high}"
)
ROW = tl.constexpr("mtia.check_index index {value} is out of range of {size} rows; give {low} to {high}")
CLASS = tl.constexpr("mtia.check_index target {value} is out of bounds of {size} classes; give {low} to {high}")


@triton.jit
def check_index(index, low, size, dimension):
    """Refuses elements of `index` outside of [low, size), indices of a dimension of `size` elements."""
    tl.inline_asm_elementwise(INDEX, "", [index, low, size - 1, dimension], dtype=index.dtype, is_pure=False, pack=1)


@triton.jit
def check_row(index, size):
    """Refuses elements of `index` outside of [0, size), rows of a table."""
    tl.inline_asm_elementwise(ROW, "", [index, 0, size - 1], dtype=index.dtype, is_pure=False, pack=1)


@triton.jit
def check_class(target, classes):
    """Refuses elements of `target` outside of [0, classes)."""
    tl.inline_asm_elementwise(CLASS, "", [target, 0, classes - 1], dtype=target.dtype, is_pure=False, pack=1)


@triton.jit
def check_value(value, low, high, MESSAGE: tl.constexpr):
    """Refuses elements of `value` outside of [low, high], and NaN. MESSAGE: "mtia.check_value ...", with {value}."""
    tl.inline_asm_elementwise(MESSAGE, "", [value, low, high], dtype=value.dtype, is_pure=False, pack=1)
