"""torch._assert_async: a kernel that refuses a tensor of one element whose value is 0."""

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import ChipLimits, Launch, Tensor, launch_shape
from mtia_sim_kernels.triton.checks import check_value

ZERO = tl.constexpr("mtia.check_value Expected Tensor with single nonzero value, but got {value}")


@triton.jit
def assert_nonzero(x):
    value = tl.load(x + tl.arange(0, 1))
    check_value((value != 0).to(tl.int32), 1, 1, ZERO)


@launch_shape("assert_nonzero")
def assert_nonzero_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (x of one element)."""
    return Launch(assert_nonzero, (1, 1, 1), {"x": Tensor(0)}, {})
