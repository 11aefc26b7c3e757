"""Runs launch plans: on mtia_sim tensors where the device lives, else on CPU tensors in Triton's interpreter."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WANTED = os.environ.get("MTIA_SIM_KERNEL_TESTS", "device")
DEVICE_PACKAGE = importlib.util.find_spec("mtia_sim")
BUILT = DEVICE_PACKAGE is not None and any(Path(str(DEVICE_PACKAGE.origin)).parent.glob("_C*.so"))
ON_DEVICE = WANTED == "device" and BUILT
if not ON_DEVICE:
    os.environ["TRITON_INTERPRET"] = "1"

import torch  # noqa: E402

from mtia_core import chips  # noqa: E402
from mtia_sim_kernels.launch_shape import ChipLimits, Launch, Scalar, Tensor, WideInteger, Workspace, plan  # noqa: E402
from tests.kernels import device, interpreter  # noqa: E402

OWN_CHIP = os.environ.get("MTIA_SIM_CHIP", chips.DEFAULT)


def limits_of(name: str) -> ChipLimits:
    return ChipLimits.of(chips.load(name))


# Three sizes of local memory, and the chip that the device emulates.
CHIPS = {name: limits_of(name) for name in dict.fromkeys(("mtia1", "mtia2i", "mtia300", OWN_CHIP))}

DTYPE_NAMES = {
    torch.bool: "bool",
    torch.int8: "i8",
    torch.int16: "i16",
    torch.int32: "i32",
    torch.int64: "i64",
    torch.uint8: "u8",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.float32: "fp32",
    torch.float64: "fp64",
    torch.float8_e4m3fn: "fp8e4m3",
    torch.float8_e5m2: "fp8e5m2",
}
TORCH_DTYPES = {name: dtype for dtype, name in DTYPE_NAMES.items()}

# Relative norms that a kernel's result may be off by.
BOUNDS = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}

#: bfloat16 of Triton's interpreter is wrong (truncated), so that only the device is tested with it.
HALF_DTYPES = [torch.float16, torch.bfloat16] if ON_DEVICE else [torch.float16]
FLOAT_DTYPES = [torch.float32, *HALF_DTYPES]
DEVICE = "mtia_sim" if ON_DEVICE else "cpu"


def execute(
    name: str,
    tensors: Sequence[torch.Tensor | None],
    sizes: Sequence[int],
    scalars: Sequence[float] = (),
    chip: str = "mtia300",
    dtypes: Sequence[str] | None = None,
) -> tuple[Launch, ...]:
    """Runs kernel `name` on `tensors` (on DEVICE; the kernel writes its outputs into them). Returns its launches."""
    if dtypes is None:
        dtypes = [DTYPE_NAMES[tensor.dtype] if tensor is not None else "none" for tensor in tensors]
    # Programs of a chip with larger local memory do not run on the device at hand.
    if CHIPS[chip].local_memory_bytes > CHIPS[OWN_CHIP].local_memory_bytes:
        chip = OWN_CHIP
    launches = plan(name, tuple(dtypes), tuple(int(size) for size in sizes), CHIPS[chip])
    workspaces: dict[int, torch.Tensor] = {}
    for launch in launches:
        arguments = {key: _argument(value, tensors, scalars, workspaces) for key, value in launch.arguments.items()}
        if ON_DEVICE:
            device.run(launch, arguments, chip)
        else:
            with interpreter.libdevice():
                launch.kernel[launch.grid](**arguments, **launch.constexprs)
    return launches


def _argument(value: Any, tensors: Sequence[Any], scalars: Sequence[float], workspaces: dict[int, torch.Tensor]) -> Any:
    if isinstance(value, Tensor):
        return tensors[value.index]
    if isinstance(value, Scalar):
        number = scalars[value.index]
        return float(number) if value.dtype.startswith("fp") else int(number)
    if isinstance(value, WideInteger):
        return value.value
    if isinstance(value, Workspace):
        if value.index not in workspaces:
            workspaces[value.index] = poisoned((value.elements,), TORCH_DTYPES[value.dtype])
        return workspaces[value.index]
    return value


def poisoned(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """An output that holds nothing useful: NaN, or a large odd number."""
    if dtype.is_floating_point:
        return torch.full(tuple(shape), float("nan"), dtype=torch.float32).to(dtype).to(DEVICE)
    return torch.full(tuple(shape), 1 if dtype == torch.bool else 77, dtype=dtype).to(DEVICE)


def relative_error(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference over that of `expected`, in float64; NaN and infinities must stand in the same places."""
    got, expected = got.detach().cpu().double(), expected.detach().double()
    assert got.shape == expected.shape, f"shape {tuple(got.shape)}, expected {tuple(expected.shape)}"
    finite = torch.isfinite(expected)
    assert torch.equal(torch.isnan(got), torch.isnan(expected)), "NaN in other places"
    infinite = ~finite & ~torch.isnan(expected)
    assert torch.equal(got[infinite], expected[infinite]), "infinities in other places"
    got, expected = got[finite], expected[finite]
    norm = expected.norm()
    return float((got - expected).norm() / (norm if norm > 0 else 1.0))


def assert_close(got: torch.Tensor, expected: torch.Tensor, bound: float | None = None) -> None:
    limit = BOUNDS.get(got.dtype, 0.0) if bound is None else bound
    error = relative_error(got, expected)
    assert error <= limit, f"relative error {error:.3g}, bound {limit:.3g}"


def opmath(dtype: torch.dtype) -> torch.dtype:
    """The dtype that kernels compute in for tensors of `dtype`."""
    return torch.float64 if dtype == torch.float64 else torch.float32
